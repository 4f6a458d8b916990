"""hosts/fleet.nix reads a hosts folder as bootstrapd/config/hosts.py does: the same values, the same mistakes.

What is generated follows the Python tables field by field, so that a key or a kind which Nix does not know, or
takes otherwise, fails here.
"""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec
import pytest
import tomlkit
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from nix_tools import ROOT, NixError, evaluate

from bootstrapd import shipped
from bootstrapd.config import parse_hosts
from bootstrapd.config.tables import HostTable, NetworksTable, ProfileTable
from bootstrapd.errors import ConfigError
from bootstrapd.model import Mac, clean_serial, clean_uuid

FLEET: Final = "{ files }: import ./hosts/fleet.nix { inherit files; }"
MISTAKES: Final = "{ files }: (import ./hosts/fleet.nix { inherit files; }).mistakes"
KEY: Final = re.compile(
    r'hosts/((?:[^:]|:(?! ))+): (?:((?:[\w-]+|"(?:[^"\\]|\\.)*")(?:\.[\w-]+|\."(?:[^"\\]|\\.)*"|\[\d+\])*): )?'
)

Files = dict[str, str]
Place = tuple[str, str]  # file and key of a mistake


def by_python(files: Files) -> dict[str, Any]:
    """The folder as the Python tables have it, every default filled."""
    parse_hosts(files)
    found: dict[str, Any] = {"hosts": {}, "profiles": {}, "networks": {}, "switches": {}}
    shipped_ones = {
        f"profiles/{path.name}": path.read_text() for path in shipped.hosts().glob("profiles/*.toml")
    }
    for path, text in {**shipped_ones, **files}.items():
        match path.split("/"):
            case ["profiles", file]:
                name = file.removesuffix(".toml")
                found["profiles"][name] = {**plain(text, ProfileTable), "name": name}
            case ["networks.toml"]:
                drawn = plain(text, NetworksTable)
                for kind, key in (("networks", "network"), ("switches", "switch")):
                    found[kind] = {name: {**table, "name": name} for name, table in drawn[key].items()}
            case [name, "host.toml"]:
                host = {**plain(text, HostTable), "name": name}
                match_table = host["match"]
                match_table["mac"] = list(dict.fromkeys(match_table["mac"]))
                match_table["uuid"] = clean_uuid(match_table["uuid"])
                match_table["serial"] = clean_serial(match_table["serial"])
                found["hosts"][name] = host
    return found


def plain(text: str, kind: type[HostTable | ProfileTable | NetworksTable]) -> dict[str, Any]:
    table = msgspec.convert(tomllib.loads(text), kind, dec_hook=lambda _, value: Mac.parse(value))
    return json.loads(msgspec.json.encode(table, enc_hook=str))  # type: ignore[no-any-return]


def without_mistakes(nix: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in nix.items() if key != "mistakes"}


def python_mistakes(files: Files) -> list[str]:
    try:
        parse_hosts(files)
    except ConfigError as error:
        return list(error.mistakes)
    return []


def places(mistakes: list[str]) -> set[Place]:
    return {(found[1], found[2] or "") for mistake in mistakes if (found := KEY.match(mistake))}


# -- what there is


EXAMPLES: Final[Files] = {
    **{f"profiles/{path.name}": path.read_text() for path in shipped.hosts().glob("profiles/*.toml")},
    "example/host.toml": (shipped.hosts() / "example-host.toml").read_text(),
    "empty/host.toml": 'profile = "minimal"',
    "profiles/empty.toml": 'image = "x"',
}


def test_the_examples_and_every_default_are_the_same() -> None:
    nix = evaluate(FLEET, files=EXAMPLES)
    assert without_mistakes(nix) == by_python(EXAMPLES)
    assert nix["mistakes"] == []


def test_the_page_on_files_shows_what_both_read() -> None:
    page = (ROOT / "docs" / "config.md").read_text("utf-8")
    host, profile, networks = (
        re.search(rf"## {re.escape(title)}.*?```toml\n(.*?)```", page, re.DOTALL)[1]  # type: ignore[index]
        for title in ("hosts/NAME/host.toml", "hosts/profiles/NAME.toml", "hosts/networks.toml")
    )
    files = {"w/host.toml": host, "profiles/p.toml": profile, "networks.toml": networks}
    nix = evaluate(FLEET, files=files)
    assert without_mistakes(nix) == by_python(files)


