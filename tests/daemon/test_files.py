"""Scripts, tokens, overlays and images: what is given, to whom, and for how long (DESIGN.md, Safety 4)."""

from __future__ import annotations

import re

import pytest
from builders import AGENT, CLIENT, KEY, MAC, SERVER, STRANGER, World, ask, host, setup
from hypothesis import given
from hypothesis import strategies as st

from bootstrapd.model import Door, FileAsk, FileReply, Nothing, Reply, State, TextReply
from bootstrapd.policy.admission import TOKENS_A_MACHINE
from bootstrapd.policy.views import why
from bootstrapd.wire import cpio

SCRIPT = "/boot/52-54-00-77-00-10.ipxe"


@pytest.fixture
def world() -> World:
    return World(setup(host(tftp_blksize=512, tftp_windowsize=1)))


def get(world: World, path: str, client: str = CLIENT) -> Reply:
    return world.files.fetch(FileAsk(door=Door.HTTP, path=path, server=SERVER, client=client))


def script(
    world: World, client: str = CLIENT, query: dict[str, str] | None = None, is_probe: bool = False
) -> str:
    reply = world.files.fetch(
        FileAsk(door=Door.HTTP, path=SCRIPT, server=SERVER, client=client, query=query or {}, is_probe=is_probe)
    )
    assert isinstance(reply, TextReply)
    return reply.body.decode()


def overlay_path(text: str) -> str:
    found = re.search(r"(/overlay/\S+)", text)
    assert found
    return found[1]


def test_N3_the_overlay_has_the_token_the_keys_and_what_the_nixos_hook_wants(world: World) -> None:
    reply = get(world, overlay_path(script(world)))
    assert isinstance(reply, TextReply)
    files = {file.path: file.data.decode() for file in cpio.parse(reply.body)}
    assert files["bootstrapd/server"] == "http://10.77.0.2\n"
    assert re.fullmatch(r"[0-9a-f]{32}\n", files["bootstrapd/token"])
    assert files["ssh/authorized_keys"] == KEY + "\n"
    assert files["bootstrapd/agent"] == AGENT
    assert any(path.startswith("ssh/ssh_host_") for path in files)
    assert any(path.endswith(".json") for path in files)
    assert "PRIVATE" not in "".join(files.values())


def test_an_overlay_is_for_the_address_that_got_the_script(world: World) -> None:
    path = overlay_path(script(world))
    assert isinstance(get(world, path, client="10.77.0.66"), Nothing)
    assert isinstance(get(world, path), TextReply)
    assert world.counters["overlay.refused.address"] == 1


def test_an_overlay_lives_fifteen_minutes(world: World) -> None:
    path = overlay_path(script(world))
    world.now += 901
    assert isinstance(get(world, path), Nothing)


def test_a_get_adds_a_token_and_never_revokes_another(world: World) -> None:
    paths = [overlay_path(script(world)) for _ in range(4)]
    assert len(set(paths)) == 4
    assert overlay_path(script(world)) == paths[-1], "a fifth is the newest again"
    assert all(isinstance(get(world, path), TextReply) for path in paths)


def test_scripts_for_others_do_not_keep_a_machine_from_its_own(world: World) -> None:
    """Somebody looks at the script by hand, again and again, from another address."""
    for _ in range(10):
        script(world, client="10.77.0.66")
    assert "/overlay/" in script(world)


def test_even_many_addresses_cannot_make_tokens_without_end(world: World) -> None:
    for number in range(40):
        script(world, client=f"10.77.1.{number}")
    machine = world.appliance.registry.machines[MAC.hex]
    assert len(machine.tokens) == TOKENS_A_MACHINE
    assert "too many of its boots are under way" in script(world)
    world.now += 901
    assert "/overlay/" in script(world)


