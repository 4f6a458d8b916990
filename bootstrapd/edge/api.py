"""The operator's API: JSON over HTTP on a Unix socket.

Owns the socket, the routes, the limits and the translation of errors into status codes (REFUSED 409,
configuration 400, environment 503, not there 404, our bug 500). What an answer says is the core's: the daemon.
"""

from __future__ import annotations

from typing import Protocol

from bootstrapd.model import Arch, Door, Mac, Stage
from bootstrapd.model.view import Explained, HostView, ImageView, MachineView, StatusView


class ApiCore(Protocol):
    """What the daemon offers the operator. Not there is None; a refusal is RefusedError, and so on."""

    def status(self) -> StatusView: ...

    def hosts(self) -> list[HostView]: ...

    def host(self, name: str) -> HostView | None: ...

    def machines(self) -> list[MachineView]: ...

    def machine(self, key: str) -> MachineView | None:
        """By machine id, or by any of its MACs in `Mac.parse` form; unknown machines count too."""

    def images(self) -> list[ImageView]: ...

    def explain(
        self, mac: Mac, arch: Arch | None, stage: Stage | None, door: Door | None
    ) -> list[Explained]: ...

    async def adopt(self, machine: str, host: str, *, ready: bool) -> MachineView:
        """Returns when the event is durable. RefusedError: no such host, another machine is it, …"""

    async def forget(self, machine: str) -> bool:
        """Returns when durable; False = there is no such machine."""

    async def reload(self) -> list[str]:
        """Read hosts and images again, now; the mistakes found (the last good set still serves)."""
