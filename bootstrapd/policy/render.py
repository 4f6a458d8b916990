"""The iPXE scripts, from the templates of `netboot/ipxe/`. A name that a template wants and is not given is an
error at once (StrictUndefined), never an empty word in a boot script.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from jinja2 import DictLoader, Environment, StrictUndefined

# Nothing that a machine or a file says may end a line, open a variable or join commands in an iPXE script.
_UNSAFE: Final = str.maketrans(dict.fromkeys("\r\n\t\x00${}`\\|&;", " "))


class Scripts:
    """All templates, compiled once."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._environment = Environment(
            loader=DictLoader(dict(sources)),
            undefined=StrictUndefined,
            autoescape=False,  # noqa: S701 - iPXE scripts, not HTML; `said` is the escape
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._environment.filters["said"] = said
        self._templates = {name: self._environment.get_template(name) for name in sources}

    def render(self, template: str, values: Mapping[str, object]) -> bytes:
        """The script as it is sent. Raises `jinja2.UndefinedError` for a value the template was not given."""
        return self._templates[f"{template}.ipxe.j2"].render(values).encode()


def said(text: object) -> str:
    """A sentence as an iPXE `echo` can print it: one line, no variables, no commands, plain ASCII."""
    return str(text).translate(_UNSAFE).encode("ascii", "replace").decode()
