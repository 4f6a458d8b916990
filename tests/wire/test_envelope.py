"""Events as the fleet sees them: subjects, headers, the envelope, and the JSON Schemas beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from events import KINDS, example
from jsonschema import Draft202012Validator

from bootstrapd.cli.schemas import files
from bootstrapd.model import Armed, BootAsked, Claimed, Event, PhaseStarted, Registered, TokenIssued
from bootstrapd.wire import envelope, infrastructure

EVENTS = Path(__file__).parent.parent.parent / "docs" / "events"


def body_of(event: Any, **more: Any) -> dict[str, Any]:
    message = envelope.build(event, 7, prefix="cim.deployment", site="east", **more)
    assert message is not None
    return dict(json.loads(message.body))


def test_a_machines_event_as_it_goes_out() -> None:
    event = PhaseStarted(id="e9", machine="525400aabb01", at=1.5, boot="b1", run="r1", phase="disko")
    message = envelope.build(event, 42, prefix="cim.deployment", site="east", before="e8")
    assert message is not None
    assert message.subject == "cim.deployment.events.machine.525400aabb01.phase_started"
    assert message.headers == {
        "Nats-Msg-Id": "e9",
        "CIM-Aggregate-Id": "525400aabb01",
        "CIM-Event-Type": "MachinePhaseStarted",
        "CIM-Timestamp": "1970-01-01T00:00:01.500000Z",
        "CIM-Correlation-Id": "r1",
    }
    assert json.loads(message.body) == {
        "event_id": "e9",
        "aggregate_id": "525400aabb01",
        "sequence": 42,
        "timestamp": "1970-01-01T00:00:01.500000Z",
        "correlation_id": "r1",
        "causation_id": "e8",
        "event_type": "MachinePhaseStarted",
        "data": {"phase": "disko"},
        "metadata": {"site": "east", "boot": "b1", "run": "r1", "left_out_bytes": 0},
    }


def test_a_hosts_event_is_about_the_host() -> None:
    message = envelope.build(example(Armed, host="w1"), 1, prefix="p", site="s")
    assert message is not None
    assert message.subject == "p.events.host.w1.armed"
    assert message.headers["CIM-Aggregate-Id"] == "w1"
    assert message.headers["CIM-Event-Type"] == "HostArmed"


def test_a_roots_three_ids_are_equal() -> None:
    for root in (example(BootAsked, boot="event-000001"), example(Claimed, boot="b", run="event-000001")):
        body = body_of(root, before="another")
        assert body["event_id"] == body["correlation_id"] == body["causation_id"]


def test_without_the_event_before_it_the_root_is_named() -> None:
    assert body_of(example(PhaseStarted, boot="b1", run="r1"))["causation_id"] == "r1"


def test_a_token_is_never_built() -> None:
    assert envelope.build(example(TokenIssued), 1, prefix="p", site="s") is None
    assert TokenIssued not in envelope.PUBLIC
    assert not (EVENTS / "MachineTokenIssued.json").exists()


@pytest.mark.parametrize("name", ["a.b", "a b", "*", ">", "", "ü", "a\r\nb", "52:54:00:aa:bb:01"])
def test_no_text_breaks_out_of_its_token(name: str) -> None:
    token = envelope.token(name)
    assert re.fullmatch(r"[A-Za-z0-9_=-]+", token)
    assert token != envelope.token(name + "x")
    subject = envelope.subject(example(Armed, host=name), "p")
    assert subject.split(".") == ["p", "events", "host", token, "armed"]
    assert envelope.subjects_of("host", name, "p") == f"p.events.host.{token}.>"


def test_what_the_server_would_not_take_goes_out_without_its_data() -> None:
    event = example(Registered)
    body = body_of(event, is_bare=True)
    assert body["data"] is None
    assert body["metadata"]["left_out_bytes"] > 100


@pytest.mark.parametrize("kind", envelope.PUBLIC, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("is_bare", [False, True])
def test_every_event_is_what_its_schema_says(kind: type[Event], is_bare: bool) -> None:
    schema = json.loads((EVENTS / f"{envelope.event_type(kind)}.json").read_text())
    Draft202012Validator.check_schema(schema)
    body = body_of(example(kind), is_bare=is_bare)
    Draft202012Validator(schema).validate(body)
    del body["sequence"]
    assert not Draft202012Validator(schema).is_valid(body)
    assert set(envelope.OWN_FIELDS[kind]) == {field.name for field in msgspec.structs.fields(kind)} - {
        "id",
        "machine",
        "at",
        "boot",
        "run",
    }


def sorted_choices(value: Any) -> Any:
    """A schema with its alternatives in one order: msgspec 0.21 and 0.22 have one each."""
    match value:
        case dict():
            inner = {key: sorted_choices(item) for key, item in value.items()}
            return {**inner, "anyOf": sorted(inner["anyOf"], key=json.dumps)} if "anyOf" in inner else inner
        case list():
            return [sorted_choices(item) for item in value]
    return value


def test_the_schemas_are_those_of_the_model() -> None:
    written = {file.name: sorted_choices(json.loads(file.read_text())) for file in EVENTS.glob("*.json")}
    made = {name: sorted_choices(json.loads(text)) for name, text in files().items()}
    assert written == made, "run: python -m bootstrapd.cli.schemas docs/events"
    assert len(KINDS) == len(envelope.PUBLIC) + 1


def test_a_registration_tells_the_inventory_each_time_the_same() -> None:
    event = example(Registered)
    told = list(infrastructure.messages(event, 3, site="s"))
    assert [message.subject for message in told] == [
        "infrastructure.compute.registered",
        "infrastructure.interface.added",
        "infrastructure.ip.assigned",
    ]
    assert [message.headers["Nats-Msg-Id"] for message in told] == [f"{event.id}.{n}" for n in range(3)]
    assert told == list(infrastructure.messages(event, 3, site="s"))
    assert json.loads(told[0].body)["data"]["cpu_threads"] == 3
    assert not list(infrastructure.messages(example(BootAsked), 1, site="s"))
