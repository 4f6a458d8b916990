"""The appliance's own nats-server: on loopback, JetStream on disk, started and stopped with it."""

from __future__ import annotations

from pathlib import Path


class NatsServer:
    """Runs and watches one nats-server below `folder`; `leaf_of` makes it a leaf node of a cluster."""

    def __init__(
        self,
        folder: Path,
        domain: str,
        *,
        leaf_of: tuple[str, ...] = (),
        credentials: Path | None = None,
        tls_ca: Path | None = None,
        tls_cert: Path | None = None,
        tls_key: Path | None = None,
    ) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Returns at once: the server is started, and started again with growing pauses when it dies."""

    async def close(self) -> None:
        """The server has stopped."""

    @property
    def problem(self) -> str:
        """Why it does not run; "" when it does, or is about to."""
        return ""
