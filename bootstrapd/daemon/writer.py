"""Writes the iPXE scripts of decisions: which template, with which values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, assert_never

from bootstrapd.model import Host, LocalDisk, Mac, Script
from bootstrapd.policy.answer import base_url
from bootstrapd.policy.boot import Setup
from bootstrapd.policy.machine import Token

if TYPE_CHECKING:  # jinja2 is loaded when the first script is written
    from bootstrapd.policy.render import Scripts

PROBE: Final = Token("", "0" * 32, "", 0.0)  # what a HEAD is shown: nothing that opens anything


class Writer:
    """The same script for the same decision, for live traffic and for `explain`."""

    def __init__(self, scripts: Callable[[], Scripts], setup: Callable[[], Setup]) -> None:
        self._scripts = scripts
        self._setup = setup

    def stub(self, server: str) -> bytes:
        """The few lines that send any iPXE on to its own script."""
        return self._scripts().render("boot", {"base": base_url(server, self._setup().http_port)})

    def render(
        self, decision: Script | LocalDisk, server: str, mac: Mac, host: Host | None, token: Token
    ) -> bytes:
        """The script of a decision, as it is sent to this machine."""
        values: dict[str, object] = {
            "base": base_url(server, self._setup().http_port),
            "host": host.name if host else mac,
            "reason": decision.reason,
        }
        match decision:
            case LocalDisk(esp_label=label):
                return self._scripts().render("disk", {**values, "esp_label": label})
            case Script(template="image", image=image):
                return self._scripts().render(
                    "image", {**values, **self._image_values(image, mac, host, token)}
                )
            case Script(template=template):
                return self._scripts().render(template, values)
            case _:
                assert_never(decision)

    def _image_values(self, name: str, mac: Mac, host: Host | None, token: Token) -> dict[str, object]:
        setup = self._setup()
        image = setup.images[name]
        own = setup.book.profiles[host.profile].kernel_params if host else ()
        mark = f"?for={mac.hexhyp}"
        # The overlay comes first: Linux's EFI stub joins initrds without a gap, and the kernel takes a
        # plain archive only at a multiple of 4: the overlay's length is one, a compressed initrd's need not be.
        # BOOTIF, as PXELINUX has it: the card it boots from, for the agent of a machine with several.
        return {
            "image": name,
            "kernel": f"{image.kernel}{mark}",
            "initrds": ["overlay", *(f"initrd{number}" for number in range(len(image.initrds)))],
            "paths": [
                f"/overlay/{token.overlay}.cpio",
                *(f"/images/{name}/{file}{mark}" for file in image.initrds),
            ],
            "cmdline": " ".join((image.cmdline, *own, f"BOOTIF=01-{mac.hexhyp}")).strip(),
        }
