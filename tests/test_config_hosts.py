"""The hosts folder: what a person writes, what it means, and every mistake told at once."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrapd import shipped
from bootstrapd.config import check_host_name, parse_hosts
from bootstrapd.errors import ConfigError
from bootstrapd.model import (
    DiskSelector,
    Host,
    HostBook,
    Mac,
    RequiredDisk,
    RequiredGpu,
    Requires,
    uuid_orders,
)

UUID = "4c4c4544-0042-3510-8052-b4c04f4d4e32"
EVERYTHING = f"""
profile = "cim-node"
[match]
mac = ["52:54:00:AA:BB:01", "5254.00aa.bb02", "52-54-00-aa-bb-01"]
uuid = "{UUID.upper()}"
serial = "ABC1234"
port = "rack4-sw1/Eth1/12"
[disk.main]
type = "nvme"
size = ">=900G"
pick = "smallest"
[network]
address = "10.1.0.11/24"
[labels]
rack = "4"
[boot]
program = "snp.efi"
tftp_blksize = 512
tftp_windowsize = 1
"""
CIM_NODE = """
image = { x86_64 = "cim", aarch64 = "cim-arm" }
layout = "raid1"
flake = "github:me/fleet?dir=hosts#x"
install = "approve"
local_boot = "cancel"
esp_label = "BOOT"
report = "ssh"
kernel_params = ["console=ttyS0,115200n8", "quiet"]
[requires]
cpu.threads = 32
memory = "64G"
[[requires.disk]]
type = "nvme"
size = "1T"
[[requires.disk]]
[requires.gpu]
vendor = "nvidia"
memory = "12G"
compute_capability = 8.6
allow = ["10de:20b5"]
[requires.nic]
speed = "10G"
"""


def host(*macs: str, profile: str = "minimal", **match: str) -> str:
    lines = [f'profile = "{profile}"', "[match]", f"mac = {list(macs)}"]
    return "\n".join(lines + [f'{key} = "{value}"' for key, value in match.items()])


def mistakes(files: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_hosts(files)
    return list(caught.value.mistakes)


def test_everything_a_host_can_say() -> None:
    book = parse_hosts({"w1/host.toml": EVERYTHING, "profiles/cim-node.toml": CIM_NODE}, "/srv/hosts")
    assert book.hosts["w1"] == Host(
        name="w1",
        profile="cim-node",
        macs=(Mac.parse("52:54:00:aa:bb:01"), Mac.parse("52:54:00:aa:bb:02")),
        uuid=UUID,
        serial="ABC1234",
        port="rack4-sw1/Eth1/12",
        disk={"main": DiskSelector(type="nvme", size=">=900G", pick="smallest")},
        address="10.1.0.11/24",
        labels={"rack": "4"},
        program="snp.efi",
        tftp_blksize=512,
        tftp_windowsize=1,
        source="/srv/hosts/w1/host.toml",
    )
    assert all(type(mac) is Mac for mac in book.hosts["w1"].macs)


def test_everything_a_profile_can_say() -> None:
    profile = parse_hosts({"profiles/cim-node.toml": CIM_NODE}).profiles["cim-node"]
    assert (profile.image_for("x86_64"), profile.image_for("aarch64"), profile.image_for("arm")) == (
        "cim",
        "cim-arm",
        "",
    )
    assert (profile.layout, profile.install, profile.local_boot) == ("raid1", "approve", "cancel")
    assert profile.report == "ssh"
    assert (profile.flake, profile.esp_label) == ("github:me/fleet?dir=hosts#x", "BOOT")
    assert profile.kernel_params == ("console=ttyS0,115200n8", "quiet")


def test_disks_and_speeds_count_in_thousands_and_memory_in_1024s() -> None:
    assert parse_hosts({"profiles/cim-node.toml": CIM_NODE}).profiles["cim-node"].requires == Requires(
        cpu_threads=32,
        memory_bytes=64 * 2**30,
        disks=(RequiredDisk(type="nvme", size_bytes=10**12), RequiredDisk()),
        gpu=RequiredGpu(vendor="nvidia", memory_bytes=12 * 2**30, compute_capability=8.6, allow=("10de:20b5",)),
        nic_mbps=10_000,
    )


def test_a_profile_that_ships_is_there_and_can_be_replaced() -> None:
    shipped_one = parse_hosts({"w1/host.toml": 'profile = "minimal"'}).profiles["minimal"]
    assert shipped_one.image_for("x86_64") == "installer"
    assert Path(shipped_one.source) == shipped.hosts() / "profiles" / "minimal.toml"
    own = parse_hosts({"profiles/minimal.toml": 'image = "mine"'}).profiles["minimal"]
    assert own.image_for("x86_64") == "mine"


def test_what_ships_has_no_mistakes() -> None:
    """Example = test: each profile of hosts/ and the example host are read as a person's own."""
    profiles = {f"profiles/{path.name}": path.read_text() for path in shipped.hosts().glob("profiles/*.toml")}
    example = (shipped.hosts() / "example-host.toml").read_text()
    book = parse_hosts({**profiles, "example/host.toml": example})
    assert book.hosts["example"].macs == ("52:54:00:aa:bb:01", "52:54:00:aa:bb:02")
    assert "profiles/minimal.toml" in profiles


