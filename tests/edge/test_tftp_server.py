"""The TFTP server over real sockets, packet by packet."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tftp_serving import Client, serving

from bootstrapd.edge.tftp import Limits, TftpServer
from bootstrapd.edge.tftp_ports import OwnPort, can_segment
from bootstrapd.errors import EdgeError
from bootstrapd.model import DhcpReply, Door, FileAsk, FileReply, Nothing
from bootstrapd.wire import tftp
from bootstrapd.wire.tftp import Ack, Data, Error, Oack, Rrq, Wrq

NBP = random.Random(1).randbytes(300_000)
SIZES = [0, 1, 511, 512, 513, 5000]
WAYS: list[dict[str, Any]] = [
    {},
    {"segmentation": False},
    {"single_port": True},
    {"single_port": True, "segmentation": False},
]


@pytest.fixture
def nbp(tmp_path: Path) -> Path:
    path = tmp_path / "snponly.efi"
    path.write_bytes(NBP)
    return path


# What is sent


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", SIZES)
async def test_T8_files_and_texts_of_every_size(way: dict[str, Any], size: int, tmp_path: Path) -> None:
    content = random.Random(size).randbytes(size)
    (tmp_path / "file").write_bytes(content)
    async with serving({"file": tmp_path / "file", "text": content}, **way) as served, Client(served) as client:
        for path in ("file", "text"):
            for windowsize in (1, 4):
                assert await client.fetch(path, blksize=512, windowsize=windowsize) == content
            assert await client.fetch(path) == content
        await served.wait_for_end(*[("file", "done")] * 3, *[("text", "done")] * 3)
        assert served.counters["tftp.bytes"] == 6 * size
        assert served.counters["tftp.done"] == 6


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("blksize", [8, 512, 1000, 1468])
@pytest.mark.parametrize("windowsize", [1, 16, 64])
async def test_T6_windows(way: dict[str, Any], blksize: int, windowsize: int, nbp: Path) -> None:
    content = NBP[: 100 * blksize + 3]
    os.truncate(nbp, len(content))
    async with serving({"snponly.efi": nbp}, **way) as served, Client(served) as client:
        assert await client.fetch("snponly.efi", blksize=blksize, windowsize=windowsize) == content
        await served.wait_for_end(("snponly.efi", "done"))
        assert served.counters["tftp.retransmit"] == 0


@pytest.mark.skipif(not can_segment(), reason="this kernel has no UDP_SEGMENT")
async def test_T6_a_window_is_one_system_call(nbp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T6: the first window is tried out by the port, and all that follow are written as they are."""
    sizes: list[int] = []
    write = os.write

    def counted(fd: int, data: bytes) -> int:
        sizes.append(len(data))
        return write(fd, data)

    monkeypatch.setattr(os, "write", counted)
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        assert await client.fetch("snponly.efi", blksize=1468, windowsize=16) == NBP
    assert sizes.count(16 * 1472) == len(NBP) // 1468 // 16