def test_a_folder_is_read_as_python_reads_it(tmp_path: Path) -> None:
    for path, text in {
        **EXAMPLES,
        ".git/host.toml": "= =",
        "layouts/x.nix": "junk",
        "w/disks.json": "{}",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    nix = evaluate("{ folder }: import ./hosts/fleet.nix { inherit folder; }", folder=tmp_path)
    assert sorted(nix["hosts"]) == ["empty", "example"]
    assert nix["hosts"]["example"]["match"]["mac"] == ["52:54:00:aa:bb:01", "52:54:00:aa:bb:02"]


def test_a_key_that_nix_does_not_know_is_noticed(tmp_path: Path) -> None:
    """The mutation that this file is for: `[disk.NAME] wwn`, gone from the Nix side alone."""
    shutil.copytree(ROOT / "hosts", tmp_path, dirs_exist_ok=True)
    tables = (tmp_path / "tables.nix").read_text()
    assert 'wwn = field kinds.text "";' in tables
    (tmp_path / "tables.nix").write_text(tables.replace('wwn = field kinds.text "";', ""))
    fleet = "{ fleet, files }: (import fleet { inherit files; }).hosts"
    files = {"w/host.toml": 'profile = "minimal"\n[disk.main]\n'}
    assert evaluate(fleet, fleet=tmp_path / "fleet.nix", files=files) != by_python(files)["hosts"]
    with pytest.raises(NixError, match=r'disk\.main\.wwn: unknown key "wwn"'):
        evaluate(fleet, fleet=tmp_path / "fleet.nix", files={"w/host.toml": '[disk.main]\nwwn = "a"'})


# -- what could be

# Many files an evaluation; what differs is told file by file, so that nothing is won by shrinking the batch.
BATCHES: Final = settings(max_examples=15, phases=[Phase.explicit, Phase.reuse, Phase.generate])

NAMES: Final = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True)
LINE: Final = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
SPECIAL: Final[dict[str, st.SearchStrategy[Any]]] = {
    "profile": st.just("minimal"),
    "uuid": st.uuids().map(str) | st.uuids().map(lambda uuid: f" {str(uuid).upper()} "),
    "serial": st.from_regex(r" ?[A-Z0-9]{2,12} ?", fullmatch=True),
    "image": st.sampled_from(["installer", {"x86_64": "a", "aarch64": "b.c"}, {"": "a", "i686": ""}]),
}


