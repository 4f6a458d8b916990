"""`make bench`: every bench in one run, ours and the peer in turns; a table, and `build/bench.json`.

    python -m tests.bench [dhcp] [tftp] [http] [start] [weight]     some of them

Never fails on a time: it fails when something does not run at all.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.bench.rows import Row

BENCHES: Final = ("dhcp", "tftp", "http", "start", "weight")
OUTPUT: Final = Path(__file__).parent.parent.parent / "build" / "bench.json"
LESS_IS_BETTER: Final = ("s", "ms", "MB", "CPU", "µs")


def main(names: list[str]) -> None:
    """Measure, write, show."""
    unknown = sorted(set(names) - set(BENCHES))
    if unknown:
        sys.exit(f"there is no bench {', '.join(unknown)}; there are: {', '.join(BENCHES)}")
    rows: dict[str, Row] = {}
    for name in names or BENCHES:
        began = time.monotonic()
        rows |= importlib.import_module(f"tests.bench.{name}").measure()
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    known = json.loads(OUTPUT.read_text()) if names and OUTPUT.exists() else {}
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(known | {name: as_json(row) for name, row in rows.items()}, indent=2) + "\n")
    Console().print(table(rows))


def as_json(row: Row) -> dict[str, float | str]:
    return {
        "ours": round(row.ours, 4),
        "peer": round(row.peer, 4),
        "peer_name": row.peer_name,
        "ratio": round(row.ratio, 3),
        "unit": row.unit,
    }


def table(rows: dict[str, Row]) -> Table:
    made = Table(title="ours beside the peer, same run", title_justify="left")
    for column in ("what", "ours", "peer", "ratio", "unit", ""):
        made.add_column(column, justify="right" if column in {"ours", "peer", "ratio"} else "left")
    for name, row in rows.items():
        less = row.unit.split()[0].rstrip("/GB") in LESS_IS_BETTER or row.unit.startswith(LESS_IS_BETTER)
        is_more = row.unit.endswith("/s")
        made.add_row(
            name,
            f"{row.ours:,.3g}" if row.ours < 1000 else f"{row.ours:,.0f}",
            f"{row.peer:,.3g}" if row.peer < 1000 else f"{row.peer:,.0f}",
            f"{row.ratio:.2f}",
            f"{row.unit} ({row.peer_name})",
            "more is better" if is_more else "less is better" if less else "",
        )
    return made


if __name__ == "__main__":
    main(sys.argv[1:])
