"""The switches of a drawing: a tree from left to right, each with the networks it carries in their colours."""

from __future__ import annotations

from typing import Final

from bootstrapd.policy.lettering import Face
from bootstrapd.policy.picture import Box, Group, Item, Line, flow, paragraph
from bootstrapd.policy.topology import Fleet, Tree, clean

NAME: Final = Face("name", 13, is_bold=True)
PLAIN: Final = Face("plain", 11)

INSET: Final = 11.0
ACROSS: Final = 46.0  # between a switch and those below it
DOWN: Final = 12.0
WIDTH: Final = 190.0
WIDTH_MAX: Final = 300.0
COLOURS: Final = 8

Drawn = tuple[list[Item], float, float]  # what is drawn, its right and its bottom edge


def switch_tree(fleet: Fleet, x: float, y: float) -> Drawn:
    """Every switch from the place on; nothing, and the same place, where there is none."""
    colours = {network.name: f"n{at % COLOURS}" for at, network in enumerate(fleet.networks)}
    items: list[Item] = []
    right, bottom = x, y
    for tree in fleet.switches:
        drawn, edge, end, _ = _tree(tree, colours, x, y)
        items += drawn
        right, bottom, y = max(right, edge), end, end + DOWN
    return items, right, bottom


def _tree(tree: Tree, colours: dict[str, str], x: float, y: float) -> tuple[list[Item], float, float, float]:
    """As `switch_tree`, and the height of the switch's middle."""
    width = _width(tree)
    below: list[Item] = []
    middles: list[float] = []
    right, bottom, end = x + width, y, y
    for one in tree.below:
        drawn, edge, bottom, middle = _tree(one, colours, x + width + ACROSS, end)
        below += drawn
        middles.append(middle)
        right, end = max(right, edge), bottom + DOWN
    height = _card(tree, colours, x, 0, width, 0)[1]
    top = y + max((middles[0] + middles[-1]) / 2 - height / 2 - y, 0) if middles else y
    group, _ = _card(tree, colours, x, top, width, height)
    middle = round(top + height / 2, 1)
    bend = x + width + ACROSS / 2
    wires: list[Item] = [
        Line(
            points=((x + width, middle), (bend, middle), (bend, at), (x + width + ACROSS, at)), style="wire up"
        )
        for at in middles
    ]
    return [*wires, group, *below], right, max(bottom, top + height), middle


def _width(tree: Tree) -> float:
    longest = max(NAME.width(clean(tree.switch.name)), PLAIN.width(clean(tree.switch.description)))
    return round(min(max(longest + 2 * INSET + 1, WIDTH), WIDTH_MAX), 1)


def _card(
    tree: Tree, colours: dict[str, str], x: float, y: float, width: float, height: float
) -> tuple[Group, float]:
    """The switch, and how high it is."""
    switch, room = tree.switch, width - 2 * INSET
    lines = [(clean(switch.name), NAME, ""), (clean(switch.description), PLAIN, "muted")]
    texts, end = paragraph(lines, x + INSET, y + INSET - 5, room)
    words = [(clean(network), PLAIN, "") for network in switch.networks]
    own, end = flow(words, x + INSET + 12, end + 3, room - 12, gap=26.0) if words else ([], end)
    dots = [
        Box(x=text.x - 12, y=text.y - 8, width=8, height=8, style=colours[network], radius=4)
        for text, network in zip(own, switch.networks, strict=False)
    ]
    height = height or round(end - y + INSET - 3, 1)
    box = Box(x=x, y=y, width=width, height=height, style="card switch", radius=7)
    title = ", ".join(filter(None, [f"switch {clean(switch.name)}", clean(switch.description)]))
    return Group(title=title, style="switch", items=(box, *texts, *dots, *own)), height
