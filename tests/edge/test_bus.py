"""The bus against the real nats-server: the stream is what the journal is, whatever happens between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nkeys  # type: ignore[import-untyped]
import pytest
from events import KINDS, example
from jsonschema import Draft202012Validator
from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats_stream import (
    bus_to,
    consumer,
    drained,
    everything,
    in_order_and_once,
    journal_at,
    noticed,
    running,
    sequences,
    until,
)

from bootstrapd.edge import bus as bus_module
from bootstrapd.edge import bus_stream, nats_server
from bootstrapd.edge.bus import Terms
from bootstrapd.edge.nats_server import Login, NatsServer
from bootstrapd.errors import RefusedError
from bootstrapd.model import Hardware, Registered, TokenIssued
from bootstrapd.wire import command, infrastructure
from bootstrapd.wire.command import Ack, AnyCommand

SILENCE_S = 0.5  # so long without a reply is none
EVENTS = Path(__file__).parent.parent.parent / "docs" / "events"


async def test_every_kind_of_event_is_published_as_its_schema_says_but_the_private_one(tmp_path: Path) -> None:
    events = [example(kind, number) for number, kind in enumerate(KINDS, 1)]
    async with running(tmp_path / "nats") as server, journal_at(tmp_path / "journal.db", events) as journal:
        async with bus_to(server, journal) as bus:
            await drained(bus)
        published = await everything(server)
    public = [event for event in events if not isinstance(event, TokenIssued)]
    in_order_and_once(published, [event.id for event in public])
    for message in published:
        schema = json.loads((EVENTS / f"{message.headers['CIM-Event-Type']}.json").read_text())
        Draft202012Validator(schema).validate(message.body)
        assert message.subject.startswith("cim.deployment.events.")
        assert message.headers["Nats-Msg-Id"] == message.body["event_id"]
    assert "secret" not in json.dumps([message.body for message in published])
    machines = [message.body for message in published if message.body["aggregate_id"] == "525400aabb01"]
    assert all(body["causation_id"] == body["event_id"] for body in machines)  # each a root: no boot, no run


async def test_an_event_names_the_one_before_it(tmp_path: Path) -> None:
    async with running(tmp_path / "nats") as server, journal_at(tmp_path / "journal.db") as journal:
        for number in (1, 2, 3):
            journal.append(example(KINDS[0], number, boot="event-000001"))
            async with bus_to(server, journal) as bus:  # each by another connection
                await until(lambda number=number: journal.last == number)  # type: ignore[misc]
                await drained(bus)
        published = await everything(server)
    causes = [message.body["causation_id"] for message in published]
    assert causes == ["event-000001", "event-000001", "event-000002"]


async def stopped_and_started_at_random(folder: Path, count: int, stops: int) -> None:
    dice, machines = random.Random(7), 50
    async with running(folder / "nats") as server, journal_at(folder / "journal.db") as journal:
        async with bus_to(server, journal) as bus:
            await drained(bus)

            async def stopping() -> None:
                for _ in range(stops):
                    await until(lambda: server.pid and bus.view().is_connected)
                    await asyncio.sleep(dice.uniform(0, 0.1))
                    os.kill(server.pid, dice.choice([signal.SIGKILL, signal.SIGTERM]))
                    await until(lambda: not bus.view().is_connected)

            stopper = asyncio.create_task(stopping())
            for number in range(count):
                future = journal.append(noticed(number, machines), can_wait=dice.random() < 0.9)
                if number % (count // 20 // stops or 1) == 0:
                    await future
            await stopper
            await until(lambda: journal.last == count)
            await drained(bus)
        published = await everything(server)
    in_order_and_once(published, [noticed(number, machines).id for number in range(count)])


async def test_nothing_is_lost_or_twice_with_the_server_stopped_and_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (bus_module, nats_server):
        monkeypatch.setattr(module, "RETRY_MAX_S", 0.2)
    await stopped_and_started_at_random(tmp_path, 10_000, 12)


@pytest.mark.parametrize("lost", ["the position", "nothing"])
async def test_nothing_is_twice_after_longer_than_the_window(
    tmp_path: Path, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream forgets at once what it has seen; only reading it back tells."""
    monkeypatch.setattr(bus_stream, "WINDOW_S", 0.1)
    path = tmp_path / "journal.db"
    async with running(tmp_path / "nats") as server:
        async with journal_at(path, map(noticed, range(100))) as journal, bus_to(server, journal) as bus:
            await drained(bus)
            if lost == "the position":
                copied(path, tmp_path / "older.db")  # as after a kill: the position is written when it closes
        await asyncio.sleep(0.3)  # the window passes
        if lost == "the position":
            path = tmp_path / "older.db"
        async with journal_at(path, map(noticed, range(100, 150))) as journal, bus_to(server, journal) as bus:
            await drained(bus)
        published = await everything(server)
    in_order_and_once(published, [noticed(number).id for number in range(150)])
    assert sorted(sequences(published)) == list(range(1, 151))