def is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def of(kind: Any, name: str = "") -> st.SearchStrategy[Any]:
    """Values that the Python side's type lets through."""
    origin, args = get_origin(kind), get_args(kind)
    if name in SPECIAL:
        return SPECIAL[name]
    if kind is Mac:
        spelling = st.sampled_from([":", "-", "", "."])
        octets = st.binary(min_size=5, max_size=5).map(lambda tail: b"\x52" + tail)
        return st.builds(lambda made, sep: made.hex(sep) if sep else made.hex().upper(), octets, spelling)
    if is_struct(kind):
        fields = {
            field.encode_name: of(field.type, field.encode_name) for field in msgspec.structs.fields(kind)
        }
        return st.fixed_dictionaries({}, optional=fields)
    if origin is Literal:
        return st.sampled_from(args)
    if origin is tuple:
        return st.lists(of(args[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(NAMES, of(args[1]), max_size=3)
    if origin is Annotated:
        return constrained(args[0], [note for note in args[1:] if isinstance(note, msgspec.Meta)])
    return of(args[0])  # a table that may be left out


def constrained(kind: type, notes: list[msgspec.Meta]) -> st.SearchStrategy[Any]:
    pattern = next((note.pattern for note in notes if note.pattern), None)
    low, high = (next((getattr(note, end) for note in notes), None) for end in ("ge", "le"))
    if pattern and r"\x00-\x1f" in pattern and "{0,256}" in pattern:
        return LINE
    if pattern:
        return st.from_regex(pattern).map(lambda text: text[:300])
    if kind is int:
        return st.integers(low, high)
    return st.floats(low, high).map(lambda number: round(number, 3)) | st.integers(0, 20)


def toml(table: dict[str, Any]) -> str:
    return tomlkit.dumps(table)


HOSTS: Final = st.lists(of(HostTable).map(lambda host: {"profile": "minimal"} | host), min_size=5, max_size=40)
PROFILES: Final = st.lists(
    of(ProfileTable).map(lambda one: {"image": "installer"} | one), min_size=5, max_size=40
)


def written(hosts: list[dict[str, Any]], profiles: list[dict[str, Any]]) -> Files:
    files = {f"h{at}/host.toml": toml(host) for at, host in enumerate(hosts)}
    return files | {f"profiles/p{at}.toml": toml(profile) for at, profile in enumerate(profiles)}


@BATCHES
@given(hosts=HOSTS, profiles=PROFILES)
def test_what_python_reads_nix_reads_alike(hosts: list[dict[str, Any]], profiles: list[dict[str, Any]]) -> None:
    files = written(hosts, profiles)
    wrong = {path for path, _ in places(python_mistakes(files))}
    sound = {path: text for path, text in files.items() if path not in wrong}
    nix = evaluate(FLEET, files=sound)
    assert without_mistakes(nix) == by_python(sound)


# -- what is refused

ODD: Final = st.one_of(
    st.integers(-(2**40), 2**40),
    st.booleans(),
    st.floats(-1e6, 1e6),
    st.just([]),
    st.just({}),
    st.just(["a", 3]),
    st.just({"a": "b", "c": 3}),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    st.sampled_from(
        [
            "",
            "zz",
            "52:54:00:aa:bb:01",
            "01:00:5e:00:00:01",
            "0000.0000.0000",
            "10.1.0.1/33",
            "10.1.0.256/24",
            "1TB",
        ]
    ),
    st.sampled_from(
        [">900G", "64 G", "a b", "-x", "x\n", "é" * 257, "é" * 256, "Default String", "00-00", "éé"]
    ),
    st.sampled_from(["00000000-0000-0000-0000-000000000000", "12345678-1234-5678-90ab-cddeefaabbcc", "3.14"]),
)


def spoil(draw: st.DrawFn, place: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    types = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    name = draw(st.sampled_from([*types, "unheard"]))
    within = [each for each in (types.get(name), *get_args(types.get(name))) if is_struct(each)]
    if within and isinstance(place.setdefault(name, {}), dict) and draw(st.booleans()):
        spoil(draw, place[name], within[0])
    else:
        place[name] = deepcopy(draw(ODD))


@st.composite
def spoilt(draw: st.DrawFn, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """A table that is right but for a key or two."""
    table: dict[str, Any] = deepcopy(draw(of(kind)))
    for _ in range(draw(st.integers(1, 2))):
        spoil(draw, table, kind)
    return table


@BATCHES
@given(
    hosts=st.lists(spoilt(HostTable), min_size=5, max_size=40),
    profiles=st.lists(spoilt(ProfileTable), min_size=5, max_size=40),
)
def test_what_python_refuses_nix_refuses_at_the_same_place(
    hosts: list[dict[str, Any]], profiles: list[dict[str, Any]]
) -> None:
    files = written(hosts, profiles)
    ours, theirs = evaluate(MISTAKES, files=files), python_mistakes(files)
    assert places(ours) == places(theirs), [
        line for line in ours + theirs if places([line]) & (places(ours) ^ places(theirs))
    ]


FEW: Final = st.sampled_from(["boot", "core", "x", "y"])
IPS: Final = st.sampled_from(
    ["10.1.0.0", "10.1.0.1", "10.1.0.7", "10.1.0.255", "10.2.0.1", "10.01.0.1", "0.0.0.0"]
)
SUBNETS: Final = st.builds("{}/{}".format, IPS, st.sampled_from([0, 8, 16, 24, 25, 31, 32, 33]))
NETWORK: Final = st.fixed_dictionaries(
    {},
    optional={
        "subnet": SUBNETS,
        "vlan": st.sampled_from([10, 20, 0, 4095]),
        "tagged": st.sampled_from([True, False, 1]),
        "gateway": IPS,
        "dns": st.lists(IPS, max_size=2),
        "appliance": IPS,
        "description": LINE,
        "unheard": st.just(1),
    },
)
SWITCH: Final = st.fixed_dictionaries(
    {}, optional={"networks": st.lists(FEW, max_size=3), "uplink": FEW, "description": LINE}
)


@settings(BATCHES, max_examples=60)
@given(
    networks=st.dictionaries(FEW, NETWORK | ODD, max_size=4),
    switches=st.dictionaries(FEW, SWITCH | ODD, max_size=4),
    addresses=st.lists(SUBNETS, max_size=4),
)
def test_networks_are_read_and_refused_alike(
    networks: dict[str, Any], switches: dict[str, Any], addresses: list[str]
) -> None:
    files = {"networks.toml": toml({"network": networks, "switch": switches})}
    for at, address in enumerate(addresses):
        files[f"h{at}/host.toml"] = toml({"profile": "minimal", "network": {"address": address}})
    ours, theirs = evaluate(MISTAKES, files=files), python_mistakes(files)
    assert places(ours) == places(theirs), (ours, theirs)
    if not theirs:
        assert without_mistakes(evaluate(FLEET, files=files)) == by_python(files)


MAC: Final = 'mac = ["52:54:00:aa:bb:01"]'
UUID: Final = "4c4c4544-0042-3510-8052-b4c04f4d4e32"
SWAPPED: Final = "44454c4c-4200-1035-8052-b4c04f4d4e32"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a/host.toml": "[match]"}, "a/host.toml: profile: expected the name of a profile, found nothing"),
        ({"a/host.toml": 'profile = "minmal"'}, 'a/host.toml: profile: unknown profile "minmal"'),
        ({"a/host.toml": 'profile = "minimal"\nprot = 1'}, 'a/host.toml: prot: unknown key "prot"'),
        (
            {"a/host.toml": 'profile = "minimal"\n[disk.m]\nsize = "1TB"'},
            "a/host.toml: disk.m.size: expected a size",
        ),
        (
            {"a/host.toml": 'profile = "minimal"\n[match]\nmac = ["x"]'},
            'a/host.toml: match.mac[0]: "x" is not a MAC',
        ),
        ({"A/host.toml": 'profile = "minimal"'}, 'A/host.toml: "A" cannot be the name of a host'),
        ({"profiles/a b.toml": 'image = "x"'}, 'profiles/a b.toml: "a b" cannot be the name of a profile'),
        ({"profiles/p.toml": 'install = "auto"'}, "profiles/p.toml: image: expected the name of an image"),
        ({"profiles/p.toml": 'image = { z80 = "x" }'}, 'profiles/p.toml: image.z80: unknown CPU "z80"'),
        (
            {f"{name}/host.toml": f'profile = "minimal"\n[match]\n{MAC}' for name in "ab"},
            "b/host.toml: match.mac: 52:54:00:aa:bb:01 is claimed by hosts/a/host.toml too",
        ),
        (
            {
                "a/host.toml": f'profile = "minimal"\n[match]\nuuid = "{UUID}"',
                "b/host.toml": f'profile = "minimal"\n[match]\nuuid = "{SWAPPED}"',
            },
            f"b/host.toml: match.uuid: {SWAPPED} is claimed by hosts/a/host.toml too",
        ),
        ({"networks.toml": '[network.a]\nsubnt = "x"'}, 'networks.toml: network.a.subnt: unknown key "subnt"'),
    ],
)
def test_a_mistake_stops_the_evaluation_and_names_file_and_key(files: Files, said: str) -> None:
    with pytest.raises(NixError) as refused:
        evaluate("{ files }: (import ./hosts/fleet.nix { inherit files; }).hosts", files=files)
    assert f"hosts/{said}" in refused.value.message
    if "networks.toml" not in files:
        assert places(python_mistakes(files)) == places(
            [line.strip() for line in refused.value.message.splitlines()]
        )


def test_every_mistake_of_every_file_is_told_at_once() -> None:
    files = {
        "a/host.toml": 'profle = "x"\n[match]\nmac = ["zz", 3]\n[labels]\nrack = 4\n',
        "profiles/p.toml": 'image = "x"\nlocal_boot = "no"',
    }
    assert len(evaluate(MISTAKES, files=files)) == len(python_mistakes(files)) == 6


def test_text_that_nix_would_cut_short_is_a_mistake() -> None:
    """Nix ends a text at a NUL: a label would be another than Python's, which refuses it."""
    files = {"a/host.toml": 'profile = "minimal"\n[labels]\na = "x\\u0000y"'}
    assert python_mistakes(files)
    assert evaluate(MISTAKES, files=files) == ["hosts/a/host.toml: holds a NUL character"]
