"""Hold a bill of materials against the schema of CycloneDX 1.6.

    python tests/sbom.py dist/neuralstream.cdx.json

Prints what is wrong and exits 1. Needs requirements/audit.txt; `make sbom` runs it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def main(file: Path) -> int:
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(file.read_text())
    if wrong is not None:
        print(f"{file}: {wrong}", file=sys.stderr)
    return int(wrong is not None)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
