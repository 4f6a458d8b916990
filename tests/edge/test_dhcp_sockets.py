"""The DHCP server's sockets: what a failing start says, and offers that leave as one call or not at all."""

from __future__ import annotations

import errno
import socket
from collections import Counter
from contextlib import closing

import pytest
from dhcp_packets import reply
from dhcp_serving import HOST, free_port

from bootstrapd.edge.dhcp import DhcpServer
from bootstrapd.edge.dhcp_sockets import Speaker, explained
from bootstrapd.errors import EdgeError


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