def test_a_waiting_machine_keeps_its_reason_and_goes_on_by_itself() -> None:
    world = World(setup(host(), images={}))
    world.appliance.answer(ask())
    for _ in range(25):
        assert "waits: profile minimal wants image 'installer'" in script(world)
        world.now += 30
        world.appliance.tick(world.now)
    machine = world.appliance.registry.machines[MAC.hex]
    assert "bootstrapd images add installer" in why(machine)
    assert world.events() == ["BootAsked", "ScriptSent"]
    world.appliance.reconfigure(setup(host()))
    assert "kernel http" in script(world)
    assert world.events()[-1] == "ScriptSent"
    assert machine.state is State.NETBOOTING


def test_head_opens_no_boot(world: World) -> None:
    script(world, is_probe=True)
    assert world.told == []


def test_head_makes_no_token_and_tells_nothing(world: World) -> None:
    world.appliance.answer(ask())
    before = list(world.events())
    text = script(world, is_probe=True)
    assert overlay_path(text) == "/overlay/" + "0" * 32 + ".cpio"
    assert world.events() == before
    empty = get(world, overlay_path(text))
    assert isinstance(empty, TextReply)
    assert cpio.parse(empty.body) == []


def test_T4_T6_a_hosts_caps_go_with_its_program(world: World) -> None:
    reply = get(world, "/nbp/52-54-00-77-00-10/snponly.efi")
    assert isinstance(reply, FileReply)
    assert (reply.max_blksize, reply.max_windowsize) == (512, 1)


def test_shims_siblings_are_asked_for_in_the_same_folder_and_not_found(world: World) -> None:
    assert isinstance(get(world, "/nbp/52-54-00-77-00-10/revocations_sku.efi"), Nothing)


def test_image_files_carry_their_hash_and_nothing_else_is_in_the_folder(world: World) -> None:
    reply = get(world, "/images/installer/bzImage")
    assert isinstance(reply, FileReply)
    assert (reply.etag, str(reply.path)) == ("0" * 64, "/images/installer/bzImage")
    for path in ("/images/installer/manifest.json", "/images/other/bzImage"):
        assert isinstance(get(world, path), Nothing)


def test_kernel_and_initrd_are_on_the_script_with_the_profiles_parameters() -> None:
    world = World(setup(host(), profile={"kernel_params": ("quiet", "console=tty0")}))
    text = script(world)
    assert "console=ttyS0 quiet console=tty0" in text
    assert "http://10.77.0.2/images/installer/bzImage?for=52-54-00-77-00-10" in text
    assert "BOOTIF=01-52-54-00-77-00-10" in text, "the agent of a machine with several cards says which one"


def test_I13_the_overlay_is_the_first_initrd(world: World) -> None:
    """Behind a compressed one whose length is no multiple of 4, the kernel would not find it."""
    text = script(world)
    assert "initrd=overlay initrd=initrd0" in text
    assert text.index("initrd --name overlay") < text.index("initrd --name initrd0")


@pytest.mark.parametrize(
    ("query", "arch"),
    [({"platform": "efi", "arch": "x86_64"}, 7), ({"platform": "pcbios", "arch": "i386"}, 0), ({}, -1),
     ({"platform": "x" * 500, "arch": "../.."}, -1)],
)  # fmt: skip
def test_I7_what_the_url_claims_is_only_a_claim(world: World, query: dict[str, str], arch: int) -> None:
    script(world, query=query)
    assert world.appliance.registry.machines[MAC.hex].arch == arch


@given(st.text(max_size=80), st.sampled_from(Door), st.dictionaries(st.text(max_size=8), st.text(max_size=8)))
def test_any_path_is_answered_and_nobody_stops(path: str, door: Door, query: dict[str, str]) -> None:
    world = World(setup(host()))
    ask = FileAsk(door=door, path=path, server=SERVER, client=CLIENT, query=query)
    world.files.fetch(ask)
    world.files.fetched(ask)


def test_an_unknown_machine_gets_the_stub_by_http_and_no_script(world: World) -> None:
    """The stub says nothing of anybody; the script is the machine's own."""
    assert isinstance(get(world, "/boot.ipxe"), TextReply)
    assert isinstance(get(world, f"/boot/{STRANGER.hexhyp}.ipxe"), Nothing)
