"""What a cold start pays for: the feature store's own import brings nothing heavy with it."""

from __future__ import annotations

from tests.support.alone import printed

HEAVY = ("boto3", "botocore", "numpy", "scipy", "onnxruntime", "redis", "aws_lambda_powertools")


def test_importing_the_feature_store_imports_nothing_heavy() -> None:
    code = (
        "import sys, neuralstream_core.features, neuralstream_core.features.requests,"
        " neuralstream_core.features.answers, neuralstream_core.features.ingest;"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert printed(code).strip() == "[]"
