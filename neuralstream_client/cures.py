"""What a caller can do about an error, by its code or else by its HTTP status."""

from __future__ import annotations

from typing import Final

__all__ = ["CURES", "cure_of"]

CURES: Final = {
    "unknown_key": "set NEURALSTREAM_API_KEY, or api_key=…, to a key of this stack that is not revoked.",
    "missing_scope": "use a key that has the scope which the detail names.",
    "key_not_found": "compare the id, the second part of a key, with ns.keys.list().",
    "key_ended": "use another key, or mint one with access to the keys table.",
    "outlives_key": "pass an earlier expires_at=…, or use a key that lasts longer.",
    "invalid_token": "start again at the first page: a page token belongs to one list and its filters.",
    "view_not_found": "create the view first with ns.features.apply(…).",
    "view_in_use": "archive the versions that read the view, and change or delete the services that list it.",
    "view_deleting": "call ns.features.delete(…) until it is done, then create the view again.",
    "view_deleted": "create the view again with ns.features.apply(…), then repeat the request.",
    "incompatible_schema": "add a feature under a new name; dtypes, shapes, keys and existing features stay.",
    "unknown_feature": "compare the name with ns.features.get(view).features.",
    "invalid_features": "correct the values at the named places; ns.features.get(view) has the dtypes.",
    "invalid_entity": "give each entity id as text or a whole number, for a composite entity all its keys.",
    "row_too_large": "shorten the row's text values or divide its features over several views.",
    "entity_not_found": "write the entity's features first.",
    "model_not_found": "compare the name with ns.models.list().",
    "version_not_found": "compare the version with ns.models.versions(model).",
    "not_in_production": "promote one with ns.models.promote(model, version), or pin one with version=….",
    "no_production_version": "promote a version with ns.models.promote(model, version) first.",
    "version_not_ready": "see ns.models.version(model, version).reason; register a REJECTED one again.",
    "production_changed": "someone else changed production; read ns.models.get(model) and decide again.",
    "already_production": "nothing is to be done: the version is in production.",
    "in_production": "promote another version before archiving this one.",
    "in_split": "end or change the split with ns.models.end_split(model) first.",
    "no_split": "nothing is to be done: the model has no split.",
    "no_history": "there is no earlier production version to return to.",
    "gate_not_met": "improve the metric, or change the gate with ns.models.edit(model, require=…).",
    "missing_features": "write the features, send them with features=…, or register with missing='default'.",
    "missing_entity": "give entity_id=…, and entities=… for every further key or role the model reads.",
    "wrong_feature_view": "name a view which the model reads, or leave feature_view out.",
    "ambiguous_feature": "write the feature as view:feature or view@role:feature.",
    "check_failed": "compare the listed rows: the features' order or the conversion differs.",
    "ambiguous_model": "declare the field that the detail names when registering.",
    "wrong_declaration": "correct the declaration, or leave it out so that it is inferred.",
    "depends_on_other_rows": "export the model in inference mode: a row's answer may not depend on others.",
    "artifact_rejected": "correct the model file as the detail says and register it again.",
    "upload_missing": "upload the artifact to the announced address before completing the version.",
    "baseline_exists": "the version keeps its baseline; register a new version for another one.",
    "idempotency_key_reused": "use a new idempotency_key for a different request.",
    "idempotency_conflict": "use a new idempotency_key for a different job.",
    "job_not_found": "a key sees its own jobs; compare the id with ns.jobs.list().",
    "object_not_found": "check the location; a job reads what is there when it starts.",
    "empty_input": "check the input's location, or pass allow_empty=True.",
    "bucket_not_allowed": "use a location below jobs/ in the stack's bucket, or the stack's JobBucket.",
    "prefix_reserved": "use a location below jobs/, other than jobs/_work/.",
    "invalid_location": "give locations as s3://bucket/key.",
    "unknown_format": "pass input_format='csv', 'jsonl' or 'parquet'.",
    "schedule_changed": "read the schedule again and pass its revision as expected_revision.",
    "schedule_not_found": "compare the name with ns.schedules.list().",
    "service_not_found": "compare the name and the version with ns.services.list().",
    "answer_too_large": "ask for fewer entities or features at once.",
    "route_not_found": "check the address (NEURALSTREAM_URL) and whether the stack's release has this route.",
}

_BY_STATUS: Final = {
    400: "correct the request at the named places.",
    401: "set NEURALSTREAM_API_KEY, or api_key=…, to a key of this stack.",
    403: "use a key that has the scope of this route.",
    404: "check the name, and the address (NEURALSTREAM_URL).",
    409: "read the present state and decide again.",
    413: "send less in one request.",
    422: "correct the request at the named places.",
    429: "send fewer requests a second, or allow more retries.",
    500: "look for the request id in the stack's logs.",
    502: "try again; the stack's gateway could not reach its function.",
    503: "try again later; a dependency of the stack is down or too slow.",
    504: "ask for less in one request, or try again.",
}


def cure_of(code: str, status: int) -> str:
    """One sentence for a person; empty if there is none."""
    return CURES.get(code) or _BY_STATUS.get(status, "")
