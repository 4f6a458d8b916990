"""One decision, many doors (DESIGN.md, "Decision x door"): no door can answer otherwise than the decision."""

from __future__ import annotations

import pytest
from builders import CLIENT, MAC, OTHER_MAC, SERVER, STRANGER, World, ask, host, setup
from msgspec.structs import replace

from bootstrapd.daemon.explain import explain
from bootstrapd.daemon.writer import PROBE
from bootstrapd.model import (
    ARCHES,
    Adopted,
    Arch,
    Armed,
    DhcpReply,
    Door,
    FileAsk,
    FileReply,
    Mac,
    Nothing,
    Reply,
    Stage,
    TextReply,
)
from bootstrapd.wire import cpio

DOORS = (
    "dhcp firmware",
    "dhcp ipxe",
    "4011",
    "tftp program",
    "tftp bare",
    "tftp autoexec",
    "tftp bare autoexec",
    "http program",
    "http autoexec",
    "http script",
)


def knock(world: World, mac: Mac, arch: int, door: str) -> Reply:
    """The answer of one door to this machine."""
    world.neighbours[CLIENT] = mac
    world.appliance.answer(ask(mac=mac, arch=arch))
    dhcp = {
        "dhcp firmware": ask(mac=mac, arch=arch),
        "dhcp ipxe": ask(mac=mac, arch=0 if arch == 0 else 7, stage=Stage.IPXE, xid=2),
        "4011": ask(door=Door.PXE, mac=mac, arch=arch),
    }
    if door in dhcp:
        return world.appliance.answer(dhcp[door])
    folder = f"nbp/{mac.hexhyp}"
    program = "undionly.kpxe" if arch == 0 else "snponly.efi"
    tftp, http = Door.TFTP, Door.HTTP
    at, path = {
        "tftp program": (tftp, f"{folder}/{program}"),
        "tftp bare": (tftp, program),
        "tftp autoexec": (tftp, f"{folder}/autoexec.ipxe"),
        "tftp bare autoexec": (tftp, "autoexec.ipxe"),
        "http program": (http, f"/{folder}/{program}"),
        "http autoexec": (http, f"/{folder}/autoexec.ipxe"),
        "http script": (http, f"/boot/{mac.hexhyp}.ipxe"),
    }[door]
    return world.files.fetch(FileAsk(door=at, path=path, server=SERVER, client=CLIENT))


def ready(world: World) -> World:
    world.appliance.tell(Adopted(id="", at=0.0, machine=MAC.hex, host="cim-1", ready=True, mac=MAC))
    return world


@pytest.mark.parametrize("arch", [0, 7, 16])
@pytest.mark.parametrize("door", DOORS)
def test_silence_is_silence_at_every_door(door: str, arch: int) -> None:
    """tinkerbell #223, #951: TFTP served a machine that HTTP refused."""
    assert isinstance(knock(World(setup(host())), STRANGER, arch, door), Nothing)


@pytest.mark.parametrize("arch", [0, 7, 16])
@pytest.mark.parametrize("door", DOORS)
def test_a_declared_machine_is_answered_at_every_door(door: str, arch: int) -> None:
    assert not isinstance(knock(World(setup(host())), MAC, arch, door), Nothing)


@pytest.mark.parametrize("arch", [0, 7, 16])
@pytest.mark.parametrize("door", DOORS)
def test_P19_no_door_gives_a_ready_machine_an_installer(door: str, arch: int) -> None:
    reply = knock(ready(World(setup(host()))), MAC, arch, door)
    match reply:
        case DhcpReply(file=file):
            assert file.endswith(("boot.ipxe", ".efi", ".kpxe"))
        case FileReply(name=name):
            assert name in {"snponly.efi", "undionly.kpxe"}
        case TextReply(body=body) if door == "http script":
            assert b"sanboot" in body
            assert b"kernel" not in body
        case TextReply(body=body):
            assert b"/boot/${netX/mac:hexhyp}.ipxe" in body
        case Nothing():
            pytest.fail("a ready machine waits for its disk")


@pytest.mark.parametrize("door", DOORS)
def test_P19_left_alone_means_at_every_door(door: str) -> None:
    world = ready(World(setup(host(), profile={"local_boot": "silence"})))
    assert isinstance(knock(world, MAC, 7, door), Nothing)


@pytest.mark.parametrize("arch", [0, 7, 11, 16])
@pytest.mark.parametrize("door", DOORS)
def test_a_mac_is_answered_at_no_door_whatever_is_known_of_it(door: str, arch: int) -> None:
    """Not as a machine to install, not as one that is ready, and not with a consent to erase its disks."""
    mac = {"system": "darwin", "images": {}}
    world = ready(World(setup(host(), profile=mac)))
    for known in (World(setup(host(), profile=mac)), world):
        known.appliance.tell(Armed(id="", at=0.0, machine="", host="cim-1", arm="a", by="hosts arm", seen=""))
        reply = knock(known, MAC, arch, door)
        assert isinstance(reply, Nothing)
        assert "Apple silicon cannot boot over the network" in reply.reason


