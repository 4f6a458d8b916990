"""The 4011 door on loopback, and what both doors share: silence, refusals, bugs, floods, failing starts."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

import pytest
from dhcp_packets import MAC, REQUESTED, SERVER, discover, reply, request
from structlog.testing import capture_logs

from bootstrapd.edge.dhcp import DhcpServer
from bootstrapd.edge.dhcp_sockets import Speaker, explained
from bootstrapd.errors import EdgeError, RefusedError
from bootstrapd.model import Ask, Door, FileReply, Nothing, Reply, TextReply
from bootstrapd.wire import dhcp

HOST = "127.0.0.1"
DEADLINE_S = 5.0


def free_port() -> int:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class Machine:
    """A client of the 4011 door, on a port of its own."""

    def __init__(self, to: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((HOST, 0))
        self.to = to

    def send(self, data: bytes) -> None:
        self.socket.sendto(data, self.to)

    async def hear(self) -> tuple[dhcp.Packet, tuple[str, int]]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DEADLINE_S):
            data, source = await loop.sock_recvfrom(self.socket, 2048)
        return dhcp.parse(data), source

    async def ask(self, xid: int) -> dhcp.Packet:
        """Asks, and makes sure that the next thing heard is the answer to this: nothing else was answered."""
        self.send(request(xid=xid))
        answer, _ = await self.hear()
        assert answer.xid == xid
        return answer


class Serving:
    """A running server, what it was asked, and a machine beside it."""

    def __init__(self, answer: Callable[[Ask], Reply]) -> None:
        self.asks: list[Ask] = []
        self.took: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.counters: Counter[str] = Counter()
        self.ports = (free_port(), free_port())
        self._says = answer
        self.server = DhcpServer(
            "",
            HOST,
            self._answer,
            self.counters,
            port=self.ports[0],
            pxe_port=self.ports[1],
            took=lambda mac, server: self.took.put_nowait((mac, server)),
        )
        self.machine = Machine((HOST, self.ports[1]))

    def _answer(self, ask: Ask) -> Reply:
        self.asks.append(ask)
        return self._says(ask)


@asynccontextmanager
async def serving(answer: Callable[[Ask], Reply] = lambda _: reply(message_type=5)) -> AsyncIterator[Serving]:
    running = Serving(answer)
    await running.server.start()
    try:
        yield running
    finally:
        await running.server.close()
        running.machine.socket.close()


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


def quiet_server(interface: str = "", address: str = HOST, ports: tuple[int, int] | None = None) -> DhcpServer:
    port, pxe_port = ports or (free_port(), free_port())
    return DhcpServer(interface, address, lambda _: reply(), Counter(), port=port, pxe_port=pxe_port)


async def test_start_and_close_twice() -> None:
    server = quiet_server()
    await server.start()
    await server.close()
    await server.close()
    await server.start()
    await server.close()


@pytest.mark.parametrize("which", [0, 1])
async def test_a_taken_port_is_named_with_who_may_hold_it(which: int) -> None:
    ports = (free_port(), free_port())
    server = quiet_server(ports=ports)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as holder:
        holder.bind((HOST, ports[which]))
        with pytest.raises(EdgeError, match=f"UDP port {ports[which]} .*already taken.*dnsmasq"):
            await server.start()
    await server.start()  # the failed start kept nothing
    await server.close()


async def test_an_interface_that_is_not_there_is_named() -> None:
    with pytest.raises(EdgeError, match="no interface nosuch0"):
        await quiet_server("nosuch0").start()


async def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(EdgeError, match=r"192\.0\.2\.1 is no address of this machine"):
        await quiet_server(address="192.0.2.1").start()


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EACCES, "no permission for UDP port 67: run as root or with CAP_NET_BIND_SERVICE"),
        (errno.EPERM, "no permission to bind to eth9: run as root or with CAP_NET_RAW"),
        (errno.EMFILE, "UDP port 67 on eth9 cannot be opened: .*Too many open files"),
    ],
)
def test_each_failure_says_what_to_do(number: int, says: str) -> None:
    with pytest.raises(EdgeError, match=says), explained("eth9", "10.0.0.1", 67):
        raise OSError(number, "Too many open files")


class FakeSocket:
    """Sends into a list, or fails as told; `cuts` is whether the kernel would cut one call into datagrams."""

    def __init__(self, fails: int = 0, cuts: int = 0) -> None:
        self.sent: list[bytes] = []
        self.calls = 0
        self.fails = fails
        self.cuts = cuts

    def send(self, data: bytes) -> None:
        self.calls += 1
        if self.fails:
            raise OSError(self.fails, "as told")
        self.sent.append(data)

    def sendto(self, data: bytes, _to: tuple[str, int]) -> None:
        self.send(data)

    def sendmsg(self, parts: list[bytes], ancillary: object) -> None:
        assert ancillary
        self.calls += 1
        if self.cuts:
            raise OSError(self.cuts, "as told")
        assert len({len(part) for part in parts}) == 1
        assert sum(map(len, parts)) < 65_507
        self.sent += parts


def speaker(fake: FakeSocket) -> tuple[Speaker, Counter[str]]:
    counters: Counter[str] = Counter()
    return Speaker(fake, counters), counters  # type: ignore[arg-type]


def test_offers_of_one_size_leave_as_one_call() -> None:
    fake = FakeSocket()
    offers = [b"a" * 300, b"b" * 310, b"c" * 300, b"d" * 300]
    assert speaker(fake)[0].broadcast(offers) == 4
    assert sorted(fake.sent) == offers
    assert fake.calls == 2


def test_no_call_is_larger_than_one_ip_packet() -> None:
    fake = FakeSocket()
    assert speaker(fake)[0].broadcast([b"x" * 1472] * 64) == 64
    assert len(fake.sent) == 64


@pytest.mark.parametrize("number", [errno.EIO, errno.EINVAL, errno.ENOPROTOOPT])
def test_where_the_kernel_cannot_cut_offers_leave_one_by_one(number: int) -> None:
    fake = FakeSocket(cuts=number)
    speaks, counters = speaker(fake)
    assert speaks.broadcast([b"a" * 300] * 5) == 5
    assert speaks.broadcast([b"a" * 300] * 5) == 5
    assert fake.calls == 11  # tried once, never again
    assert not counters


@pytest.mark.parametrize("number", [errno.ENETDOWN, errno.ENOBUFS, errno.EAGAIN, errno.ENETUNREACH])
def test_what_cannot_leave_is_counted_and_not_fatal(number: int) -> None:
    name = errno.errorcode[number].lower()
    speaks, counters = speaker(FakeSocket(fails=number, cuts=number))
    assert speaks.send(b"a", ("10.0.0.1", 68)) == 0
    assert speaks.broadcast([b"a" * 300]) == 0
    assert speaks.broadcast([b"a" * 300] * 2) == 0
    assert counters == {f"dhcp.unsent.{name}": 4}


async def test_without_an_interface_nothing_is_broadcast() -> None:
    """It would leave by the default route, to a network that nobody named."""
    async with serving() as running:
        for xid in range(3):
            running.machine.socket.sendto(discover(xid=xid), (HOST, running.ports[0]))
        await running.machine.ask(1)
        assert running.counters["dhcp.discover"] == running.counters["dhcp.unsent.edestaddrreq"] == 3
        assert not running.counters["dhcp.offer"]