@pytest.mark.parametrize("name", ["example-host.toml", "profiles/minimal.toml"])
def test_what_ships_commented_out_is_right_too(name: str) -> None:
    text = (shipped.hosts() / name).read_text()
    settings = [line for line in text.splitlines() if line.startswith("# ") and " = " in line]
    assert settings
    for line in settings:
        table = "match" if line[2:].startswith(("uuid", "serial", "port")) else ""
        table = "disk.main" if line[2:].startswith(("wwn",)) else table
        table = "boot" if line[2:].startswith(("program", "tftp")) else table
        written = f"[{table}]\n{line[2:]}" if table else line[2:]
        if name.startswith("profiles"):
            parse_hosts({name: written if "image" in line else f'image = "x"\n{written}'})
        else:
            parse_hosts({"w/host.toml": f'profile = "minimal"\n{written}'})


def test_a_host_that_matches_nothing_yet_waits_for_adoption() -> None:
    assert parse_hosts({"w1/host.toml": 'profile = "minimal"\n'}).hosts["w1"].macs == ()


def test_other_files_of_the_folder_are_not_read() -> None:
    files = {"flake.nix": "{ }", "layouts/x.nix": "junk", "w1/disks.json": "{}", "treefmt.toml": "= ="}
    assert parse_hosts(files).hosts == {}


def test_every_mistake_of_every_file_is_told_at_once() -> None:
    files = {
        "a/host.toml": 'profle = "x"\n[match]\nmac = ["52:54:00:aa:bb:01", "zz", 3]\n[labels]\nrack = 4\n',
        "b/host.toml": host("52-54-00-AA-BB-01", profile="minmal"),
        "c/host.toml": "profile = ",
        "profiles/p.toml": 'local_boot = "no"',
    }
    assert mistakes(files) == [
        'hosts/a/host.toml: profle: unknown key "profle"; did you mean "profile"?',
        (
            "hosts/a/host.toml: match.mac[1]: 'zz' is not a MAC address: "
            "expected six hex bytes such as 52:54:00:aa:bb:01"
        ),
        "hosts/a/host.toml: match.mac[2]: expected a MAC address as text, found 3",
        "hosts/a/host.toml: labels.rack: expected one line of text, found 4",
        "hosts/a/host.toml: profile: expected the name of a profile, found nothing",
        "hosts/c/host.toml: is not TOML: Invalid value (at end of document)",
        'hosts/profiles/p.toml: local_boot: expected one of "disk", "cancel", "silence", found "no"',
        "hosts/profiles/p.toml: image: expected the name of an image, or a table of one a CPU, found nothing",
        'hosts/b/host.toml: profile: unknown profile "minmal"; did you mean "minimal"?',
        "hosts/b/host.toml: match.mac: 52:54:00:aa:bb:01 is claimed by hosts/a/host.toml too",
    ]


