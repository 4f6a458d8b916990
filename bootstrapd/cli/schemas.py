"""`python -m bootstrapd.cli.schemas docs/events`: the JSON Schemas of what goes over NATS, a file each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bootstrapd.wire.schemas import schemas


def files() -> dict[str, str]:
    """The text of each file by its name."""
    return {f"{name}.json": json.dumps(schema, indent=2) + "\n" for name, schema in schemas()}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for old in folder.glob("*.json"):
        old.unlink()
    for name, text in files().items():
        (folder / name).write_text(text)
