"""The way to NATS: every event of the journal into the stream, once and in order; commands back.

What is published is what the journal holds after its cursor, one message in flight for each aggregate and many
aggregates at once. Before the first of an aggregate the bus reads that aggregate's last message in the stream
and goes on after it, so that nothing is twice there however long NATS was away. A dead NATS stops nobody:
events wait in the journal, and the bus tries again with growing pauses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

from msgspec import Struct

from bootstrapd.edge.nats_server import NatsServer
from bootstrapd.edge.outbox import Outbox
from bootstrapd.model.view import NatsView
from bootstrapd.wire.command import Ack, AnyCommand

Handler = Callable[[AnyCommand], Awaitable[Ack | None]]


class Login(Struct, frozen=True, kw_only=True):
    """Where an external NATS is, and who we are there. None = not used."""

    url: str
    credentials: Path | None = None
    nkey_seed: Path | None = None
    token: Path | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


class Terms(Struct, frozen=True, kw_only=True):
    """What the bus says and hears."""

    prefix: str = "cim.deployment"
    site: str = "main"
    commands: Literal["none", "query", "deploy"] = "query"
    infrastructure: bool = True


class Bus:
    """`start` returns at once and connects behind it; `close` ends what is in flight and disconnects."""

    def __init__(
        self,
        outbox: Outbox,
        server: Login | NatsServer,
        terms: Terms,
        counters: Counter[str],
        handler: Handler,
        owns: Callable[[str], bool],
    ) -> None:
        raise NotImplementedError

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def view(self) -> NatsView:
        """For the operator: is it connected, to what, how many events wait, and what is wrong."""
        raise NotImplementedError
