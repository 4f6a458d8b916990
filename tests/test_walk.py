"""The walk: one whole boot in memory, from DISCOVER to registration, over the real codecs and the real core.

Then again with every exchange lost on its way there or back, doubled, or repeated late, and with a restart of
the appliance (journal replayed into a new one) at every step. It always ends live, as one boot of one machine.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Final

import pytest
from builders import CLIENT, MAC, SERVER, World, host, registration, setup

from bootstrapd.model import (
    DhcpReply,
    Door,
    FileAsk,
    FileReply,
    Nothing,
    State,
    TextReply,
    encode,
    event_decoder,
)
from bootstrapd.wire import cpio, dhcp
from bootstrapd.wire.pxe import Options

Exchange = Callable[[World], bytes | None]

IPXE_SAYS: Final = bytes.fromhex("b105011af41000eb030100001301012101011801012401011101010f0101")
TRIES: Final = 4
BIOS, UEFI, HTTP = 0, 7, 16


class Network:
    """Carries exchanges to the appliance; `harm` decides what happens to the n-th."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.count = 0
        self.lost_there = self.lost_back = self.doubled = self.late = self.restarted = -1
        self._held: list[Exchange] = []

    def send(self, exchange: Exchange) -> bytes | None:
        """The answer, or None where it or the question was lost."""
        number = self.count
        self.count += 1
        self.world.now += 0.2
        if number == self.restarted:
            self.restart()
        if number == self.lost_there:
            return None
        answer = exchange(self.world)
        if number == self.doubled:
            answer = exchange(self.world)
        for held in self._held:
            held(self.world)
        self._held = [exchange] if number == self.late else []
        return None if number == self.lost_back else answer

    def restart(self) -> None:
        """A new appliance, with nothing but the journal of the old one."""
        old = self.world
        new = World(old.appliance.setup, now=old.now + 3)
        for transition in old.told:
            new.appliance.registry.apply(event_decoder().decode(encode(transition.event)))
        new.told = list(old.told)
        new.appliance._record = new.told.append
        new.appliance.chance = old.appliance.chance
        old.now = new.now
        new.neighbours = old.neighbours
        new.admissions = type(new.admissions)(new.appliance, new.neighbours.get, new._durable, new._left)
        new.files._appliance = new.appliance
        self.world = new


def packet(arch: int, message: int, *, ipxe: bool, xid: int) -> dhcp.Packet:
    client = b"HTTPClient" if arch == HTTP and not ipxe else b"PXEClient"
    told = UEFI if arch == HTTP and ipxe else arch
    options = {53: bytes((message,)), 57: b"\x05\xc0", 60: client + f":Arch:{told:05}:UNDI:003000".encode()}
    options |= {93: told.to_bytes(2, "big"), 94: b"\x01\x03\x10", 97: bytes(17)}
    if ipxe:
        options |= {77: b"iPXE", 175: IPXE_SAYS}
    return dhcp.Packet(
        op=1, xid=xid, flags=0x8000, chaddr=MAC.octets.ljust(16, b"\0"), options=Options(options)
    )


def over_dhcp(door: Door, request: dhcp.Packet) -> Exchange:
    def exchange(world: World) -> bytes | None:
        asked = dhcp.read_ask(dhcp.parse(dhcp.build(request)), door, SERVER)
        assert asked is not None
        reply = world.appliance.answer(asked)
        if isinstance(reply, Nothing):
            return None
        assert isinstance(reply, DhcpReply)
        return dhcp.build_reply(request, reply, SERVER)

    return exchange


def over_files(door: Door, path: str) -> Exchange:
    path, _, query = path.partition("?")
    pairs = dict(part.split("=", 1) for part in query.split("&") if part)

    def exchange(world: World) -> bytes | None:
        ask = FileAsk(door=door, path=path, server=SERVER, client=CLIENT, query=pairs)
        reply = world.files.fetch(ask)
        if isinstance(reply, FileReply):
            world.files.fetched(ask)
            return reply.name.encode()
        return reply.body if isinstance(reply, TextReply) else None

    return exchange


def over_post(token: str) -> Exchange:
    def exchange(world: World) -> bytes | None:
        status, body = asyncio.run(world.admissions.register(registration(token), CLIENT))
        return body if status == 200 else None

    return exchange