@pytest.mark.skipif(not can_segment(), reason="this kernel has no UDP_SEGMENT")
@pytest.mark.parametrize("code", [errno.EIO, errno.EINVAL, errno.EMSGSIZE])
async def test_T6_a_device_that_cannot_segment(nbp: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """T6: found out with the first window, of which nothing is lost."""
    write = OwnPort.write

    def refusing(port: OwnPort, part: bytes) -> None:
        if len(part) > 1472:
            raise OSError(code, "no checksum offload")
        write(port, part)

    monkeypatch.setattr(OwnPort, "write", refusing)
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        assert await client.fetch("snponly.efi", blksize=1468, windowsize=16) == NBP
        await served.wait_for_end(("snponly.efi", "done"))
        assert served.counters["tftp.retransmit"] == 0


async def test_T1_a_size_probe_is_no_failure(nbp: Path) -> None:
    """T1: counted and told, and logged as nothing that a person would see."""
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        with capture_logs() as logs:
            answer = await client.ask("snponly.efi", tsize=0, blksize=1468, windowsize=4)
            assert answer == Oack((("tsize", str(len(NBP))), ("blksize", "1468"), ("windowsize", "4")))
            await client.send(Error(8, "User aborted the transfer"))
            await served.wait_for_end(("snponly.efi", "probe"))
        assert not logs
        assert served.counters == Counter(
            {"tftp.rrq": 1, "tftp.probe": 1, "tftp.bytes": 0, "tftp.retransmit": 0}
        )
        assert await client.fetch("snponly.efi", blksize=1468, windowsize=4) == NBP


async def test_T5_no_options(nbp: Path) -> None:
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        assert await client.ask("snponly.efi") == Data(1, NBP[:512])


async def test_T4_T6_the_hosts_own_caps(nbp: Path) -> None:
    reply = FileReply(path=nbp, name="a", max_blksize=512, max_windowsize=1)
    async with serving({"a": reply, "b": nbp}) as served, Client(served) as client:
        assert await client.ask("a", blksize=1468, windowsize=4) == Oack((("blksize", "512"),))
        assert await client.ask("b", blksize=65464, windowsize=4) == Oack(
            (("blksize", "1468"), ("windowsize", "4"))
        )


async def test_T4_a_path_with_a_small_mtu(nbp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnPort, "mtu", property(lambda _: 1400))
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        assert await client.ask("snponly.efi", blksize=1468) == Oack((("blksize", "1368"),))


async def test_T4_the_mtu_is_the_paths(nbp: Path) -> None:
    """T4: and where frames are longer, the limit is the operator's."""
    limits = Limits(max_blksize=65464)
    async with serving({"snponly.efi": nbp}, limits=limits) as served, Client(served) as client:
        assert await client.ask("snponly.efi", blksize=65464) == Oack((("blksize", "65464"),))
        assert await client.fetch("snponly.efi", blksize=65464) == NBP


async def test_T10_T11_T15_what_is_asked(nbp: Path) -> None:
    """T10, T11, T15: the decision gets a harmless path and the two addresses, and nothing else."""
    async with serving({"nbp/52-54-00-aa-bb-01/snponly.efi": nbp}) as served:
        async with Client(served, source="127.0.0.9") as client:
            answer = await client.ask(b"\\nbp\\..\\nbp//52-54-00-aa-bb-01\\snponly.efi\xff", blksize=1468)
        assert isinstance(answer, Oack)
        assert served.asks == [
            FileAsk(
                door=Door.TFTP,
                path="nbp/52-54-00-aa-bb-01/snponly.efi",
                server="127.0.0.1",
                client="127.0.0.9",
            )
        ]


# What is refused


async def test_T12_I9_not_found_at_once() -> None:
    """T12, I9: ERROR 1 with the words that iPXE knows, before the loop has done anything else."""
    async with serving({}) as served, Client(served) as client:
        with capture_logs() as logs:
            assert await client.ask("autoexec.ipxe", blksize=1432, tsize=0) == Error(1, "File not found")
        assert served.counters == Counter({"tftp.rrq": 1, "tftp.refused.not_found": 1})
        assert {entry["log_level"] for entry in logs} == {"debug"}
        assert len(served.server._transfers) == 0


async def test_T14_writing_and_modes(nbp: Path) -> None:
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        await client.send(Wrq(b"snponly.efi"), client.well_known)
        assert await client.receive() == Error(2, "nothing can be written here")
        assert isinstance(await client.ask("snponly.efi", mode="mail"), Error)
        await client.request("snponly.efi", mode="mail")
        assert (await client.receive()) == Error(4, "no mode 'mail' here, only octet")
        assert await client.ask("snponly.efi", mode="NETASCII") == Data(1, NBP[:512])
        assert served.counters["tftp.refused.write"] == 1
        assert served.counters["tftp.refused.mode"] == 2


@pytest.mark.parametrize("packet", [Ack(1), Data(1, b"x"), Oack(()), Error(0, "no")])
async def test_stray_packets_are_not_answered(packet: tftp.Packet, nbp: Path) -> None:
    """An ERROR in answer to an ERROR could go on for ever."""
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        await client.send(packet, client.well_known)
        assert await client.ask("snponly.efi") == Data(1, NBP[:512])
        assert served.counters["tftp.refused.stray"] == 1


async def test_a_broken_packet_is_counted(nbp: Path) -> None:
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        for data in (b"", b"\0", b"\0\1a", b"\0\1" + b"a" * 3000 + b"\0octet\0"):
            await client.send(data, client.well_known)
        assert await client.ask("snponly.efi") == Data(1, NBP[:512])
        assert served.counters["tftp.refused.malformed"] == 4


async def test_fetch_that_raises(nbp: Path) -> None:
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        content = served.content
        served.content = None  # type: ignore[assignment]
        with capture_logs() as logs:
            assert await client.ask("snponly.efi") == Error(0, "internal error")
        served.content = content
        assert [entry["event"] for entry in logs] == ["tftp.bug", "tftp.refused"]
        assert served.counters["tftp.refused.bug"] == 1
        assert await client.fetch("snponly.efi") == NBP


async def test_a_reply_that_is_not_tftps() -> None:
    reply = DhcpReply(message_type=2, next_server="10.0.0.1", file="", options=())
    async with serving({"a": reply}) as served, Client(served) as client:
        assert await client.ask("a") == Error(0, "internal error")


async def test_finished_that_raises(nbp: Path) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        served.server._transfers._finished = broken
        assert await client.fetch("snponly.efi") == NBP
        await served.wait_for("tftp.bug")
        assert await client.fetch("snponly.efi") == NBP


async def test_files_that_are_not_there(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    wanted = {"gone": tmp_path / "gone", "folder": tmp_path, "pipe": pipe, "below": pipe / "x"}
    async with serving(wanted) as served, Client(served) as client:
        for path in wanted:
            assert await client.ask(path) == Error(1, "File not found")
        assert served.counters["tftp.refused.vanished"] == 4


async def test_a_file_that_cannot_be_opened(nbp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        with monkeypatch.context() as patched:
            patched.setattr(os, "open", refuse)
            assert await client.ask("snponly.efi") == Error(0, "the file cannot be read")
        assert served.counters["tftp.refused.unreadable"] == 1
        assert await client.fetch("snponly.efi") == NBP


async def test_a_file_that_got_shorter_ends_its_own_transfer(tmp_path: Path, nbp: Path) -> None:
    """Read as it goes, at a block size that nobody keeps packets for."""
    shrinking = tmp_path / "kernel"
    shrinking.write_bytes(NBP)
    async with (
        serving({"kernel": shrinking, "snponly.efi": nbp}) as served,
        Client(served) as victim,
        Client(served) as other,
    ):
        assert isinstance(await victim.ask("kernel", blksize=1000), Oack)
        assert await victim.exchange(Ack(0)) == Data(1, NBP[:1000])
        first = await other.ask("snponly.efi", blksize=1000)
        assert isinstance(first, Oack)
        os.truncate(shrinking, 10_000)
        answer: tftp.Packet = Data(1, b"")
        for block in range(1, 40):
            answer = await victim.exchange(Ack(block))
            if isinstance(answer, Error):
                break
        assert answer == Error(0, "the file changed or cannot be read")
        await served.wait_for_end(("kernel", "failed"))
        assert await other.read(await other.exchange(Ack(0)), 1000) == NBP


async def test_a_file_that_is_replaced_is_sent_as_it_was(nbp: Path) -> None:
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client, Client(served) as second:
        await client.ask("snponly.efi", blksize=1000)
        new = nbp.with_name("new")
        new.write_bytes(b"new")
        new.rename(nbp)
        assert await client.read(await client.exchange(Ack(0)), 1000) == NBP
        assert await second.fetch("snponly.efi", blksize=1468) == b"new"


async def test_a_changed_file_is_read_anew(nbp: Path) -> None:
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        assert await client.fetch("snponly.efi", blksize=1468) == NBP
        os.truncate(nbp, 1000)
        assert await client.fetch("snponly.efi", blksize=1468) == NBP[:1000]


# Ports and addresses


@pytest.mark.parametrize("single_port", [False, True])
@pytest.mark.parametrize("address", ["127.0.0.2", "127.0.0.3"])
async def test_T13_the_answer_comes_from_the_address_asked(
    nbp: Path, address: str, *, single_port: bool
) -> None:
    """T13: on the wildcard, with each answer from where the request went; one port only when told so."""
    async with (
        serving({"snponly.efi": nbp}, "0.0.0.0", single_port=single_port) as served,
        Client(served, server=address) as client,
    ):
        await client.ask("snponly.efi", blksize=1468)
        assert client.tid[0] == address
        assert (client.tid[1] == served.server.port) is single_port
        assert await client.read(await client.exchange(Ack(0)), 1468) == NBP
        assert client.tid[0] == address
        assert isinstance(await client.ask("missing"), Error)
        assert client.tid[0] == address
        assert served.asks[0].server == address


async def test_T13_broadcast_requests_are_ignored(nbp: Path) -> None:
    """T13; RFC 1123 4.2.3.5."""
    async with serving({"snponly.efi": nbp}, "0.0.0.0") as served, Client(served) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        await client.send(Rrq(b"snponly.efi"), ("127.255.255.255", served.server.port))
        assert await client.ask("missing") == Error(1, "File not found")
        assert [ask.path for ask in served.asks] == ["missing"]


def serving_nothing(address: str, port: int) -> TftpServer:
    return TftpServer(address, port, lambda _: Nothing("nothing"), Counter())


async def test_a_port_that_is_taken() -> None:
    async with serving({}) as served:
        with pytest.raises(EdgeError, match=rf"UDP port {served.server.port} on 127.0.0.1 is taken.*ss -lunp"):
            await serving_nothing("127.0.0.1", served.server.port).start()


async def test_an_address_that_is_not_here() -> None:
    with pytest.raises(EdgeError, match=r"UDP port 6900 on 203.0.113.1 cannot be had: .*ip -br address"):
        await serving_nothing("203.0.113.1", 6900).start()


async def test_a_port_that_is_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(socket.socket):
        def bind(self, address: Any) -> None:
            raise PermissionError(errno.EACCES, f"Permission denied: {address}")

    monkeypatch.setattr(socket, "socket", Refused)
    with pytest.raises(EdgeError, match=r"UDP port 69 on 0.0.0.0 is not allowed.*CAP_NET_BIND_SERVICE"):
        await serving_nothing("0.0.0.0", 69).start()


async def test_no_more_sockets(nbp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> OwnPort:
        raise OSError(errno.EMFILE, "Too many open files")

    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        with monkeypatch.context() as patched:
            patched.setattr("bootstrapd.edge.tftp.OwnPort", none_left)
            assert await client.ask("snponly.efi") == Error(0, "busy")
        assert served.counters["tftp.refused.no_socket"] == 1
        assert await client.fetch("snponly.efi") == NBP


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


async def test_close_gives_everything_back(nbp: Path) -> None:
    before = open_descriptors()
    async with serving({"snponly.efi": nbp}) as served:
        clients = [Client(served) for _ in range(5)]
        for client in clients:
            await client.ask("snponly.efi", blksize=1000)
            client.socket.close()
        assert len(served.server._transfers) == 5
    assert served.finished == [("snponly.efi", "failed")] * 5
    assert open_descriptors() == before


# Time, and ends


@pytest.mark.parametrize("single_port", [False, True])
async def test_T9_repeated_and_given_up(nbp: Path, *, single_port: bool) -> None:
    """T9: by the clock that was given; the second client is not touched."""
    async with (
        serving({"snponly.efi": nbp}, single_port=single_port) as served,
        Client(served) as silent,
        Client(served) as other,
    ):
        await silent.ask("snponly.efi", blksize=1468)
        first = await silent.exchange(Ack(0))
        for seconds in (1, 2, 4, 8):
            served.pass_time(seconds - 0.1)
            served.pass_time(0.1)
            assert await silent.receive() == first
        await other.ask("snponly.efi", blksize=1468)
        second = await other.exchange(Ack(0))
        served.pass_time(8)
        assert served.finished == [("snponly.efi", "timeout")]
        assert served.counters["tftp.timeout"] == 1
        assert served.counters["tftp.retransmit"] == 4
        assert await other.receive() == second
        assert await other.read(second, 1468) == NBP


async def test_T9_the_last_ack_never_comes() -> None:
    async with serving({"script": b"#!ipxe\n"}) as served, Client(served) as client:
        await client.ask("script", blksize=1468)
        assert await client.exchange(Ack(0)) == Data(1, b"#!ipxe\n")
        for _ in range(5):
            served.pass_time(8)
        assert served.finished == [("script", "unconfirmed")]


async def test_a_client_that_closed_its_port(nbp: Path) -> None:
    async with serving({"snponly.efi": nbp}) as served:
        async with Client(served) as client:
            await client.ask("snponly.efi", blksize=1468)
            await client.exchange(Ack(0))
        served.pass_time(1)  # the repetition meets a closed port
        served.pass_time(2)
        await served.wait_for_end(("snponly.efi", "gone"))


async def test_an_abort_says_why(nbp: Path) -> None:
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        await client.ask("snponly.efi", blksize=1468)
        await client.exchange(Ack(0))
        with capture_logs() as logs:
            await client.send(Error(3, "out of memory"))
            await served.wait_for_end(("snponly.efi", "aborted"))
        assert logs[-1]["log_level"] == "debug"
        assert logs[-1]["said"] == "out of memory"


@pytest.mark.parametrize("single_port", [False, True])
async def test_a_repeated_request_is_one_transfer(nbp: Path, *, single_port: bool) -> None:
    async with serving({"snponly.efi": nbp}, single_port=single_port) as served, Client(served) as client:
        oack = await client.ask("snponly.efi", blksize=1468)
        tid = client.tid
        for _ in range(3):
            assert await client.ask("snponly.efi", blksize=1468) == oack
            assert client.tid == tid
        first = await client.exchange(Ack(0))
        await client.request("snponly.efi", blksize=1468)  # late, and ignored
        assert await client.read(first, 1468) == NBP
        await served.wait_for_end(("snponly.efi", "done"))
        assert served.counters["tftp.repeated"] == 4
        assert len(served.asks) == 1


async def test_another_request_from_the_same_port_begins_anew(nbp: Path) -> None:
    """A ROM that always uses one port, and whose ERROR after the size probe was lost."""
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        await client.ask("snponly.efi", tsize=0, blksize=1468)
        assert await client.ask("snponly.efi", blksize=1468) == Oack((("blksize", "1468"),))
        assert await client.read(await client.exchange(Ack(0)), 1468) == NBP
        await served.wait_for_end(("snponly.efi", "timeout"), ("snponly.efi", "done"))


async def test_a_machine_that_was_reset_begins_anew(nbp: Path) -> None:
    """The same request from the same port, in the middle of a transfer that nobody reads any more."""
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        await client.ask("snponly.efi", blksize=1468)
        first = await client.exchange(Ack(0))
        served.pass_time(1.0)
        assert await client.receive() == first
        assert isinstance(await client.ask("snponly.efi", blksize=1468), Oack)
        assert await client.read(await client.exchange(Ack(0)), 1468) == NBP


# Limits


async def test_one_client_cannot_have_them_all(nbp: Path) -> None:
    limits = Limits(max_transfers=10, max_transfers_per_client=2)
    async with serving({"snponly.efi": nbp}, limits=limits) as served:
        greedy = [Client(served) for _ in range(3)]
        assert [type(await client.ask("snponly.efi", blksize=1468)) for client in greedy] == [Oack, Oack, Error]
        async with Client(served, source="127.0.0.2") as other:
            assert await other.fetch("snponly.efi", blksize=1468) == NBP
        assert await greedy[0].read(await greedy[0].exchange(Ack(0)), 1468) == NBP
        await served.wait_for_end(("snponly.efi", "done"), ("snponly.efi", "done"))
        assert isinstance(await greedy[2].ask("snponly.efi", blksize=1468), Oack)
        assert served.counters["tftp.refused.busy"] == 1
        for client in greedy:
            client.socket.close()


async def test_when_full_the_oldest_unanswered_one_goes(nbp: Path) -> None:
    limits = Limits(max_transfers=3)
    async with serving({"snponly.efi": nbp}, limits=limits) as served:
        clients = [Client(served) for _ in range(6)]
        busy = clients[0]
        await busy.ask("snponly.efi", blksize=1468)
        first = await busy.exchange(Ack(0))
        for client in clients[1:4]:
            assert isinstance(await client.ask("snponly.efi", blksize=1468), Oack)
        assert served.counters["tftp.crowded_out"] == 1
        assert len(served.server._transfers) == 3
        for client in clients[2:4]:
            await client.exchange(Ack(0))
        assert await clients[4].ask("snponly.efi") == Error(0, "busy")
        assert await clients[5].ask("autoexec.ipxe") == Error(1, "File not found")
        assert await busy.read(first, 1468) == NBP
        for client in clients:
            client.socket.close()


async def test_64_clients_at_once(nbp: Path) -> None:
    async with serving({"snponly.efi": nbp}) as served:

        async def one(number: int) -> bytes:
            async with Client(served, source=f"127.0.1.{number}") as client:
                return await client.fetch("snponly.efi", blksize=1468, windowsize=1 + number % 4)

        fetched = await asyncio.gather(*[one(number) for number in range(1, 65)])
        assert set(fetched) == {NBP}
        await served.wait_for_end(*[("snponly.efi", "done")] * 64)
        assert served.counters["tftp.bytes"] == 64 * len(NBP)
        assert served.server._cache.used_bytes < 2 * len(NBP)
