"""The documentation is complete and true: every command, key and route stands in docs/, and nothing else."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest
from events import example

from bootstrapd.cli.lifecycle import diagram
from bootstrapd.cli.manual import manual
from bootstrapd.config import Config, parse_config, parse_hosts
from bootstrapd.config.settings import NatsSettings
from bootstrapd.config.tables import HostTable, NetworksTable, ProfileTable
from bootstrapd.daemon import admit
from bootstrapd.edge.api import ApiServer
from bootstrapd.model import State
from bootstrapd.policy import admission, lifecycle, routes
from bootstrapd.policy.install import PHASES, Limits
from bootstrapd.policy.network import network_of
from bootstrapd.wire import command, envelope

DOCS = Path(__file__).parent.parent / "docs"
TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROUTE = re.compile(r"^\| `([A-Z]+ /[^`]*)`", re.MULTILINE)


def toml_blocks() -> list[str]:
    """The four files of docs/config.md: config.toml, host.toml, networks.toml, a profile."""
    blocks = TOML.findall((DOCS / "config.md").read_text())
    assert len(blocks) == 4
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


@pytest.mark.parametrize(("at", "kind"), list(enumerate([Config, HostTable, NetworksTable, ProfileTable])))
def test_every_key_is_documented_and_no_other(at: int, kind: type) -> None:
    known = set(keys_of(kind))
    assert set(documented(tomllib.loads(toml_blocks()[at]), known)) == known


def test_the_documented_config_is_the_default_one() -> None:
    assert parse_config(toml_blocks()[0], "docs/config.md") == Config()


def test_the_documented_hosts_folder_is_read() -> None:
    _, host, networks, profile = toml_blocks()
    files = {"node-1/host.toml": host, "networks.toml": networks, "profiles/minimal.toml": profile}
    book = parse_hosts(files, "docs")
    assert book.hosts["node-1"].profile == "minimal"
    assert network_of(book.hosts["node-1"], book.networks) == book.networks["boot"]


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


def test_every_refusal_is_documented_and_no_other() -> None:
    page = (DOCS / "trouble.md").read_text()
    _, _, section = page.partition("## Why a registration is refused")
    listed = re.findall(r"^\| `(\w+)` \|", section.partition("\n## ")[0], re.MULTILINE)
    sources = "".join(inspect.getsource(module) for module in (admission, admit))
    assert sorted(listed) == sorted(set(re.findall(r'Refusal\(\s*"(\w+)"', sources)))


def nats_page() -> str:
    return (DOCS / "nats.md").read_text()


def test_every_published_event_is_in_the_table_and_no_other() -> None:
    rows = re.findall(
        r"^\| `(\w+)\.<\w+>\.(\w+)` \| `(\w+)` \| \[\3\]\((events/\3\.json)\) \|$", nats_page(), re.MULTILINE
    )
    told = {kind: envelope.subject(example(kind), "p").split(".") for kind in envelope.PUBLIC}
    assert {row[:3] for row in rows} == {(at[2], at[4], envelope.event_type(kind)) for kind, at in told.items()}
    assert all((DOCS / file).exists() for *_, file in rows)


def test_every_command_is_in_the_table_and_no_other() -> None:
    cells = re.findall(
        r"^\| (`[a-z.`, -]+`) \| .* \| (?:\[.*\]\((events/command.*)\))? ?\|$", nats_page(), re.MULTILINE
    )
    named = {name for cell, _ in cells for name in re.findall("`([^`]+)`", cell)}
    assert named == set(command.SUBJECTS)
    assert {file for _, file in cells if file} == {
        f"events/command.{name}.json" for name, kind in command.SUBJECTS.items() if kind
    }


def test_the_examples_of_commands_and_events_are_read() -> None:
    shown = re.findall(r"^```json\n(.*?)^```", nats_page(), re.MULTILINE | re.DOTALL)
    event, new, again, ack = (text.encode() for text in shown)
    read = msgspec.json.decode(event, type=envelope.Envelope[dict[str, str]], strict=True)
    assert set(msgspec.json.decode(event)) == set(read.__struct_fields__)
    assert all(isinstance(command.parse("deploy", text), command.Deploy) for text in (new, again))
    assert set(msgspec.json.decode(ack)) == set(command.Ack.__struct_fields__)


def test_every_key_of_nats_is_explained_and_the_examples_are_read() -> None:
    for text in TOML.findall(nats_page()):
        parse_config(text, "docs/nats.md")
    for field in msgspec.structs.fields(NatsSettings):
        assert re.search(rf"\b{field.name}\b", nats_page()), field.name


def test_figures_of_the_install_are_the_ones_that_hold() -> None:
    page = (DOCS / "install.md").read_text()
    for phase in PHASES:
        (minutes, silence) = re.findall(
            rf"^\| `{phase}` \| .* \| (\d+) min(?:, (\d+) min of silence[^|]*)? \|$", page, re.MULTILINE
        )[0]
        assert float(minutes) * 60 == Limits().deadline_s[phase]
        assert float(silence or 0) * 60 == Limits().stall_s.get(phase, 0)
    assert [60.0 * minutes for minutes in (1, 5, 15)] == list(lifecycle.RETRY_AFTER_S)
    assert "after 1, 5 and 15 minutes: four attempts, at most three erases in 24 hours" in " ".join(
        page.split()
    )
    assert (lifecycle.ERASES_AN_ARM, lifecycle.ERASES_WITHIN_S) == (3, 24 * 3600)
    assert "within 15 minutes" in page
    assert lifecycle.DEADLINES_S[State.REBOOTING] == 15 * 60
    assert all(f"hosts {word} NAME" in page for word in ("why", "show", "arm", "disarm", "abort", "retry"))
