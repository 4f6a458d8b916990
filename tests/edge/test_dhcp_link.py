"""Both doors on real links: broadcasts, two interfaces, relays, links that go down (root: namespaces)."""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
import subprocess
from collections import Counter
from contextlib import closing

import pytest
from dhcp_packets import discover, raw_options, reply, request
from dhcp_rack import CLIENT, DEADLINE_S, OURS, OURS_TOO, Machine, Rack, server
from namespaces import NEEDS_ROOT, run_ip

from bootstrapd.errors import EdgeError
from bootstrapd.model import Ask, Reply
from bootstrapd.wire import dhcp

pytestmark = [pytest.mark.root, NEEDS_ROOT]
NEEDS_ETHTOOL = pytest.mark.skipif(shutil.which("ethtool") is None, reason="needs ethtool: apt install ethtool")


def test_D4_D18_D20_an_offer_is_broadcast_from_our_port_and_address(rack: Rack) -> None:
    async def scenario() -> None:
        serving = server()
        await serving.start()
        with closing(rack.machine().socket) as opened:
            machine = Machine(opened)
            for flags in (0, 0x8000):
                machine.send(discover(xid=7, flags=flags))
                data, source = await machine.hear()
                assert source == (OURS, 67)
                offer = dhcp.parse(data)
                assert (offer.xid, offer.message_type, offer.server_id) == (7, 2, OURS)
        await serving.close()

    rack.play(scenario)


def test_D18_an_offer_goes_to_the_broadcast_address(rack: Rack) -> None:
    """A socket bound to the broadcast address gets nothing else."""

    async def scenario() -> None:
        serving = server()
        await serving.start()
        sender, hearer = rack.machine(port=1068), rack.machine(address="255.255.255.255")
        with closing(sender.socket), closing(hearer.socket):
            sender.send(discover(xid=8))
            await hearer.answer_to(8)
        await serving.close()

    rack.play(scenario)


def test_D19_each_link_is_answered_by_its_own_server(rack: Rack) -> None:
    async def scenario() -> None:
        servers = [server(interface="srv0"), server(interface="srv1")]
        for one in servers:
            await one.start()
        for interface, address in (("cli0", OURS), ("cli1", OURS_TOO)):
            with closing(rack.machine(interface).socket) as opened:
                machine = Machine(opened)
                machine.send(discover(xid=3))
                data, source = await machine.hear()
                assert source == (address, 67)
                assert dhcp.parse(data).server_id == address
        for one in servers:
            await one.close()

    rack.play(scenario)


def test_D19_the_link_we_do_not_serve_is_not_heard(rack: Rack) -> None:
    """Broadcast and unicast alike, on both ports, even to the address of the served link."""

    async def scenario() -> None:
        asks: list[Ask] = []

        def answer(ask: Ask) -> Reply:
            asks.append(ask)
            return reply("a.efi")

        serving = server(answer)
        await serving.start()
        served, other = rack.machine("cli0"), rack.machine("cli1")
        with closing(served.socket), closing(other.socket):
            other.send(discover(xid=1))
            other.send(discover(xid=2), (OURS_TOO, 67))
            other.send(request(xid=3), (OURS_TOO, 4011))
            other.send(discover(xid=5), (OURS, 67))
            other.send(request(xid=6), (OURS, 4011))
            served.send(discover(xid=4))
            await served.answer_to(4)
        assert [ask.xid for ask in asks] == [4]
        await serving.close()

    rack.play(scenario)


def set_offload(state: str) -> None:
    subprocess.run(("ethtool", "-K", "srv0", "tx", state), check=True, capture_output=True)


@pytest.mark.parametrize("offload", ["on", "off"])
@NEEDS_ETHTOOL
def test_D14_a_rack_that_asks_at_once_is_answered_to_the_last(rack: Rack, offload: str) -> None:
    """More than a batch, of several sizes, each machine with its own file.

    For a card that cannot checksum, kernels before 6.11 do not cut a call into datagrams.
    """
    rack.appliance.call(set_offload, offload)

    async def scenario() -> None:
        counters: Counter[str] = Counter()
        serving = server(lambda ask: reply(f"nbp/{'x' * (ask.xid % 7 * 8)}/{ask.mac}"), counters)
        await serving.start()
        with closing(rack.machine().socket) as opened:
            machine = Machine(opened)
            wanted = {number: b"\x52\x54\x00\x00" + struct.pack("!H", number) for number in range(200)}
            for number, mac in wanted.items():
                machine.send(discover(xid=number, mac=mac))
            while wanted:
                offer = dhcp.parse((await machine.hear())[0])
                assert offer.boot_file.endswith(offer.mac)
                assert wanted.pop(offer.xid) == offer.mac.octets
        await serving.close()
        assert counters == {"dhcp.discover": 200, "dhcp.offer": 200}

    rack.play(scenario)


