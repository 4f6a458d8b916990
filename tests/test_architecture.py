"""The house's own rules, as tests: who may import whom, and who what from outside (STYLE.md, Layers)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

PACKAGE: Final = Path(__file__).parent.parent / "bootstrapd"

# A layer may import the layers listed; equal layers are strangers.
LAYERS: Final[dict[str, set[str]]] = {
    "errors": set(),
    "shipped": {"errors"},
    "model": {"errors"},
    "wire": {"errors", "model"},
    "policy": {"errors", "model"},
    "config": {"errors", "model", "policy", "shipped"},
    "edge": {"errors", "model", "wire", "policy"},
    "client": {"errors", "model", "wire", "policy"},
    "daemon": {"errors", "model", "wire", "policy", "config", "edge", "shipped", ""},
    "cli": {"errors", "model", "wire", "policy", "config", "edge", "client", "daemon", "shipped", ""},
}

# Each third-party package has one place that imports it (DESIGN.md, Layers).
IMPORTERS: Final[dict[str, tuple[str, ...]]] = {
    "aiohttp": ("edge/http", "edge/api"),
    "click": ("cli/",),
    "jinja2": ("policy/render",),
    "msgspec": ("model/", "config/", "wire/", "policy/", "edge/", "daemon/", "client/", "cli/"),  # our values
    "nats": ("edge/bus",),
    "prometheus_client": ("daemon/metrics",),
    "rich": ("cli/",),
    "scapy": ("client/",),
    "structlog": ("edge/", "daemon/"),
    "tftpy": ("client/",),
    "tomlkit": ("edge/hostdir",),
}
STANDARD: Final = frozenset(__import__("sys").stdlib_module_names) | {"__future__"}
IMPURE: Final = frozenset(
    {"time", "socket", "random", "secrets", "logging", "asyncio", "subprocess", "sqlite3"}
)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").as_posix()


def imports(file: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno
            if node.module.startswith("bootstrapd"):
                yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def layer_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("file", modules(), ids=name_of)
def test_a_layer_imports_only_what_stands_below_it(file: Path) -> None:
    own = name_of(file).split("/")[0]
    if own == "__init__":
        own = ""
    allowed = LAYERS.get(own, set()) | {own}
    for module, line in imports(file):
        if module == "bootstrapd" or not module.startswith("bootstrapd."):
            continue
        layer = layer_of(module)
        known = layer if layer in LAYERS else ""
        assert known in allowed or (known == "" and layer == "__version__"), f"{file}:{line} imports {module}"


@pytest.mark.parametrize("file", modules(), ids=name_of)
def test_each_third_party_package_has_one_place(file: Path) -> None:
    for module, line in imports(file):
        top = module.split(".")[0]
        if top in STANDARD or top == "bootstrapd":
            continue
        assert top in IMPORTERS, f"{file}:{line}: {top} is in no row of IMPORTERS"
        assert name_of(file).startswith(IMPORTERS[top]), f"{file}:{line} imports {top}"


@pytest.mark.parametrize(
    "file", [f for f in modules() if name_of(f).startswith(("wire/", "policy/"))], ids=name_of
)
def test_the_core_is_pure(file: Path) -> None:
    """No clock, no I/O, no randomness, no logging; `socket` for address text only."""
    for module, line in imports(file):
        allowed = {"socket"} if name_of(file).startswith("wire/") else set()
        assert module.split(".")[0] not in IMPURE - allowed, f"{file}:{line} imports {module}"
    assert "open(" not in file.read_text().replace("_open(", "")


def test_every_row_of_the_tables_is_used() -> None:
    used = {module.split(".")[0] for file in modules() for module, _ in imports(file)}
    assert set(IMPORTERS) <= used | set(), f"rows without an importer: {set(IMPORTERS) - used}"


def test_no_module_has_grown_past_its_room() -> None:
    """STYLE.md: a module past 300 lines is asking to be two."""
    large = {name_of(file): n for file in modules() if (n := len(file.read_text().splitlines())) > 350}
    assert not large, large
