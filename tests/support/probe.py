"""Import one function in a fresh interpreter and say what it turned out to be, as JSON.

    python tests/support/probe.py functions/predict lambda_handler

With only the project's own folders and the site packages on the path, and no network.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def main() -> None:
    folder, handler = Path(sys.argv[1]).resolve(), sys.argv[2]
    sys.path[:0] = [str(folder), str(ROOT), str(ROOT / "layers" / "core")]
    before = set(sys.modules)
    import app  # type: ignore[import-not-found]  # the function's own folder is on the path above

    imported = sorted({name.partition(".")[0] for name in set(sys.modules) - before})
    settings = getattr(app, "settings", None)
    fields = {
        "NEURALSTREAM_" + name.upper(): field
        for name, field in (type(settings).model_fields if settings else {}).items()
    }
    resolvers = [each for each in vars(app).values() if type(each).__name__ == "Resolver"]
    answer: dict[str, Any] = {
        "handler": callable(getattr(app, handler)),
        "modules": sorted(set(sys.modules) - before),
        "packages": [
            name
            for name in imported
            if name not in sys.stdlib_module_names
            and not name.startswith(("app", "_sysconfigdata"))
        ],
        "variables": sorted(fields),
        "required": sorted(name for name, field in fields.items() if field.is_required()),
        "routes": {
            key: str(route.middlewares[0].scope)
            for resolver in resolvers
            for key, route in resolver.routes.items()
        },
    }
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