def test_a_bare_name_from_an_unknown_address_is_not_found() -> None:
    world = World(setup(host()))
    for path in ("snponly.efi", "autoexec.ipxe"):
        reply = world.files.fetch(FileAsk(door=Door.TFTP, path=path, server=SERVER, client="10.9.9.9"))
        assert isinstance(reply, Nothing)


@pytest.mark.parametrize("arch", list(ARCHES.values()), ids=str)
def test_an_architecture_without_a_program_is_answered_nowhere(arch: Arch) -> None:
    world = World(setup(host(), programs={}))
    assert isinstance(world.appliance.answer(ask(arch=arch.code)), Nothing)


UUID = "00112233-4455-6677-8899-aabbccddeeff"


@pytest.mark.parametrize("door", DOORS)
def test_a_host_declared_by_uuid_alone_is_answered_at_every_door(door: str) -> None:
    """TFTP and HTTP hear a MAC only; which host it is was said over DHCP."""
    world = World(setup(host("by-uuid", OTHER_MAC, uuid=UUID)))
    world.appliance.answer(ask(uuid=UUID))
    assert not isinstance(knock(world, MAC, 7, door), Nothing)


def test_explain_says_what_live_traffic_gets() -> None:
    world = World(setup(host("by-uuid", OTHER_MAC, uuid=UUID)))
    world.appliance.answer(ask(uuid=UUID))
    before = list(world.told)
    for row in explain(world.appliance, world.writer, SERVER, MAC, ARCHES[7]):
        assert "UNKNOWN" not in row.rule, row
    assert world.told == before
    (first, *_) = explain(world.appliance, world.writer, SERVER, STRANGER, ARCHES[7])
    assert first.rule.startswith("UNKNOWN: ")


def ready_pair() -> World:
    """Two hosts, both marked ready, with MAC and OTHER_MAC."""
    world = World(
        setup(
            host("a"),
            host("b", OTHER_MAC, uuid=UUID),
            host("c", Mac.parse("52:54:00:77:00:12"), serial="SERIALC"),
        )
    )
    for mac, name in ((MAC, "a"), (OTHER_MAC, "b")):
        world.appliance.tell(Adopted(id="", at=0.0, machine=mac.hex, host=name, ready=True, mac=mac))
    return world


def boots_its_disk(world: World, mac: Mac) -> bool:
    world.now += 300
    world.neighbours.clear()
    reply = world.files.fetch(
        FileAsk(door=Door.HTTP, path=f"/boot/{mac.hexhyp}.ipxe", server=SERVER, client="10.77.0.9")
    )
    return isinstance(reply, TextReply) and b"boots its own disk" in reply.body


def test_claims_of_uuid_and_serial_cannot_end_ready() -> None:
    """A stranger says it is b, then that it is c: b stays b, and ready."""
    world = ready_pair()
    for query in ({"uuid": UUID}, {"serial": "SERIALC"}, {"uuid": UUID}):
        path = f"/boot/{STRANGER.hexhyp}.ipxe"
        world.files.fetch(FileAsk(door=Door.HTTP, path=path, server=SERVER, client="10.77.0.66", query=query))
    assert boots_its_disk(world, OTHER_MAC)
    assert boots_its_disk(world, MAC)


def test_swapping_two_hosts_macs_leaves_two_ready_machines() -> None:
    world = ready_pair()
    world.appliance.reconfigure(setup(host("a", OTHER_MAC), host("b", MAC)))
    for _ in range(3):
        assert boots_its_disk(world, MAC)
        assert boots_its_disk(world, OTHER_MAC)
    hosts = {machine.host: machine.macs for machine in world.appliance.registry}
    assert hosts == {"a": [OTHER_MAC], "b": [MAC]}


def test_renaming_a_ready_host_leaves_it_ready() -> None:
    world = ready_pair()
    world.appliance.reconfigure(setup(host("a"), host("bnew", OTHER_MAC)))
    assert boots_its_disk(world, OTHER_MAC)
    assert world.appliance.registry.by_host["bnew"].macs == [OTHER_MAC]


@pytest.mark.parametrize("path", ["boot/{mac}.ipxe", "nbp/{mac}/snponly.efi", "nbp/{mac}/autoexec.ipxe"])
def test_a_neighbour_sees_another_machines_files_and_changes_nothing(path: str) -> None:
    """No token of it, no fetch counted against it (I11): as by HEAD. `bootstrapd probe --mac` lives on that."""
    world = World(setup(host()))
    world.neighbours["10.77.0.66"] = STRANGER
    asked = FileAsk(door=Door.HTTP, path=path.format(mac=MAC.hexhyp), server=SERVER, client="10.77.0.66")
    reply = world.files.fetch(asked)
    world.files.fetched(asked)
    assert not isinstance(reply, Nothing)
    assert world.told == []
    assert world.counters["http.looked_at_by_another"] == 1
    if isinstance(reply, TextReply) and path.startswith("boot"):
        assert f"/overlay/{PROBE.overlay}.cpio".encode() in reply.body
        looked = replace(asked, path=f"overlay/{PROBE.overlay}.cpio")
        overlay = world.files.fetch(looked)
        assert isinstance(overlay, TextReply)
        assert cpio.parse(overlay.body) == []
