"""Commands over NATS: what is read, what is refused and why, and what goes back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bootstrapd.cli.schemas import files
from bootstrapd.errors import WireError
from bootstrapd.model import Mac, encode
from bootstrapd.wire import command
from bootstrapd.wire.command import Deploy, QueryHosts, QueryMachines


def test_a_deploy_of_a_new_host() -> None:
    body = b'{"command_id":"c1","host":"w1","profile":"minimal","mac":["52-54-00-AA-BB-01"]}'
    asked = command.parse("deploy", body)
    assert asked == Deploy(command_id="c1", host="w1", profile="minimal", mac=(Mac("52:54:00:aa:bb:01"),))
    Draft202012Validator(json.loads(files()["command.deploy.json"])).validate(json.loads(encode(asked)))


def test_queries_have_their_defaults() -> None:
    assert command.parse("query.machines", b'{"command_id":"c"}') == QueryMachines(command_id="c")
    assert command.parse("query.hosts", b'{"command_id":"c","limit":2}') == QueryHosts(command_id="c", limit=2)


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("deploy", b"", "cannot be read"),
        ("deploy", b"[]", "Expected `object`"),
        ("deploy", b'{"command_id":"c"}', "missing required field `host`"),
        ("deploy", b'{"command_id":"c","host":"../etc"}', "at `$.host`"),
        ("deploy", b'{"command_id":"c","host":"$(reboot)"}', "at `$.host`"),
        ("deploy", b'{"command_id":"c","host":"w1\\n"}', "at `$.host`"),
        ("deploy", b'{"command_id":"c","host":"w1","erase":true}', "unknown field `erase`"),
        ("deploy", b'{"command_id":"c","host":"w1","mac":["01:00:5e:00:00:01"]}', "is not the address"),
        ("deploy", b'{"command_id":"","host":"w1"}', "at `$.command_id`"),
        ("deploy", b'{"command_id":"c","host":"w1","x":"' + b"a" * 70_000 + b'"}', "at most 65536 are read"),
        ("query.hosts", b'{"command_id":"c","limit":1001}', "at `$.limit`"),
        ("update", b'{"command_id":"c"}', "update is not built yet"),
        ("scale", b"{}", "scale is not built yet"),
        ("gpu-agent", b"junk", "gpu-agent is not built yet"),
        ("query.everything", b"{}", "is not built yet"),
        ("deploy", b"[" * 60_000, "cannot be read"),
    ],
)
def test_what_is_wrong_is_refused_with_its_reason(name: str, body: bytes, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        command.parse(name, body)
    assert reason in str(caught.value)
    ack = command.rejected(body, str(caught.value))
    assert (ack.status, ack.kind) == ("Rejected", "bootstrapd.ack")


def test_a_refusal_carries_the_ids_that_can_be_read() -> None:
    ack = command.rejected(b'{"command_id":"c1","correlation_id":"r1","junk":[1]}', "no")
    assert (ack.command_id, ack.correlation_id) == ("c1", "r1")
    assert command.rejected(b'{"command_id":"c1"}', "no").correlation_id == "c1"
    assert command.rejected(b"\xff", "no").command_id == ""
    assert command.host_of(b'{"host":"w1","command_id":5}') == ""
    assert command.host_of(b'{"host":"w1"}') == "w1"


def test_an_answer_is_what_its_schema_says() -> None:
    asked = QueryHosts(command_id="c")
    schema = Draft202012Validator(json.loads(files()["command.ack.json"]))
    for ack in (command.accepted(asked, [{"name": "w1"}]), command.refused(asked, "why")):
        schema.validate(json.loads(encode(ack)))
    assert json.loads(encode(command.accepted(asked, [1])))["result"] == [1]


@given(st.sampled_from([*command.SUBJECTS]), st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_command_or_a_refusal(name: str, body: bytes) -> None:
    try:
        command.parse(name, body)
    except WireError as error:
        refusal = encode(command.rejected(body, str(error)))
    else:
        refusal = b""
    assert not refusal or b'"status":"Rejected"' in refusal
