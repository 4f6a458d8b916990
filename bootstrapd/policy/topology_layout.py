"""The fleet laid out as a picture: a band for each network, its hosts hanging below it; switches as a tree.

Everything is as large as what it says: columns are as wide as the longest line, long lines wrap, and there are
as many columns as make the whole a little wider than high, for three hosts or for some hundreds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from bootstrapd.model import Host, Network
from bootstrapd.policy.lettering import Face
from bootstrapd.policy.picture import Box, Group, Item, Line, Picture, Text, flow, paragraph
from bootstrapd.policy.topology import Fleet, Section, clean
from bootstrapd.policy.topology_switches import switch_tree

TITLE: Final = Face("title", 24, is_bold=True)
BAND: Final = Face("band", 17, is_bold=True)
NAME: Final = Face("name", 14, is_bold=True)
PLAIN: Final = Face("plain", 12)
MONO: Final = Face("mono", 12, is_mono=True)
SMALL: Final = Face("mac", 11, is_mono=True)

MARGIN: Final = 36.0
INSET: Final = 13.0  # of a text from the edge of its card
TRUNK: Final = 26.0  # left of each column, where the line comes down
ROW_GAP: Final = 14.0
SECTION_GAP: Final = 44.0
CARD_MIN: Final = 168.0
CARD_MAX: Final = 300.0
WIDTH_MIN: Final = 760.0
SHAPE: Final = 1.4  # width to height, where there is a choice
COLUMNS: Final = range(3, 17)
COLOURS: Final = 8
MACS_SHOWN: Final = 8

NOTHING: Final = "No host is declared: bootstrapd hosts add MAC --name NAME --profile minimal"

Lines = list[tuple[str, Face, str]]


class Card(Struct, frozen=True, kw_only=True):
    """A host, or the appliance, before it has a place."""

    title: str
    lines: Lines
    style: str
    accent: str = ""

    def height(self, width: float) -> float:
        _, end = paragraph(self.lines, 0, 0, width - 2 * INSET)
        return round(end + 2 * INSET - 4, 1)

    def drawn(self, x: float, y: float, width: float, height: float) -> Group:
        texts, _ = paragraph(self.lines, x + INSET, y + INSET - 3, width - 2 * INSET)
        box = Box(x=x, y=y, width=width, height=height, style=f"card {self.style}".strip(), radius=7)
        strip = Box(x=x, y=y + 7, width=4, height=height - 14, style=self.accent, radius=2)
        return Group(title=self.title, style="host", items=(box, *([strip] if self.accent else []), *texts))


def layout(fleet: Fleet) -> Picture:
    """The whole picture."""
    colours = {name: f"p{at % COLOURS}" for at, name in enumerate(fleet.profiles)}
    cards = [_cards(section, fleet, colours) for section in fleet.sections]
    width = _card_width([card for row in cards for card in row])
    heights = [[card.height(width) for card in row] for row in cards]
    columns = min(COLUMNS, key=lambda count: _distance(count, width, heights))
    columns = max(min(columns, max((len(row) for row in cards), default=1)), 1)
    whole = max(columns * (TRUNK + width), WIDTH_MIN, switch_tree(fleet, 0, 0)[1])
    width = round(min(whole / columns - TRUNK, CARD_MAX), 1)
    items, y = _head(fleet, colours, whole)
    if not fleet.sections:
        nothing, y = paragraph([(NOTHING, PLAIN, "muted")], MARGIN, y, whole)
        items += nothing
        y += SECTION_GAP
    tree, _, bottom = switch_tree(fleet, MARGIN, y)
    items += tree
    y = bottom + (SECTION_GAP if tree else 0)
    for at, (section, own) in enumerate(zip(fleet.sections, cards, strict=True)):
        drawn, y = _section(
            section, own, f"n{at % COLOURS}" if section.network else "none", y, whole, width, columns
        )
        items += drawn
        y += SECTION_GAP
    return Picture(
        title="The fleet",
        about=_count(fleet),
        width=round(whole + 2 * MARGIN),
        height=round(y - SECTION_GAP + MARGIN),
        items=tuple(items),
    )


def _distance(columns: int, width: float, heights: Sequence[Sequence[float]]) -> float:
    across = columns * (TRUNK + width) + 2 * MARGIN
    down = 200.0
    for row in heights:
        tallest = max(row, default=0.0) + ROW_GAP
        down += 110 + SECTION_GAP + -(-len(row) // columns) * tallest
    return abs(across / down - SHAPE)


def _card_width(cards: Sequence[Card]) -> float:
    widest = max((face.width(text) for card in cards for text, face, _ in card.lines), default=0.0)
    return round(min(max(widest + 2 * INSET + 1, CARD_MIN), CARD_MAX), 1)


def _count(fleet: Fleet) -> str:
    def many(count: int, what: str) -> str:
        return f"{count} {what}{'' if count == 1 else 'es' if what.endswith('ch') else 's'}"

    counts = ((fleet.hosts, "host"), (fleet.networks, "network"), (fleet.all_switches, "switch"))
    return " · ".join(many(len(found), what) for found, what in counts)


def _head(fleet: Fleet, colours: dict[str, str], room: float) -> tuple[list[Item], float]:
    texts, y = paragraph([("The fleet", TITLE, ""), (_count(fleet), PLAIN, "muted")], MARGIN, MARGIN - 6, room)
    items: list[Item] = list(texts)
    counts = {name: sum(host.profile == name for host in fleet.hosts) for name in colours}
    words = [(f"{clean(name)}  {counts[name]}", PLAIN, "") for name in colours]
    if words:
        legend, y = flow(words, MARGIN + 16, y + 10, room - 16, gap=36.0)
        for text, name in zip(legend, colours, strict=False):
            items.append(Box(x=text.x - 16, y=text.y - 9, width=10, height=10, style=colours[name], radius=3))
        items += legend
    return items, y + 28


def _section(
    section: Section, cards: Sequence[Card], colour: str, y: float, room: float, width: float, columns: int
) -> tuple[list[Item], float]:
    texts, end = _band(section, y + 9, room - 2 * INSET)
    band = Box(x=MARGIN, y=y, width=room, height=round(end - y + 10, 1), style=f"band {colour}", radius=8)
    title = clean(section.network.name) if section.network else "in no network"
    group = Group(title=title, style="network", items=(band, *texts))
    lines: list[Item] = []
    drawn: list[Item] = []
    bottom = y + band.height
    y = bottom + ROW_GAP + 4
    ends: dict[float, float] = {}
    for at in range(0, len(cards), columns):
        row = cards[at : at + columns]
        height = max(card.height(width) for card in row)
        for column, card in enumerate(row):
            x = round(MARGIN + column * (TRUNK + width), 1)
            middle = round(y + height / 2, 1)
            ends[x] = middle
            lines.append(Line(points=((x + 11, middle), (x + TRUNK, middle)), style=f"wire {colour}"))
            drawn.append(card.drawn(x + TRUNK, y, width, height))
        y += height + ROW_GAP
    lines += [Line(points=((x + 11, bottom), (x + 11, end)), style=f"wire {colour}") for x, end in ends.items()]
    return [*lines, group, *drawn], y - ROW_GAP


def _band(section: Section, y: float, room: float) -> tuple[list[Text], float]:
    network = section.network
    if network is None:
        name = "In no network"
        about = "hosts without an address, or with one that is in no network of networks.toml"
        return paragraph([(name, BAND, "on"), (about, PLAIN, "on")], MARGIN + INSET, y, room)
    words = [
        (clean(network.name), BAND, "on"),
        (network.subnet, MONO, "on"),
        (f"VLAN {network.vlan}" if network.vlan else "untagged", PLAIN, "on"),
        (f"gateway {network.gateway}" if network.gateway else "", PLAIN, "on"),
        (f"DNS {', '.join(network.dns)}" if network.dns else "", PLAIN, "on"),
        (f"on {', '.join(map(clean, section.switches))}" if section.switches else "", PLAIN, "on"),
    ]
    texts, end = flow([word for word in words if word[0]], MARGIN + INSET, y, room, gap=22.0)
    more, end = paragraph([(clean(network.description), PLAIN, "on")], MARGIN + INSET, end, room)
    return [*texts, *more], end


def _cards(section: Section, fleet: Fleet, colours: dict[str, str]) -> list[Card]:
    own = [_appliance(section.network)] if section.network and section.network.appliance else []
    is_mac = {name for name, profile in fleet.profiles.items() if profile.is_darwin}
    return own + [_host(host, colours[host.profile], host.profile in is_mac) for host in section.hosts]


def _appliance(network: Network) -> Card:
    lines: Lines = [
        ("bootstrapd", NAME, ""),
        ("the appliance", PLAIN, "muted"),
        (network.appliance, MONO, ""),
        ("boots and installs the hosts", PLAIN, "muted"),
    ]
    return Card(title=f"bootstrapd, the appliance, {network.appliance}", lines=lines, style="appliance")


def _host(host: Host, colour: str, is_mac: bool) -> Card:
    rack = host.labels.get("rack", "")
    macs = [str(mac) for mac in host.macs]
    more = [f"and {len(macs) - MACS_SHOWN + 1} more"] if len(macs) > MACS_SHOWN else []
    lines: Lines = [
        (host.name, NAME, ""),
        (
            " · ".join(filter(None, (clean(host.profile), f"rack {clean(rack)}" if rack else ""))),
            PLAIN,
            "muted",
        ),
        ("Mac: no network boot" if is_mac else "", PLAIN, "muted"),
        (host.address or "no address", MONO, "" if host.address else "muted"),
        *((mac, SMALL, "muted") for mac in (macs[: MACS_SHOWN - 1] + more if more else macs)),
        (f"port {clean(host.port)}" if host.port else "", PLAIN, "muted"),
    ]
    title = ", ".join([host.name, clean(host.profile), *filter(None, [host.address]), *macs])
    return Card(title=title, lines=lines, style="mac" if is_mac else "", accent=colour)
