"""The routes of the hosts: what each is, and a person's four words to an install: arm, disarm, abort, retry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from aiohttp import web

from bootstrapd.edge.api_answer import answer, body, there
from bootstrapd.model.view import Consent, HostView

_NOBODY: Final = Consent()


class HostCore(Protocol):
    """What the daemon offers of hosts. Each of the four words returns the host once it is durable.

    RefusedError, with what to do instead: no such host, an install runs, nothing to retry, …
    """

    def hosts(self) -> list[HostView]: ...

    def host(self, name: str) -> HostView | None: ...

    async def arm(self, host: str, *, by: str, fingerprint: str = "") -> HostView:
        """Consent to one install that erases the host's disks, of the machine with this key if one is named."""

    async def disarm(self, host: str) -> HostView:
        """Take the consent back; refused once disks are being erased under it (that is `abort`)."""

    async def abort(self, host: str, *, by: str) -> HostView:
        """Stop the install that runs; `why` says what the disks hold now."""

    async def retry(self, host: str, *, by: str) -> HostView:
        """Try a failed install again now, within what is left of the arm's budget."""


class HostRoutes:
    """Handlers over one core; `table` is what the server routes."""

    def __init__(self, core: HostCore) -> None:
        self._core = core

    def table(self) -> list[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]]]:
        one = "/v1/hosts/{name}"
        return [
            ("GET", "/v1/hosts", self._hosts),
            ("GET", one, self._host),
            ("POST", f"{one}/arm", self._arm),
            ("POST", f"{one}/disarm", self._disarm),
            ("POST", f"{one}/abort", self._abort),
            ("POST", f"{one}/retry", self._retry),
        ]

    async def _hosts(self, _request: web.Request) -> web.Response:
        return answer(self._core.hosts())

    async def _host(self, request: web.Request) -> web.Response:
        return answer(there(self._core.host(_name(request)), f"there is no host {_name(request)!r}"))

    async def _arm(self, request: web.Request) -> web.Response:
        said = await _consent(request)
        return answer(await self._core.arm(self._known(request), by=said.by, fingerprint=said.fingerprint))

    async def _disarm(self, request: web.Request) -> web.Response:
        return answer(await self._core.disarm(self._known(request)))

    async def _abort(self, request: web.Request) -> web.Response:
        return answer(await self._core.abort(self._known(request), by=(await _consent(request)).by))

    async def _retry(self, request: web.Request) -> web.Response:
        return answer(await self._core.retry(self._known(request), by=(await _consent(request)).by))

    def _known(self, request: web.Request) -> str:
        name = _name(request)
        return there(self._core.host(name), f"there is no host {name!r}").name


def _name(request: web.Request) -> str:
    return request.match_info["name"]


async def _consent(request: web.Request) -> Consent:
    data = await request.read()
    return body(data, Consent) if data else _NOBODY
