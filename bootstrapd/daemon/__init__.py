"""The appliance put together: what each door answers, what the operator sees, and the loop that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrapd.config import Config
    from bootstrapd.daemon.assemble import Offline


def run(config: Config) -> None:
    """Serve until stopped. EdgeError and ConfigError say why it could not start."""
    import asyncio

    from bootstrapd.daemon import lean

    async def serve() -> None:
        with lean.start():
            from bootstrapd.daemon import logs
            from bootstrapd.daemon.service import Daemon

            logs.configure(config.log)
            daemon = Daemon(config)
        await daemon.run()

    asyncio.run(serve())


def offline(config: Config) -> Offline:
    """The appliance as it would answer, for `explain` where no daemon runs."""
    from bootstrapd.daemon.assemble import Offline

    return Offline(config)
