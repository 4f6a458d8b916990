"""The 4011 door on loopback, and what both doors share: silence, refusals, bugs, floods."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest
from dhcp_packets import MAC, REQUESTED, SERVER, discover, reply, request
from dhcp_serving import DEADLINE_S, HOST, serving
from structlog.testing import capture_logs

from bootstrapd.errors import RefusedError
from bootstrapd.model import Ask, Door, FileReply, Nothing, Reply, TextReply


async def test_P3_D20_a_request_is_acknowledged_at_its_source_from_the_port_it_came_to() -> None:
    async with serving() as running:
        running.machine.send(request(xid=7, ciaddr=b"\x0a\x00\x00\x09", flags=0x8000))
        answer, source = await running.machine.hear()
        assert source == (HOST, running.ports[1])
        assert (answer.xid, answer.message_type, answer.server_id) == (7, 5, HOST)
        assert answer.siaddr == socket.inet_aton(SERVER)
        assert running.asks[0].door is Door.PXE
        assert running.asks[0].client == "10.0.0.9"
        assert running.counters == {"dhcp.request_4011": 1, "dhcp.ack_4011": 1}


async def test_D2_whose_offer_a_booting_machine_takes_is_told_and_not_answered() -> None:
    other, ours = socket.inet_aton("10.77.0.1"), socket.inet_aton(HOST)
    async with serving() as running:
        for options in (
            {53: REQUESTED, 54: other},
            {53: REQUESTED, 54: ours},
            {53: REQUESTED},
            {54: other},
            {53: REQUESTED, 54: other, 60: b"udhcp"},
        ):
            running.machine.socket.sendto(discover(options), (HOST, running.ports[0]))
        running.machine.socket.sendto(discover({53: REQUESTED, 54: other}), (HOST, running.ports[0]))
        async with asyncio.timeout(DEADLINE_S):
            told = [await running.took.get() for _ in range(2)]
        assert told == [("52:54:00:77:00:10", "10.77.0.1")] * 2
        assert running.counters["dhcp.drop.other_message"] == 4


async def test_a_bug_in_the_telling_costs_nobody_an_answer() -> None:
    def broken(*_: object) -> None:
        raise KeyError

    async with serving() as running:
        running.server._took = broken
        running.machine.socket.sendto(
            discover({53: REQUESTED, 54: socket.inet_aton("10.77.0.1")}), (HOST, running.ports[0])
        )
        await running.machine.ask(1)
        assert running.counters["dhcp.bug"] == running.counters["dhcp.drop.other_message"] == 1


async def test_D14_P6_every_retry_is_answered_alike() -> None:
    async with serving() as running:
        answers = [await running.machine.ask(9) for _ in range(4)]
        assert all(answer == answers[0] for answer in answers)
        assert running.counters["dhcp.ack_4011"] == 4


async def test_nothing_is_silence() -> None:
    async with serving(lambda ask: Nothing("not ours") if ask.xid < 5 else reply(message_type=5)) as running:
        for xid in range(5):
            running.machine.send(request(xid=xid))
        await running.machine.ask(5)
        assert running.counters["dhcp.silent"] == 5


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "malformed"),
        (b"GET / HTTP/1.1\r\n\r\n", "malformed"),
        (discover(), "other_message"),
        (request({60: b"HTTPClient:Arch:00016:UNDI:003000"}), "http_on_4011"),
        (request({60: b""}), "not_a_boot_client"),
        (request({54: b"\x0a\x00\x00\x01"}), "other_server"),
        (request(mac=bytes(6)), "bad_mac"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_D1_D2_D3_P5_H5_what_is_no_question_is_counted(data: bytes, why: str) -> None:
    async with serving() as running:
        running.machine.send(data)
        await running.machine.ask(1)
        assert running.counters[f"dhcp.drop.{why}"] == 1
        assert len(running.asks) == 1


async def test_a_bug_in_the_answer_is_one_machines_and_one_traceback() -> None:
    def answer(ask: Ask) -> Reply:
        if ask.xid < 20:
            raise KeyError("a bug")
        return reply(message_type=5)

    async with serving(answer) as running:
        with capture_logs() as logs:
            for xid in range(20):
                running.machine.send(request(xid=xid))
            await running.machine.ask(20)
        assert running.counters["dhcp.bug"] == 20
        assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["dhcp.bug"]


@pytest.mark.parametrize("wrong", [TextReply(body=b"", name="x"), FileReply(path="x", name="x")])  # type: ignore[arg-type]
async def test_a_files_answer_is_none_here(wrong: Reply) -> None:
    async with serving(lambda ask: wrong if ask.xid == 1 else reply(message_type=5)) as running:
        running.machine.send(request(xid=1))
        await running.machine.ask(2)
        assert running.counters["dhcp.bug"] == 1


async def test_a_refusal_and_an_answer_too_long_are_counted() -> None:
    def answer(ask: Ask) -> Reply:
        if ask.xid == 1:
            raise RefusedError("not now", "NOT_NOW")
        return reply("x", *((43, bytes(255)),) * (3 if ask.xid == 2 else 0), message_type=5)

    async with serving(answer) as running:
        running.machine.send(request(xid=1))
        running.machine.send(request(xid=2))
        await running.machine.ask(3)
        assert running.counters["dhcp.drop.not_now"] == 1
        assert running.counters["dhcp.drop.reply_too_long"] == 1


async def test_D1_a_flood_of_garbage_stops_no_answer() -> None:
    """As fast as one sender can, on both ports; what the kernel drops of our own request is asked again."""
    chance = random.Random(7)
    garbage = [chance.randbytes(chance.randrange(0, 1400)) for _ in range(50)] + [request()[:200], discover()]
    async with serving() as running:
        for xid in range(1, 21):
            for _ in range(5):
                for data in garbage:
                    running.machine.send(data)
                    running.machine.socket.sendto(data, (HOST, running.ports[0]))
                await asyncio.sleep(0)
            await running.machine.ask(xid)
        assert running.counters["dhcp.ack_4011"] == 20
        assert running.counters["dhcp.drop.malformed"] > 1000


async def test_answers_kept_ready_do_not_mix_up_machines() -> None:
    """More different answers than the cache holds, two rounds; each machine gets its own."""
    async with serving(lambda ask: reply(f"nbp/{ask.mac.hexhyp}/a.efi", message_type=5)) as running:
        for _ in range(2):
            for number in range(300):
                mac = MAC[:4] + number.to_bytes(2, "big")
                running.machine.send(request(xid=number, mac=mac))
                answer, _ = await running.machine.hear()
                assert answer.boot_file == f"nbp/{mac.hex('-')}/a.efi"


async def test_a_changed_answer_is_sent_at_once() -> None:
    says = [reply("old.efi", message_type=5)]
    async with serving(lambda _: says[0]) as running:
        assert (await running.machine.ask(1)).boot_file == "old.efi"
        says[0] = reply("new.efi", message_type=5)
        assert (await running.machine.ask(2)).boot_file == "new.efi"


async def test_without_an_interface_nothing_is_broadcast() -> None:
    """It would leave by the default route, to a network that nobody named."""
    async with serving() as running:
        for xid in range(3):
            running.machine.socket.sendto(discover(xid=xid), (HOST, running.ports[0]))
        await running.machine.ask(1)
        assert running.counters["dhcp.discover"] == running.counters["dhcp.unsent.edestaddrreq"] == 3
        assert not running.counters["dhcp.offer"]