def copied(journal: Path, to: Path) -> None:
    for suffix in ("", "-wal"):
        shutil.copy(f"{journal}{suffix}", f"{to}{suffix}")


async def test_a_stream_that_lost_everything_is_filled_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with running(tmp_path / "one") as server, journal_at(path, map(noticed, range(50))) as journal:
        async with bus_to(server, journal) as bus:
            await drained(bus)
    async with running(tmp_path / "two") as server, journal_at(path) as journal:
        async with bus_to(server, journal) as bus:
            await until(lambda: journal.position.sequence == 50 and bus.view().is_connected)
            await until(lambda: journal.position.last == 50)
        published = await everything(server)
    in_order_and_once(published, [noticed(number).id for number in range(50)])


async def test_another_journals_events_hide_none_of_ours(tmp_path: Path) -> None:
    """The journal was begun anew: its numbers start over, and the stream's last is of the old one."""
    async with running(tmp_path / "nats") as server:
        for number, path in enumerate((tmp_path / "old.db", tmp_path / "new.db")):
            events = [noticed(at) for at in range(number * 100, number * 100 + 20)]
            async with journal_at(path, events) as journal, bus_to(server, journal) as bus:
                await drained(bus)
        published = await everything(server)
    assert len({message.body["event_id"] for message in published}) == len(published) == 40


async def test_a_stream_of_somebody_else_is_used_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path / "nats") as server, journal_at(tmp_path / "j.db", [noticed(1)]) as journal:
        async with consumer(server) as client:
            js = client.jetstream()
            await js.add_stream(name="FLEET", subjects=["cim.>"], duplicate_window=60)
            before = (await js.stream_info("FLEET")).config
        async with bus_to(server, journal) as bus:
            await drained(bus)
        published = await everything(server, "FLEET")
        async with consumer(server) as client:
            assert (await client.jetstream().stream_info("FLEET")).config == before
            assert [info.config.name for info in await client.jetstream().streams_info()] == ["FLEET"]
    assert sequences(published) == [1]
    assert "its duplicate window is 60" in capsys.readouterr().out


async def test_a_stream_of_our_name_for_other_subjects_is_left_alone_and_said(tmp_path: Path) -> None:
    async with running(tmp_path / "nats") as server, journal_at(tmp_path / "j.db", [noticed(1)]) as journal:
        async with consumer(server) as client:
            await client.jetstream().add_stream(name="DEPLOYMENT_EVENTS", subjects=["other.>"])
        async with bus_to(server, journal) as bus:
            await until(lambda: "cannot be made for cim.deployment.events.>" in bus.view().problem)
            assert bus.view().lag == 1
            assert not bus.view().is_connected


async def external(server: NatsServer, token_file: Path, token: str) -> Login:
    await asyncio.to_thread(token_file.write_text, token)
    return Login(urls=(await server.url(),), token=token_file)


async def test_a_wrong_token_is_said_and_a_right_one_is_found_without_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path / "nats") as server, journal_at(tmp_path / "j.db", [noticed(1)]) as journal:
        login = await external(server, tmp_path / "token", "wrong")
        async with bus_to(login, journal) as bus:
            await until(lambda: "refuses the login" in bus.view().problem)
            await external(server, tmp_path / "token", server.token)
            await drained(bus)
            assert bus.view().problem == ""


