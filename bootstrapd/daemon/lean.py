"""A start without what nobody asked for: a quarter less time until the first machine is answered.

Importing aiohttp reads every root certificate of the system, for TLS clients that we do not have; structlog
loads rich for coloured tracebacks; and the collector walks through everything that is being built and stays.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def start() -> Iterator[None]:
    """Around imports and building. What is alive at the end is taken out of the collector's sight for good."""
    gc.disable()
    with _no_root_certificates(), _no_rich():
        yield
    gc.freeze()
    gc.enable()


@contextlib.contextmanager
def _no_root_certificates() -> Iterator[None]:
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = os.devnull
    try:
        yield
    finally:
        if before is None:
            del os.environ["SSL_CERT_FILE"]
        else:
            os.environ["SSL_CERT_FILE"] = before


@contextlib.contextmanager
def _no_rich() -> Iterator[None]:
    if "rich" in sys.modules:
        yield
        return
    sys.modules["rich"] = None  # type: ignore[assignment] # Python's own way to say "cannot be imported"
    try:
        yield
    finally:
        del sys.modules["rich"]
