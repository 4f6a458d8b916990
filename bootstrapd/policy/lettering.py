"""How wide a text is, and where it breaks: a drawing is laid out before anybody knows who will show it.

Widths are those of DejaVu Sans and DejaVu Sans Mono, the widest faces among those that a viewer falls back to:
in any other the text is narrower than the room it was given.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

# Thousandths of the font size, from U+0020 to U+007E; bold ones, which are wider.
_SANS: Final = (
    *(348, 456, 521, 838, 696, 1002, 872, 306, 457, 457, 523, 838, 380, 415, 380, 365),
    *(696, 696, 696, 696, 696, 696, 696, 696, 696, 696, 400, 400, 838, 838, 838, 580),
    *(1000, 774, 762, 734, 830, 683, 683, 821, 837, 372, 372, 775, 637, 995, 837, 850),
    *(733, 850, 770, 720, 682, 812, 774, 1103, 771, 724, 725, 457, 365, 457, 838, 500),
    *(500, 675, 716, 593, 716, 678, 435, 716, 712, 343, 343, 665, 343, 1042, 712, 687),
    *(716, 716, 493, 595, 478, 712, 652, 924, 645, 652, 582, 712, 365, 712, 838),
)
_REGULAR: Final = 0.96  # of the bold width, at most, for letters and digits
_MONO: Final = 602
_DOT: Final = 380  # between the words of a line, and for what cannot be shown
_OTHER: Final = 1150  # the widest letters of Cyrillic and Greek, in DejaVu Sans too
_WIDE: Final = 1300  # East Asian characters and emoji


class Face(Struct, frozen=True):
    """A way of writing: the class that the style sheet knows, the size, what its characters are as wide as."""

    name: str
    size: float
    is_mono: bool = False
    is_bold: bool = False

    @property
    def height(self) -> float:
        return round(self.size * 1.4, 1)

    def width(self, text: str) -> float:
        """In the units of the size, never too little."""
        return sum(self._advance(char) for char in text) * self.size / 1000

    def _advance(self, char: str) -> float:
        at = ord(char) - 32
        if 0 <= at < len(_SANS):
            is_narrower = not self.is_bold and char.isalnum()
            return _MONO if self.is_mono else _SANS[at] * (_REGULAR if is_narrower else 1)
        if char == "·":
            return _MONO if self.is_mono else _DOT
        return _WIDE if unicodedata.east_asian_width(char) in "WF" or ord(char) > 0xFFFF else _OTHER

    def wrap(self, text: str, room: float) -> list[str]:
        """The text in lines that fit: broken at blanks, and within a word where one alone is too long."""
        lines: list[str] = []
        line = ""
        for word in text.split():
            longer = f"{line} {word}" if line else word
            if self.width(longer) <= room:
                line = longer
                continue
            if line:
                lines.append(line)
            *full, line = self._pieces(word, room)
            lines += full
        return [*lines, line] if line else lines

    def _pieces(self, word: str, room: float) -> Iterator[str]:
        piece = ""
        for char in word:
            if piece and self.width(piece + char) > room:
                yield piece
                piece = ""
            piece += char
        yield piece
