"""A drawing shows every host and network, readably: nothing lies on anything else, no name means anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from fleets import GOLDEN, files, large, small
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bootstrapd.config import parse_hosts
from bootstrapd.errors import ConfigError
from bootstrapd.model import Host, HostBook, Mac, Profile
from bootstrapd.policy.lettering import Face
from bootstrapd.policy.picture import Box, Group, Picture
from bootstrapd.policy.topology import fleet, natural
from bootstrapd.policy.topology_layout import layout
from bootstrapd.policy.topology_mermaid import mermaid
from bootstrapd.policy.topology_nix import nix
from bootstrapd.policy.topology_svg import svg

SVG = "{http://www.w3.org/2000/svg}"
WRITERS = {"svg": svg, "mmd": mermaid, "nix": nix}
HOSTILE = (
    '</text><script>alert(1)</script>&amp;"\'`${builtins.abort "x"}\\ \u202e#quot; 鉄 \U0001f5a5 %%{ ]] --> --'
)


def hostile_text() -> st.SearchStrategy[str]:
    """What one line of text may be in the files."""
    return st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60) | st.just(HOSTILE)


@st.composite
def fleets(draw: st.DrawFn) -> HostBook:
    """The small fleet, with what people may write freely put in: lines, long names, many cards."""
    book = small()
    text = hostile_text()
    names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
    hosts = dict(book.hosts)
    for name in draw(st.lists(names, max_size=6, unique=True)):
        count = draw(st.integers(0, 12))
        hosts[name] = Host(
            name=name,
            profile=draw(st.sampled_from(["node", "desk", "minimal"])),
            macs=tuple(Mac.parse(f"5254000000{at:02x}") for at in range(count)),
            address=draw(st.sampled_from(["", f"10.1.0.{20 + len(hosts)}/24", "10.9.9.9/8"])),
            port=draw(text | st.just("rack4/Eth 1")),
            labels={"rack": draw(text)},
        )
    networks = {name: replace(network, description=draw(text)) for name, network in book.networks.items()}
    switches = {name: replace(switch, description=draw(text)) for name, switch in book.switches.items()}
    return HostBook(hosts=hosts, profiles=book.profiles, networks=networks, switches=switches)


def groups(text: str, style: str) -> Iterator[tuple[str, str]]:
    """Title and written texts of each group of this kind."""
    for group in ET.fromstring(text).iter(f"{SVG}g"):
        if group.get("class") == style:
            yield group[0].text or "", "".join(part.text or "" for part in group.iter(f"{SVG}text"))


def collisions(picture: Picture) -> list[tuple[str, str]]:
    """Texts whose rooms meet."""
    texts = sorted(picture.texts(), key=lambda text: text.room[1])
    found = []
    for at, one in enumerate(texts):
        left, _, right, bottom = one.room
        for other in texts[at + 1 :]:
            if other.room[1] >= bottom:
                break
            if other.room[0] < right and left < other.room[2]:
                found.append((one.text, other.text))
    return found


def outside(picture: Picture) -> list[str]:
    """Texts that leave the box of their group, or the picture."""
    found = []
    for item in picture.items:
        if isinstance(item, Group):
            box = item.items[0]
            assert isinstance(box, Box)
            edges = (box.x, box.y, box.x + box.width, box.y + box.height)
            texts = list(replace(picture, items=(item,)).texts())
        else:
            edges, texts = (0, 0, picture.width, picture.height), []
        for text in texts:
            left, top, right, bottom = text.room
            if left < edges[0] or top < edges[1] or right > edges[2] + 0.1 or bottom > edges[3]:
                found.append(text.text)
    found += [
        text.text
        for text in picture.texts()
        if text.room[0] < 0 or text.room[2] > picture.width or text.room[3] > picture.height
    ]
    return found


# -- what is shown


@pytest.mark.parametrize("kind", WRITERS)
def test_the_small_fleet_is_drawn_as_it_was_looked_at(kind: str) -> None:
    written = WRITERS[kind](fleet(small()))
    assert written == (GOLDEN / f"small.{kind}").read_text(), "look at it, then put it there"


def test_hosts_are_where_their_address_is_or_their_switch_or_aside() -> None:
    shown = {
        section.network.name if section.network else None: [host.name for host in section.hosts]
        for section in fleet(small()).sections
    }
    assert shown == {"boot": ["w-1", "w-2"], "storage": ["w-10"], None: ["mac-1"]}


@pytest.mark.parametrize("count", [3, 40, 200])
def test_every_host_network_and_switch_is_in_it(count: int) -> None:
    book = large(count)
    text = svg(fleet(book))
    hosts = dict(groups(text, "host"))
    for host in book.hosts.values():
        (title,) = [title for title in hosts if title.startswith(f"{host.name}, ")]
        for word in (host.name, host.profile, host.address, *host.macs, f"rack {host.labels['rack']}"):
            assert word in hosts[title], word
    assert len(hosts) == count + 1, "and the appliance"
    networks = dict(groups(text, "network"))
    for network in book.networks.values():
        assert network.subnet in networks[network.name]
    assert "VLAN 20" in networks["storage"]
    assert [title for title, _ in groups(text, "switch")] == ["switch core", "switch rack4", "switch rack5"]


@pytest.mark.parametrize("count", [0, 1, 3, 40, 200])
def test_nothing_lies_on_anything_else_and_all_is_inside(count: int) -> None:
    picture = layout(fleet(large(count)))
    assert collisions(picture) == []
    assert outside(picture) == []
    cards = [item.items[0] for item in picture.items if isinstance(item, Group)]
    boxes = sorted((box for box in cards if isinstance(box, Box)), key=lambda box: (box.y, box.x))
    assert all(a.y < b.y or a.x + a.width <= b.x for a, b in pairwise(boxes))


@pytest.mark.parametrize("count", [40, 200])
def test_a_large_fleet_is_no_ribbon(count: int) -> None:
    picture = layout(fleet(large(count)))
    assert 0.5 < picture.width / picture.height < 2.5


def test_an_empty_folder_says_what_to_do() -> None:
    text = svg(fleet(HostBook()))
    assert "bootstrapd hosts add" in text
    assert ET.fromstring(text).tag == f"{SVG}svg"


def test_the_check_finds_texts_that_meet() -> None:
    """The rooms would be worth nothing if no two of them ever met."""
    picture = layout(fleet(small()))
    pushed = [
        replace(item, items=(item.items[0], *(replace(t, y=9.0) for t in picture.texts())))
        for item in picture.items
        if isinstance(item, Group)
    ]
    assert collisions(replace(picture, items=tuple(pushed)))
    assert outside(replace(picture, items=tuple(pushed)))


def test_a_mac_and_more_cards_than_are_listed_are_said() -> None:
    macs = tuple(Mac.parse(f"5254000000{at:02x}") for at in range(12))
    book = HostBook(
        hosts={"m": Host(name="m", profile="desk", macs=macs)},
        profiles={"desk": Profile(name="desk", images={}, system="darwin")},
    )
    ((title, text),) = groups(svg(fleet(book)), "host")
    assert "Mac: no network boot" in text
    assert "and 5 more" in text
    assert all(mac in title for mac in macs)


# -- whatever people write


@settings(max_examples=60, deadline=None)
@given(fleets())
def test_whatever_is_written_there_it_stays_text_in_its_place(book: HostBook) -> None:
    drawn = fleet(book)
    picture = layout(drawn)
    assert collisions(picture) == []
    assert outside(picture) == []
    text = svg(drawn)
    root = ET.fromstring(text)
    kinds = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert kinds <= {"svg", "title", "desc", "style", "rect", "g", "polyline", "text"}
    written = [element.text for element in root.iter(f"{SVG}text")]
    assert written == [t.text for t in picture.texts()]
    assert {name.split(",")[0] for name, _ in groups(text, "host")} >= set(book.hosts)
    assert "\u202e" not in text


@settings(max_examples=40, deadline=None)
@given(fleets())
def test_no_name_breaks_a_line_of_mermaid(book: HostBook) -> None:
    label = r'"[^"`<>&{}\[\]()|;\\]*"'
    node = rf"(?:[nhs]\d+|a_n\d+)(?:\[\[{label}\]\]|\(\[{label}\]\)|\{{\{{{label}\}}\}}|\[{label}\])"
    link = r"(?:[nhs]\d+|a_n\d+) (?:---|-\.-) (?:[nhs]\d+|a_n\d+)"
    head, *lines = mermaid(fleet(book)).rstrip("\n").split("\n")
    assert head == "flowchart LR"
    for line in lines:
        plain = re.sub(r"<br/>|#\d+;", "", line)
        assert re.fullmatch(rf"  (?:{node}|{link})", plain), line


def test_a_network_names_its_switches_in_the_order_of_their_numbers() -> None:
    book = large(1)
    racks = {f"r{at}": replace(book.switches["rack4"], name=f"r{at}") for at in range(12)}
    boot, *_ = fleet(replace(book, switches=book.switches | racks)).sections
    assert boot.switches == (*(f"r{at}" for at in range(12)), "rack4", "rack5")


def test_numbers_in_names_sort_by_size() -> None:
    assert sorted(["w-10", "w-2", "a", "w-02b", "1"], key=natural) == ["1", "a", "w-2", "w-02b", "w-10"]


# -- the lettering


@given(st.text(max_size=80), st.floats(20, 400))
def test_wrapped_text_fits_and_loses_nothing_but_blanks(text: str, room: float) -> None:
    face = Face("plain", 12)
    lines = face.wrap(text, room)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(face.width(line) <= room or len(line) == 1 for line in lines)


def test_a_mistake_in_networks_is_no_drawing() -> None:
    with pytest.raises(ConfigError):
        parse_hosts(files(**{"networks.toml": "[network.a]"}))
