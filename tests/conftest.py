"""What all tests share: `tests/` itself is importable, so that builders are written once."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