def test_P3_P4_a_boot_server_request_is_answered_by_unicast(rack: Rack) -> None:
    """edk2 asks from port 4011, ROMs and iPXE from 68."""

    async def scenario() -> None:
        serving = server(lambda _: reply("a.efi", message_type=5))
        await serving.start()
        for port in (4011, 68):
            with closing(rack.machine(port=port, address=CLIENT).socket) as opened:
                machine = Machine(opened)
                machine.send(request({93: b"\0\0"}, xid=port, ciaddr=socket.inet_aton(CLIENT)), (OURS, 4011))
                data, source = await machine.hear()
                assert source == (OURS, 4011)
                assert dhcp.parse(data).xid == port
        await serving.close()

    rack.play(scenario)


def test_P5_a_broadcast_request_on_67_is_silence(rack: Rack) -> None:
    async def scenario() -> None:
        counters: Counter[str] = Counter()
        serving = server(counters=counters)
        await serving.start()
        with closing(rack.machine().socket) as opened:
            machine = Machine(opened)
            machine.send(request(xid=1))
            machine.send(discover(xid=2))
            await machine.answer_to(2)
        assert counters["dhcp.drop.other_message"] == 1
        await serving.close()

    rack.play(scenario)


def test_R1_R2_a_relay_is_answered_on_its_port_67(rack: Rack) -> None:
    async def scenario() -> None:
        serving = server()
        await serving.start()
        with closing(rack.machine(port=67, address=CLIENT).socket) as opened:
            relay = Machine(opened)
            relay.send(discover({82: b"\x01\x04eth1"}, xid=5, giaddr=socket.inet_aton(CLIENT)), (OURS, 67))
            data, source = await relay.hear()
            assert source == (OURS, 67)
            assert raw_options(data)[-2] == (82, b"\x01\x04eth1")
        await serving.close()

    rack.play(scenario)


def test_a_link_that_goes_down_and_comes_back_is_served_again(rack: Rack) -> None:
    """Offers that cannot leave are counted; nothing has to be started anew."""

    async def scenario() -> None:
        counters: Counter[str] = Counter()
        is_down = asyncio.Event()

        def answer(ask: Ask) -> Reply:
            if ask.xid == 1:
                run_ip("link", "set", "srv0", "down")
                is_down.set()
            return reply("a.efi")

        serving = server(answer, counters)
        await serving.start()
        with closing(rack.machine().socket) as opened:
            machine = Machine(opened)
            machine.send(discover(xid=1))
            await is_down.wait()
            assert any(name.startswith("dhcp.unsent") for name in counters)
            run_ip("link", "set", "srv0", "up")
            async with asyncio.timeout(DEADLINE_S):
                xid = await first_answer(machine)
            assert xid > 1
        assert counters["dhcp.bug"] == 0
        await serving.close()

    rack.play(scenario)


async def first_answer(machine: Machine) -> int:
    """Asks as firmware does, again and again, until an answer comes: the link needs a moment."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[int] = loop.create_future()
    loop.add_reader(machine.socket, lambda: heard.set_result(dhcp.parse(machine.socket.recv(2048)).xid))
    xid = 1
    while not heard.done():
        xid += 1
        machine.send(discover(xid=xid))
        await asyncio.wait([heard], timeout=0.02)
    loop.remove_reader(machine.socket)
    return heard.result()


def test_a_server_on_the_same_link_is_a_taken_port(rack: Rack) -> None:
    async def scenario() -> None:
        first, second = server(), server()
        await first.start()
        with pytest.raises(EdgeError, match="UDP port 67 on srv0 is already taken, probably by dnsmasq"):
            await second.start()
        await first.close()
        await second.start()
        await second.close()

    rack.play(scenario)
