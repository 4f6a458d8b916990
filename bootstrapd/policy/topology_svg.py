"""A picture as one SVG file that needs nothing else: no font, no script, no address to fetch.

It has a ground of its own, light or dark as its viewer prefers, so that it can be read on any page. Every text
and title is escaped here; classes come from our own code only.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from bootstrapd.policy.picture import Box, Group, Item, Line, Picture, Text
from bootstrapd.policy.topology import Fleet, clean
from bootstrapd.policy.topology_layout import layout

_NETWORKS: Final = ("#2563a8", "#0f766e", "#7c4dbe", "#b4541a", "#a8326e", "#47742b", "#8a6a0a", "#4f5fc4")
_PROFILES: Final = ("#3b82c4", "#d9822b", "#2f9e6e", "#b65fc4", "#c94f5a", "#8a9a2b", "#2ba3b8", "#8d7b68")
_GREY: Final = "#66707c"

_STYLE: Final = """\
text{font-family:Inter,"Segoe UI","Helvetica Neue",Arial,"DejaVu Sans",sans-serif;fill:#1b2430}
.mono,.mac{font-family:"SF Mono",Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace}
.title,.band,.name{font-weight:700}
.muted{fill:#5a6675}
text.on{fill:#fff}
.ground{fill:#f6f8fa}
.card{fill:#fff;stroke:#cdd5de}
.card.switch{fill:#eef2f6}
.card.appliance{fill:#fff7df;stroke:#c99a1e;stroke-width:1.5}
.card.mac{stroke-dasharray:4 3}
.wire{fill:none;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}
.up{stroke:#98a4b1}
"""
_DARK: Final = """\
text{fill:#e4eaf1}
.muted{fill:#9caab9}
.ground{fill:#12171e}
.card{fill:#1c242e;stroke:#3a4653}
.card.switch{fill:#222c37}
.card.appliance{fill:#33290f;stroke:#c99a1e}
.up{stroke:#65727f}
"""


def svg(fleet: Fleet) -> str:
    """The fleet as the text of an SVG file."""
    return "\n".join([*_file(layout(fleet)), ""])


def _file(picture: Picture) -> Iterator[str]:
    width, height = _number(picture.width), _number(picture.height)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-labelledby="title about">'
    )
    yield f'<title id="title">{_text(picture.title)}</title>'
    yield f'<desc id="about">{_text(picture.about)}</desc>'
    yield f"<style>\n{_STYLE}{_colours()}@media (prefers-color-scheme:dark){{\n{_DARK}}}\n</style>"
    yield f'<rect class="ground" width="{width}" height="{height}" rx="10"/>'
    for item in picture.items:
        yield from _drawn(item)
    yield "</svg>"


def _colours() -> str:
    rows = [(f"n{at}", colour) for at, colour in enumerate(_NETWORKS)]
    rows += [(f"p{at}", colour) for at, colour in enumerate(_PROFILES)] + [("none", _GREY)]
    return "".join(
        f".{name}{{fill:{colour}}}.wire.{name}{{fill:none;stroke:{colour}}}\n" for name, colour in rows
    )


def _drawn(item: Item) -> Iterator[str]:
    match item:
        case Group(title=title, items=items, style=style):
            yield f'<g class="{style}"><title>{_text(title)}</title>'
            for part in items:
                yield from _drawn(part)
            yield "</g>"
        case Box(x=x, y=y, width=width, height=height, style=style, radius=radius):
            place = f'x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" height="{_number(height)}"'
            yield f'<rect class="{style}" {place} rx="{_number(radius)}"/>'
        case Line(points=points, style=style):
            places = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
            yield f'<polyline class="{style}" points="{places}"/>'
        case Text(x=x, y=y, text=text, face=face, style=style):
            classes = f"{face.name} {style}".strip()
            place = f'x="{_number(x)}" y="{_number(y)}" font-size="{_number(face.size)}"'
            yield f'<text class="{classes}" {place}>{_text(text)}</text>'


def _text(text: str) -> str:
    return escape(clean(text), quote=True)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