@pytest.mark.parametrize(
    ("key", "first", "second"),
    [
        ("mac", host("52:54:00:aa:bb:01"), host("52:54:00:aa:bb:02", "525400aabb01")),
        ("uuid", host(uuid=UUID), host(uuid=UUID.upper())),
        ("serial", host(serial="ABC1234"), host(serial=" ABC1234 ")),
        ("port", host(port="sw1/1"), host(port="sw1/1")),
    ],
)
def test_two_hosts_cannot_claim_one_value(key: str, first: str, second: str) -> None:
    (mistake,) = mistakes({"a/host.toml": first, "b/host.toml": second})
    assert mistake.startswith(f"hosts/b/host.toml: match.{key}: ")
    assert mistake.endswith(" is claimed by hosts/a/host.toml too")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('[match]\nuuid = "00000000-0000-0000-0000-000000000000"', "match.uuid: "),  # P14
        ('[match]\nuuid = "ffffffff-ffff-ffff-ffff-ffffffffffff"', "match.uuid: "),
        ('[match]\nuuid = "4c4c4544"', "match.uuid: "),
        ('[match]\nserial = "To be filled by O.E.M."', "match.serial: "),
        ('[match]\nserial = "0000000"', "match.serial: "),
        ('[match]\nserial = "a\\nb"', "match.serial: expected one line of text"),
        ('[match]\nmac = ["01:00:5e:00:00:01"]', "match.mac[0]: "),
        ('[match]\nmac = "52:54:00:aa:bb:01"', "match.mac: expected a list"),
        ('[boot]\nprogram = "../../etc/passwd"', "boot.program: expected a name"),
        ("[boot]\ntftp_blksize = 7", "boot.tftp_blksize: expected a block size"),
        ("[boot]\ntftp_windowsize = 65536", "boot.tftp_windowsize: expected a window"),
        ('[disk."../x"]\ntype = "nvme"', 'disk."../x": expected a name'),
        ("[disk.main]\nsize = 900", "disk.main.size: expected a size"),
        ('[disk.main]\nsize = ">=900GB"', "disk.main.size: expected a size"),
        ('[disk.main]\ntype = "tape"', 'disk.main.type: expected one of "nvme", "ssd", "hdd", "virtual"'),
        ('[network]\naddress = "10.0.0.1"', "network.address: expected an IPv4 address with its prefix"),
        ('[network]\naddress = "10.0.0.256/24"', "network.address: expected an IPv4 address"),
        ('[labels]\n"a b" = "x"', 'labels."a b": expected a name'),
        ("disk = []", "disk: expected a table, found a list"),
    ],
)
def test_one_mistake_in_a_host(line: str, expected: str) -> None:
    (mistake,) = mistakes({"w/host.toml": f'profile = "minimal"\n{line}'})
    assert mistake.startswith(f"hosts/w/host.toml: {expected}")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('kernel_params = ["a b"]', "kernel_params[0]: expected one kernel parameter"),
        ('kernel_params = ["${x}"]', "kernel_params[0]: expected one kernel parameter"),
        ('kernel_params = ["a\\nshell"]', "kernel_params[0]: expected one kernel parameter"),
        ('kernel_params = ["||"]', "kernel_params[0]: expected one kernel parameter"),
        ('esp_label = "EFI SYSTEM"', "esp_label: expected a FAT label"),
        ('esp_label = "/../../x"', "esp_label: expected a FAT label"),
        ('flake = "--impure"', "flake: expected a flake"),
        ('flake = "a b"', "flake: expected a flake"),
        ('layout = "../x"', "layout: expected a name"),
        ('system = "macos"', 'system: expected one of "nixos", "darwin", found "macos"'),
        ('install = "yes"', 'install: expected one of "auto", "approve"'),
        ('requires.memory = "64GB"', "requires.memory: expected a size"),
        ('requires.disk = [{type = "tape"}]', "requires.disk[0].type: expected one of"),
        ("requires.cpu.threads = -1", "requires.cpu.threads: expected a number of threads"),
        ('requires.nic.speed = "10"', 'requires.nic.speed: expected a speed such as "10G"'),
        ('requires.gpu = "any"', 'requires.gpu: expected a table, found "any"'),
        ('requires.gpu.memory = "12 GB"', "requires.gpu.memory: expected a size"),
        ('requires.gpu.vendor = "nvida"', 'requires.gpu.vendor: expected one of "nvidia", "amd", "intel"'),
        ('requires.gpu.allow = ["RTX 3090"]', "requires.gpu.allow[0]: expected a PCI id"),
    ],
)
def test_one_mistake_in_a_profile(line: str, expected: str) -> None:
    (mistake,) = mistakes({"profiles/p.toml": f'image = "x"\n{line}'})
    assert mistake.startswith(f"hosts/profiles/p.toml: {expected}")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ('"../x"', "image: expected a name"),
        ('""', "image: expected the name of an image"),
        ("{}", "image: expected the name of an image"),
        ("3", "image: expected text or a table, found 3"),
        ('{x86 = "a"}', 'image.x86: unknown CPU "x86"; did you mean "x86_64"?'),
        ('{x86_64 = "a/b"}', "image: expected a name"),
    ],
)
def test_one_mistake_in_an_image(image: str, expected: str) -> None:
    (mistake,) = mistakes({"profiles/p.toml": f"image = {image}"})
    assert mistake.startswith(f"hosts/profiles/p.toml: {expected}")


