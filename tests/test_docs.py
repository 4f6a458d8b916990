"""The documentation is complete and true: every command, key and route stands in docs/, and nothing else."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest

from bootstrapd.cli.lifecycle import diagram
from bootstrapd.cli.manual import manual
from bootstrapd.config import Config, parse_config, parse_hosts
from bootstrapd.config.tables import HostTable, ProfileTable
from bootstrapd.edge.api import ApiServer
from bootstrapd.policy import routes

DOCS = Path(__file__).parent.parent / "docs"
TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROUTE = re.compile(r"^\| `([A-Z]+ /[^`]*)`", re.MULTILINE)


def toml_blocks() -> list[str]:
    """The three files of docs/config.md: config.toml, host.toml, a profile."""
    blocks = TOML.findall((DOCS / "config.md").read_text())
    assert len(blocks) == 3
    return blocks


def keys_of(kind: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted key that a struct of the configuration takes; `*` for a name of the person's own."""
    for field in msgspec.structs.fields(kind):
        path = f"{prefix}{field.encode_name}"
        inner = struct_inside(field.type)
        if inner is None:
            yield path
        else:
            yield from keys_of(inner, f"{path}.*." if get_origin(field.type) is dict else f"{path}.")


def struct_inside(kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return next((found for arg in get_args(kind) if (found := struct_inside(arg))), None)


def documented(table: Any, known: set[str], prefix: str = "") -> Iterator[str]:
    """The dotted keys of a TOML table, in the terms of `keys_of`."""
    for name, value in table.items():
        path = prefix + name
        starred = f"{prefix}*"
        if isinstance(value, dict) and any(key.startswith(f"{starred}.") for key in known):
            yield from documented(value, known, f"{starred}.")
        elif isinstance(value, dict) and path not in known:
            yield from documented(value, known, f"{path}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from documented(value[0], known, f"{path}.")
        else:
            yield path


@pytest.mark.parametrize(("at", "kind"), list(enumerate([Config, HostTable, ProfileTable])))
def test_every_key_is_documented_and_no_other(at: int, kind: type) -> None:
    known = set(keys_of(kind))
    assert set(documented(tomllib.loads(toml_blocks()[at]), known)) == known


def test_the_documented_config_is_the_default_one() -> None:
    assert parse_config(toml_blocks()[0], "docs/config.md") == Config()


def test_the_documented_host_and_profile_are_read() -> None:
    _, host, profile = toml_blocks()
    book = parse_hosts({"node-1/host.toml": host, "profiles/minimal.toml": profile}, "docs")
    assert book.hosts["node-1"].profile == "minimal"


def test_the_command_reference_is_what_the_commands_say() -> None:
    written = (DOCS / "cli.md").read_text()
    assert written == manual(), "run: python -m bootstrapd.cli.manual > docs/cli.md"


def test_the_life_of_a_machine_is_the_one_that_is_lived() -> None:
    (shown,) = re.findall(
        r"^```mermaid\n(.*?)^```", (DOCS / "lifecycle.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert shown == diagram(), "put what `bootstrapd lifecycle` prints into docs/lifecycle.md"


def documented_routes() -> set[str]:
    return set(ROUTE.findall((DOCS / "http.md").read_text()))


def test_every_operators_route_is_documented_and_no_other() -> None:
    app = ApiServer(Path("unused"), None, Counter())._app()  # type: ignore[arg-type]
    served = {
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    boot = {"POST /v1/register", "POST /v1/report"}
    assert served == {route for route in documented_routes() - boot if " /v1/" in route}


def test_every_boot_path_is_documented() -> None:
    example = {"mac": "52-54-00-aa-bb-01", "image": "minimal", "file": "kernel", "random": "0" * 32}
    for route in documented_routes():
        method, path = route.split(" ")
        if method == "GET" and not path.startswith(("/v1/", "/healthz", "/readyz", "/metrics")):
            assert routes.read(path.format(**example)[1:]) is not None, route
    boot = [route for route in documented_routes() if re.match("GET /(boot|nbp|images|overlay)", route)]
    assert len(boot) == len(routes.ROUTES) - 1  # a bare name is TFTP's
