"""What is open to others in the template: origins, rates, logs, and what is reached without TLS."""

from __future__ import annotations

import re

from tests.support.template import resources, template

API = template()["Resources"]["Api"]["Properties"]
COSTLY = (
    "POST /predict/{model_name}/batch",
    "POST /models/{name}/versions",
    "POST /keys",
    "GET /health",
    "GET /docs",
)
"""What takes seconds of a processor, searches for a key, or answers anybody."""


def test_no_other_origin_may_call_unless_it_is_named():
    assert template()["Parameters"]["CorsOrigins"]["Default"] == ""
    condition, given, otherwise = API["CorsConfiguration"]["Fn::If"]
    assert template()["Conditions"][condition] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "CorsOrigins"}, ""]}]
    }
    assert otherwise == {"Ref": "AWS::NoValue"}
    assert given["allowOrigins"] == {"Fn::Split": [",", {"Ref": "CorsOrigins"}]}
    assert "allowCredentials" not in given, "keys are sent in a header, not kept by a browser"


def test_the_whole_api_is_throttled_and_costly_routes_further():
    default = API["DefaultRouteSettings"]
    assert default["ThrottlingRateLimit"] == default["ThrottlingBurstLimit"] == {"Ref": "ApiRate"}
    for route in COSTLY:
        assert API["RouteSettings"][route]["ThrottlingRateLimit"] <= 50


def test_the_access_log_names_no_header_and_no_body():
    logged = set(re.findall(r"\$context\.([\w.]+)", API["AccessLogSettings"]["Format"]))
    assert logged == {
        "authorizer.principal",
        "error.message",
        "identity.sourceIp",
        "integrationErrorMessage",
        "requestId",
        "requestTime",
        "responseLatency",
        "responseLength",
        "routeKey",
        "status",
        "integrationLatency",
    }


def denied_without_tls(kind):
    """The logical ids that a policy of this kind denies to requests without TLS."""
    return {
        resource["Fn::GetAtt"][0]
        for policy in resources(kind).values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        for resource in statement["Resource"]
        if "Fn::GetAtt" in resource
    }


def test_what_is_stored_is_not_public_and_refuses_requests_without_tls():
    buckets, queues = resources("AWS::S3::Bucket"), resources("AWS::SQS::Queue")
    assert buckets
    for bucket in buckets.values():
        block = bucket["Properties"]["PublicAccessBlockConfiguration"]
        assert len(block) == 4
        assert all(block.values())
    assert denied_without_tls("AWS::S3::BucketPolicy") == set(buckets)
    assert denied_without_tls("AWS::SQS::QueuePolicy") == set(queues)