def test_a_broken_profile_is_there_all_the_same() -> None:
    (mistake,) = mistakes({"profiles/p.toml": 'image = "x', "a/host.toml": host(profile="p")})
    assert mistake.startswith("hosts/profiles/p.toml: is not TOML")


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "A", "a.b", "a b", "a/b", "..", "profiles", "layouts", "ü", "a" * 64, "a\n"]
)
def test_a_host_is_named_like_a_dns_label(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a host"):
        check_host_name(name)


@pytest.mark.parametrize("name", ["a", "7", "cim-worker-1", "a" * 63])
def test_good_names(name: str) -> None:
    check_host_name(name)
    assert name in parse_hosts({f"{name}/host.toml": 'profile = "minimal"'}).hosts


def test_a_bad_name_is_told_with_its_file() -> None:
    (mistake,) = mistakes({"Worker_1/host.toml": 'profile = "minimal"'})
    assert mistake.startswith('hosts/Worker_1/host.toml: "Worker_1" cannot be the name of a host')


def test_files_that_did_not_change_are_the_same_values() -> None:
    """A reload after one edit parses one file: the loop is not held up by 999 others."""
    before = parse_hosts({"a/host.toml": host("52:54:00:aa:bb:01"), "b/host.toml": host("52:54:00:aa:bb:02")})
    after = parse_hosts({"a/host.toml": host("52:54:00:aa:bb:01"), "b/host.toml": host("52:54:00:aa:bb:03")})
    assert after.hosts["a"] is before.hosts["a"]
    assert after.hosts["b"] != before.hosts["b"]


def outcome(files: dict[str, str]) -> HostBook | list[str]:
    try:
        return parse_hosts(files)
    except ConfigError as error:
        return list(error.mistakes)


@given(
    path=st.sampled_from(["w/host.toml", "profiles/p.toml", "x", "a/b/c"]) | st.text(max_size=12),
    text=st.text(),
)
def test_any_file_gives_a_book_or_mistakes(path: str, text: str) -> None:
    found = outcome({path: text})
    assert isinstance(found, HostBook) or all(mistake.startswith(f"hosts/{path}: ") for mistake in found)


def test_P15_two_hosts_cannot_claim_one_uuid_in_two_byte_orders() -> None:
    (swapped,) = set(uuid_orders(UUID)) - {UUID}
    assert swapped != UUID
    (mistake,) = mistakes({"a/host.toml": host(uuid=UUID), "b/host.toml": host(uuid=swapped)})
    assert mistake.startswith(f"hosts/b/host.toml: match.uuid: {swapped} is claimed by hosts/a/host.toml too")
    assert f"(as {UUID}, the other byte order)" in mistake
