"""`make bench`: every bench in one run, ours and the peer in turns; a table, and `build/bench.json`.

    python -m tests.bench [dhcp] [tftp] [http] [start] [weight] [journal] [register]     some of them

Never fails on a time: it fails when something does not run at all.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Final

from tests.bench.rows import Row

BENCHES: Final = ("dhcp", "tftp", "http", "start", "weight", "journal", "register")
OUTPUT: Final = Path(__file__).parent.parent.parent / "build" / "bench.json"
# What was promised, on a machine that does nothing else: shown beside the figure, never judged.
BARS: Final = {
    "dhcp_proxy_rps": "ratio >= 1.5",
    "tftp_w1_64": "ratio >= 1.0",
    "tftp_w16_64": "ratio >= 3",
    "http_cpu_s_per_gb": "ratio <= 1.4",
    "start_s": "< 0.7 s",
    "rss_mb": "< 80 MB",
    "register_rps": ">= 2,000/s",
    "register_p99_ms": "< 50 ms",
    "cli_list_s": "< 0.2 s",
    "replay_s": "< 20 s",
    "snapshot_start_s": "< 2 s",
}


def main(names: list[str]) -> None:
    """Measure, write, show."""
    unknown = sorted(set(names) - set(BENCHES))
    if unknown:
        sys.exit(f"there is no bench {', '.join(unknown)}; there are: {', '.join(BENCHES)}")
    # As it is installed: pip and Nix compile, and a shell may have told Python to keep nothing compiled.
    os.environ |= {
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(OUTPUT.parent.resolve() / "bytecode"),
    }
    rows: dict[str, Row] = {}
    for name in names or BENCHES:
        began = time.monotonic()
        rows |= importlib.import_module(f"tests.bench.{name}").measure()
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    known = json.loads(OUTPUT.read_text()) if names and OUTPUT.exists() else {}
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(known | {name: as_json(row) for name, row in rows.items()}, indent=2) + "\n")
    print(table(rows))


def as_json(row: Row) -> dict[str, float | str]:
    return {
        "ours": round(row.ours, 4),
        "peer": round(row.peer, 4),
        "peer_name": row.peer_name,
        "ratio": round(row.ratio, 3),
        "unit": row.unit,
    }


def table(rows: dict[str, Row]) -> str:
    """A line each, below each other in columns; wide lines are the terminal's to wrap, nothing is left out."""
    lines = [("what", "ours", "peer", "ratio", "unit", "bar")]
    for name, row in rows.items():
        ours, peer = (f"{value:,.3g}" if value < 1000 else f"{value:,.0f}" for value in (row.ours, row.peer))
        unit = f"{row.unit}, {row.peer_name}"
        lines.append((name, ours, peer, f"{row.ratio:.2f}", unit, BARS.get(name, "")))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligns = "<>>><<"
    return "\n".join(
        "  ".join(f"{cell:{align}{width}}" for cell, align, width in zip(line, aligns, widths, strict=True))
        for line in lines
    )


if __name__ == "__main__":
    main(sys.argv[1:])