class Machine:
    """A machine that boots: it does what firmware, iPXE and the agent do, and tries again as they do."""

    def __init__(self, network: Network, arch: int) -> None:
        self.network = network
        self.arch = arch

    def get(self, exchange: Exchange) -> bytes:
        for _ in range(TRIES):
            answer = self.network.send(exchange)
            if answer is not None:
                return answer
        pytest.fail(f"no answer in {TRIES} tries")

    def boot(self) -> dict[str, str]:
        """The answer to its registration."""
        if self.arch == BIOS:  # iPXE in ROM
            return self.run_ipxe(xid=11)
        offer = dhcp.parse(self.get(over_dhcp(Door.DHCP, packet(self.arch, 1, ipxe=False, xid=11))))
        if self.arch == UEFI:
            ack = dhcp.parse(self.get(over_dhcp(Door.PXE, packet(self.arch, 3, ipxe=False, xid=11))))
            self.get(over_files(Door.TFTP, ack.boot_file))
        else:
            self.get(over_files(Door.HTTP, path_of(offer.boot_file)))
        return self.run_ipxe(xid=12)

    def run_ipxe(self, xid: int) -> dict[str, str]:
        offer = dhcp.parse(self.get(over_dhcp(Door.DHCP, packet(self.arch, 1, ipxe=True, xid=xid))))
        stub = self.get(over_files(Door.HTTP, path_of(offer.boot_file))).decode()
        url = re.search(r"^chain \S* ?\S* (http\S+)", stub, re.MULTILINE)
        assert url is not None
        said = {"netX/mac:hexhyp": MAC.hexhyp, "buildarch": "x86_64", "uuid": "", "serial:uristring": "",
                "platform": "pcbios" if self.arch == BIOS else "efi", "efi/SecureBoot:hexraw": ""}  # fmt: skip
        own = re.sub(r"\$\{([^}]+)\}", lambda m: said[m[1]], url[1])
        script = self.get(over_files(Door.HTTP, path_of(own))).decode()
        return self.run_script(script)

    def run_script(self, script: str) -> dict[str, str]:
        token = ""
        for url in re.findall(r"^(?:kernel|initrd --name \S+) (http\S+)", script, re.MULTILINE):
            body = self.get(over_files(Door.HTTP, path_of(url)))
            if "/overlay/" in url:
                token = next(f.data.decode().strip() for f in cpio.parse(body) if f.path == "bootstrapd/token")
        assert token, script
        answer: dict[str, str] = json.loads(self.get(over_post(token)))
        return answer


def path_of(url: str) -> str:
    return url.removeprefix(f"http://{SERVER}")


def walk(arch: int, **harm: int) -> Network:
    network = Network(World(setup(host())))
    for name, number in harm.items():
        setattr(network, name, number)
    answer = Machine(network, arch).boot()
    assert answer == {"status": "accepted", "machine": MAC.hex, "host": "cim-1"}
    return network


def story(network: Network) -> list[str]:
    return [type(transition.event).__name__ for transition in network.world.told]


EXCHANGES: Final = {BIOS: 7, UEFI: 10, HTTP: 9}
STORIES: Final = {
    BIOS: ["BootAsked", "TokenIssued", "ScriptSent", "ImageSent", "Registered"],
    UEFI: ["BootAsked", "ChainSent", "TokenIssued", "ScriptSent", "ImageSent", "Registered"],
    HTTP: ["BootAsked", "ChainSent", "TokenIssued", "ScriptSent", "ImageSent", "Registered"],
}
ALL: Final = [(arch, number) for arch, count in EXCHANGES.items() for number in range(count)]


@pytest.mark.parametrize("arch", EXCHANGES)
def test_the_undisturbed_walk(arch: int) -> None:
    network = walk(arch)
    assert network.count == EXCHANGES[arch]
    assert story(network) == STORIES[arch]
    (machine,) = network.world.appliance.registry
    assert machine.state is State.LIVE
    assert machine.host_key.startswith("ssh-ed25519")


@pytest.mark.parametrize("harm", ["lost_there", "lost_back", "doubled", "late", "restarted"])
@pytest.mark.parametrize(("arch", "number"), ALL)
def test_I9_H12_D14_whatever_happens_to_one_exchange_it_is_one_boot_of_one_machine(
    arch: int, number: int, harm: str
) -> None:
    network = walk(arch, **{harm: number})
    (machine,) = network.world.appliance.registry
    assert machine.state is State.LIVE
    told = story(network)
    assert told.count("BootAsked") == 1, told
    assert told.count("Registered") == 1, told
    assert set(told) == set(STORIES[arch]), told


@pytest.mark.parametrize("arch", EXCHANGES)
def test_the_next_power_on_is_another_boot(arch: int) -> None:
    network = walk(arch)
    network.world.now += 40
    Machine(network, arch).boot()
    assert story(network).count("BootAsked") == 2
    assert story(network).count("Registered") == 2
    assert len(network.world.appliance.registry.machines) == 1


@pytest.mark.parametrize("arch", EXCHANGES)
def test_a_restart_between_every_two_exchanges(arch: int) -> None:
    network = Network(World(setup(host())))
    send = network.send

    def restart_and_send(exchange: Exchange) -> bytes | None:
        network.restart()
        return send(exchange)

    network.send = restart_and_send  # type: ignore[method-assign]
    assert Machine(network, arch).boot()["status"] == "accepted"
    assert set(story(network)) == set(STORIES[arch])