@pytest.mark.parametrize(
    ("login", "words"),
    [
        (Login(urls=("nats://127.0.0.1:1",)), "nats://127.0.0.1:1: "),
        (
            Login(urls=("nats://127.0.0.1:1",), token=Path("/not/there")),
            "/not/there cannot be read: No such file",
        ),
        (Login(urls=("nats://127.0.0.1:1",), credentials=Path("/not/there")), "/not/there cannot be read"),
        (Login(urls=("tls://127.0.0.1:1",), tls_ca=Path("/not/there")), "cannot be read: No such file"),
    ],
)
async def test_what_keeps_us_from_nats_is_said(tmp_path: Path, login: Login, words: str) -> None:
    async with journal_at(tmp_path / "j.db", [noticed(1)]) as journal, bus_to(login, journal) as bus:
        await until(lambda: bus.view().problem)
        assert words in bus.view().problem
        assert (bus.view().lag, bus.view().is_connected) == (1, False)


async def test_the_inventory_is_told_only_where_a_stream_takes_it(tmp_path: Path) -> None:
    events = [
        Registered(id=f"r{number}", machine="m", at=1.0, address="10.0.0.9", hardware=Hardware())
        for number in (1, 2)
    ]
    async with running(tmp_path / "nats") as server, journal_at(tmp_path / "j.db", events[:1]) as journal:
        async with bus_to(server, journal) as bus:
            await drained(bus)
        async with consumer(server) as client:
            await client.jetstream().add_stream(name="CIM", subjects=["infrastructure.>"])
        await journal.append(events[1])
        async with bus_to(server, journal) as bus:
            await drained(bus)
        told = await everything(server, "CIM")
        assert len(await everything(server)) == 2
    assert [message.subject for message in told] == [infrastructure.COMPUTE, infrastructure.ADDRESS]
    assert told[0].body["causation_id"] == "r2"


async def test_an_event_larger_than_the_server_takes_goes_out_without_its_data(tmp_path: Path) -> None:
    counters: Counter[str] = Counter()
    large = noticed(1).__class__(id="big", machine="m", at=1.0, code="X", reason="y" * (9 << 20))
    async with running(tmp_path / "nats") as server:
        async with journal_at(tmp_path / "j.db", [large, noticed(2)]) as journal:
            async with bus_to(server, journal, counters=counters) as bus:
                await drained(bus)
        published = {message.body["event_id"]: message.body for message in await everything(server)}
    assert published["big"]["data"] is None
    assert published["big"]["metadata"]["left_out_bytes"] > 9 << 20
    assert published["event-000002"]["data"]["code"] == "X"
    assert counters["nats.left_out"] == 1


async def ask(server: NatsServer, name: str, body: bytes, patience_s: float = 30.0) -> dict[str, object] | None:
    async with consumer(server) as client:
        try:
            reply = await client.request(f"cim.deployment.{name}", body, timeout=patience_s)
        except TimeoutError:
            return None
    return dict(json.loads(reply.data))


async def test_commands_are_answered_refused_or_left_to_others(tmp_path: Path) -> None:
    async def handler(asked: AnyCommand) -> Ack | None:
        match asked:
            case command.QueryHosts():
                return command.accepted(asked, [{"name": "w1"}])
            case command.QueryMachines():
                raise ZeroDivisionError
            case command.Deploy(host="w1"):
                raise RefusedError("w1 is being installed")
        return None

    counters: Counter[str] = Counter()
    terms = Terms(commands="deploy", site="east")
    async with running(tmp_path / "nats") as server, journal_at(tmp_path / "j.db") as journal:
        async with bus_to(server, journal, terms, counters, handler, lambda host: host == "w1") as bus:
            await drained(bus)
            hosts = await ask(server, "query.hosts", b'{"command_id":"c1"}')
            bug = await ask(server, "query.machines", b'{"command_id":"c2"}')
            refused = await ask(server, "deploy", b'{"command_id":"c3","host":"w1"}')
            others = await ask(server, "deploy", b'{"command_id":"c4","host":"w9"}', SILENCE_S)
            unbuilt = await ask(server, "update", b'{"command_id":"c5"}')
            junk = await ask(server, "deploy", b'{"host":"w1","command_id":7}')
    assert hosts is not None
    assert hosts["result"] == [{"name": "w1"}]
    assert (hosts["status"], hosts["command_id"], hosts["kind"]) == ("Accepted", "c1", "bootstrapd.ack")
    assert bug is not None
    assert bug["reason"] == "the appliance failed over it; its log says how"
    assert refused is not None
    assert (refused["status"], refused["reason"]) == ("Rejected", "w1 is being installed")
    assert others is None
    assert unbuilt is not None
    assert (unbuilt["status"], unbuilt["reason"]) == ("Rejected", "update is not built yet")
    assert junk is not None
    assert junk["status"] == "Rejected"
    assert counters["nats.rejected.deploy"] == 2
    assert counters["nats.command.deploy"] == 3


