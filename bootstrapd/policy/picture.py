"""What a drawing is made of: boxes, lines and texts with a place, in groups that say what they are.

Texts are laid out here, each with the room it takes, so that a test can see whether two of them meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from bootstrapd.policy.lettering import Face


class Text(Struct, frozen=True, kw_only=True):
    """A line of text; `y` is its baseline."""

    x: float
    y: float
    text: str
    face: Face
    style: str = ""

    @property
    def room(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        top = self.y - self.face.size
        return self.x, top, self.x + self.face.width(self.text), top + self.face.size * 1.25


class Box(Struct, frozen=True, kw_only=True):
    x: float
    y: float
    width: float
    height: float
    style: str
    radius: float = 0.0


class Line(Struct, frozen=True, kw_only=True):
    """Straight pieces from point to point."""

    points: tuple[tuple[float, float], ...]
    style: str


class Group(Struct, frozen=True, kw_only=True):
    """Things that belong together; `title` is what a viewer says when the pointer is on them."""

    title: str
    items: tuple[Text | Box | Line, ...]
    style: str = ""


Item = Text | Box | Line | Group


class Picture(Struct, frozen=True, kw_only=True):
    title: str
    about: str
    width: float
    height: float
    items: tuple[Item, ...]

    def texts(self) -> Iterator[Text]:
        for item in self.items:
            yield from (
                part for part in (item.items if isinstance(item, Group) else (item,)) if isinstance(part, Text)
            )


def paragraph(
    lines: Iterable[tuple[str, Face, str]], x: float, y: float, room: float
) -> tuple[list[Text], float]:
    """Lines below each other from the top edge `y` on, each wrapped into `room`; and where they end."""
    texts = []
    for text, face, style in lines:
        for piece in face.wrap(text, room):
            y += face.height
            texts.append(Text(x=x, y=round(y - face.height * 0.28, 1), text=piece, face=face, style=style))
    return texts, y


def flow(
    words: Iterable[tuple[str, Face, str]], x: float, y: float, room: float, gap: float = 18.0
) -> tuple[list[Text], float]:
    """Words behind each other from the top edge `y` on, the next line where one is full; and where they end."""
    words = list(words)
    height = max((face.height for _, face, _ in words), default=0.0)  # one baseline a line, whatever the faces
    texts: list[Text] = []
    at = 0.0
    for text, face, style in words:
        width = face.width(text)
        if at and at + width > room:
            y, at = y + height, 0.0
        if width > room:
            own, y = paragraph([(text, face, style)], x, y, room)
            texts += own
            continue
        texts.append(Text(x=round(x + at, 1), y=round(y + height * 0.72, 1), text=text, face=face, style=style))
        at += width + gap
    return texts, y + height if at else y
