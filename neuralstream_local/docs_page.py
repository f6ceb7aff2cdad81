"""The page behind ``GET /docs``: Swagger UI whole, in one compressed HTML file.

The scripts and styles are those that Powertools for AWS Lambda ships (Swagger UI, Apache-2.0), so the
page needs no other server, on a laptop without a network as on AWS.
"""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

__all__ = ["write"]

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>NeuralStream API</title>
<link rel="icon" href="data:,">
<style>{css}</style>
</head>
<body>
<div id="swagger-ui">Loading…</div>
<script>{js}</script>
<script>
SwaggerUIBundle({{
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  filter: true,
  persistAuthorization: true,
  layout: "BaseLayout",
  presets: [SwaggerUIBundle.presets.apis]
}});
</script>
</body>
</html>
"""


def write(target: Path) -> None:
    """Write the page; the same bytes for the same Swagger UI."""
    spec = importlib.util.find_spec("aws_lambda_powertools")
    if spec is None or spec.origin is None:
        raise RuntimeError("aws-lambda-powertools, which carries Swagger UI, is not installed")
    assets = Path(spec.origin).parent / "event_handler" / "openapi" / "swagger_ui"
    page = _PAGE.format(
        css=(assets / "swagger-ui.min.css").read_text(),
        js=(assets / "swagger-ui-bundle.min.js").read_text().replace("</script", "<\\/script"),
    )
    target.write_bytes(gzip.compress(page.encode(), 9, mtime=0))
