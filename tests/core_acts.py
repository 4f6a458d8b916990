"""What made-up cores of the operator's API share: acts on hosts, remembered, refused when told to."""

from __future__ import annotations

from bootstrapd.model import Mac
from bootstrapd.model.view import EventView, HostView

MAC = Mac.parse("52:54:00:aa:bb:01")


class CoreActs:
    """Needs `host`; `refusal` is raised by every act."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.happened: list[EventView] = []
        self.refusal: Exception | None = None

    def host(self, name: str) -> HostView | None:
        raise NotImplementedError

    async def arm(self, host: str, *, by: str, fingerprint: str = "") -> HostView:
        return self._said("arm", host, by, *filter(None, [fingerprint]))

    async def disarm(self, host: str) -> HostView:
        return self._said("disarm", host)

    async def abort(self, host: str, *, by: str) -> HostView:
        return self._said("abort", host, by)

    async def retry(self, host: str, *, by: str) -> HostView:
        return self._said("retry", host, by)

    def _said(self, *words: str) -> HostView:
        self.asked.append(words)
        if self.refusal:
            raise self.refusal
        found = self.host(words[1])
        assert found is not None
        return found

    async def past(self, since: float, host: str, limit: int) -> list[EventView]:
        self.asked.append(("past", since, host, limit))
        return [view for view in self.happened if view.event.at >= since and host in ("", view.host)]

    def host_of(self, machine: str) -> str:
        return "node-1" if machine == MAC.hex else ""
