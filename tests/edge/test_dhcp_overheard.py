"""What the appliance overhears of other DHCP servers on its links (root: namespaces)."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from contextlib import closing

import pytest
from dhcp_packets import SERVER, discover, packet, reply
from dhcp_rack import CLIENT, DEADLINE_S, OURS, Machine, Rack, open_machine, server
from namespaces import NEEDS_ROOT

from bootstrapd.edge.dhcp_ear import Ear
from bootstrapd.wire import dhcp

pytestmark = [pytest.mark.root, NEEDS_ROOT]


def test_another_servers_answers_are_overheard(rack: Rack) -> None:
    """P9: offers of others reach the hook with their source; questions, our own answers and junk do not.

    A DHCP client on the appliance still gets them.
    """

    async def scenario() -> None:
        counters: Counter[str] = Counter()
        heard: asyncio.Queue[tuple[dhcp.Packet, str]] = asyncio.Queue()
        serving = server(counters=counters, heard=lambda *found: heard.put_nowait(found))
        await serving.start()
        other, machine = rack.machine(port=67, address=CLIENT), rack.machine()
        with closing(other.socket), closing(machine.socket), closing(open_machine("srv0", 68, "")) as client:
            machine.send(discover(xid=1))
            await machine.answer_to(1)
            other.send(b"junk", ("255.255.255.255", 68))
            other.send(discover(xid=2), ("255.255.255.255", 68))
            offer = dhcp.build_reply(packet(xid=3), reply("theirs.efi"), SERVER)
            other.send(offer, ("255.255.255.255", 68))
            found, source = await heard.get()
            assert (found.xid, found.boot_file, found.server_id) == (3, "theirs.efi", SERVER)
            assert source == CLIENT
            assert heard.empty()
            assert counters["dhcp.heard"] == counters["dhcp.heard_malformed"] == 1
            async with asyncio.timeout(DEADLINE_S):
                while await asyncio.get_running_loop().sock_recv(client, 2048) != offer:
                    pass
        await serving.close()

    rack.play(scenario)


def test_a_failing_hook_does_not_stop_the_listening(rack: Rack) -> None:
    async def scenario() -> None:
        counters: Counter[str] = Counter()
        heard: asyncio.Queue[int] = asyncio.Queue()

        def hook(found: dhcp.Packet, _: str) -> None:
            heard.put_nowait(found.xid)
            raise KeyError("a bug")

        serving = server(counters=counters, heard=hook)
        await serving.start()
        with closing(rack.machine(port=67, address=CLIENT).socket) as opened:
            for xid in (1, 2):
                data = dhcp.build_reply(packet(xid=xid), reply("theirs.efi"), SERVER)
                Machine(opened).send(data, ("255.255.255.255", 68))
                assert await heard.get() == xid
        assert counters["dhcp.bug"] == 2
        await serving.close()

    rack.play(scenario)


def test_the_filter_takes_dhcp_answers_only(rack: Rack) -> None:
    """Other UDP, other ports, TCP, ICMP and fragments never reach the socket."""

    async def scenario() -> None:
        counters: Counter[str] = Counter()
        heard: asyncio.Queue[int] = asyncio.Queue()
        ear = Ear("srv0", OURS, lambda found, _: heard.put_nowait(found.xid), counters)
        ear.start()
        with closing(rack.machine(port=67, address=CLIENT).socket) as opened:
            other = Machine(opened)
            other.send(b"x" * 300, (OURS, 67))
            other.send(b"x" * 300, ("255.255.255.255", 69))
            other.send(b"x" * 4000, ("255.255.255.255", 68))
            data = dhcp.build_reply(packet(xid=6), reply("theirs.efi"), SERVER)
            other.send(data, ("255.255.255.255", 68))
            assert await heard.get() == 6
        assert counters == {"dhcp.heard": 1}
        ear.close()

    rack.play(scenario)


def test_without_permission_to_overhear_the_appliance_serves_all_the_same(
    rack: Rack, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens = socket.socket

    def no_packet_sockets(family: int = -1, kind: int = -1, proto: int = -1) -> socket.socket:
        if family == socket.AF_PACKET:
            raise PermissionError(1, "Operation not permitted")
        return opens(family, kind, proto)

    async def scenario() -> None:
        monkeypatch.setattr("bootstrapd.edge.dhcp_ear.socket.socket", no_packet_sockets)
        serving = server(heard=lambda *_: None)
        await serving.start()
        monkeypatch.undo()
        with closing(rack.machine().socket) as opened:
            machine = Machine(opened)
            machine.send(discover(xid=1))
            await machine.answer_to(1)
        await serving.close()

    rack.play(scenario)