async def test_who_takes_queries_only_says_so_for_its_own_hosts(tmp_path: Path) -> None:
    async with running(tmp_path / "nats") as server, journal_at(tmp_path / "j.db") as journal:
        async with bus_to(server, journal, Terms(), owns=lambda host: host == "w1") as bus:
            await drained(bus)
            ours = await ask(server, "deploy", b'{"command_id":"c","host":"w1"}')
            others = await ask(server, "deploy", b'{"command_id":"c","host":"w2"}', SILENCE_S)
    assert ours is not None
    assert 'nats.commands = "query"' in str(ours["reason"])
    assert others is None


@asynccontextmanager
async def hub(folder: Path, more: str = "") -> AsyncIterator[tuple[str, str]]:
    """Another nats-server, as a site has it: (its URL, that of its leaf nodes)."""
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as other:
        ports = free.getsockname()[1], other.getsockname()[1]
    config = folder / "hub.conf"
    await asyncio.to_thread(
        config.write_text,
        f"host: 127.0.0.1, port: {ports[0]}, leafnodes: {{ host: 127.0.0.1, port: {ports[1]} }}\n{more}",
    )
    argv = (nats_server.find(), "-c", str(config))
    process = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield f"nats://127.0.0.1:{ports[0]}", f"nats-leaf://127.0.0.1:{ports[1]}"
    finally:
        process.terminate()
        await process.wait()


async def test_who_asks_at_the_hub_is_answered_through_the_leaf_node(tmp_path: Path) -> None:
    async with hub(tmp_path) as (url, leaves), journal_at(tmp_path / "j.db", [noticed(1)]) as journal:
        login = Login(urls=(leaves,))
        async with (
            running(tmp_path / "nats", "bootstrapd-east", hub=login) as server,
            bus_to(server, journal) as ours,
        ):
            await drained(ours)
            client = Client()
            await client.connect(servers=[url], allow_reconnect=False)
            try:
                reply = await asked_until_heard(client, "cim.deployment.update", b'{"command_id":"c1"}')
                info = await client.request(
                    "$JS.bootstrapd-east.API.STREAM.INFO.DEPLOYMENT_EVENTS", b"", timeout=5
                )
            finally:
                await client.close()
    assert json.loads(reply)["status"] == "Rejected"
    assert json.loads(info.data)["state"]["messages"] == 1  # by its domain: a hub can source it


async def asked_until_heard(client: Client, subject: str, body: bytes) -> bytes:
    """The link between the two servers comes up when it does."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(NoRespondersError):
                return bytes((await client.request(subject, body, timeout=5)).data)
            await asyncio.sleep(0.02)


async def test_a_login_by_nkey_over_tls_with_a_certificate_of_our_own(tmp_path: Path) -> None:
    pair = nkeys.from_seed(nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER))
    seed, user = tmp_path / "seed", pair.public_key.decode()
    await asyncio.to_thread(seed.write_bytes, pair.seed + b"\n")
    await asyncio.to_thread(certificate, tmp_path)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    settings = f"""
        tls: {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{cert}", verify: true }}
        authorization: {{ users: [ {{ nkey: {user} }} ] }}
        jetstream: {{ store_dir: "{tmp_path / "store"}" }}
    """
    async with hub(tmp_path, settings) as (url, _), journal_at(tmp_path / "j.db", [noticed(1)]) as journal:
        secure = url.replace("nats:", "tls:")
        for login, problem in (
            (Login(urls=(secure,), nkey_seed=seed, tls_ca=cert, tls_cert=cert, tls_key=key), ""),
            (Login(urls=(secure,), nkey_seed=seed), "TLS with tls://"),
            (Login(urls=(secure,), tls_ca=cert, tls_cert=cert, tls_key=key), "refuses the login"),
        ):
            async with bus_to(login, journal) as bus:
                if problem:
                    await until(lambda bus=bus: bus.view().problem)  # type: ignore[misc]
                    assert problem in bus.view().problem
                else:
                    await drained(bus)


def certificate(folder: Path) -> None:
    """One that is its own authority."""
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(["openssl", *words.split(), *names], cwd=folder, check=True, capture_output=True)
