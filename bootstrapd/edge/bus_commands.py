"""Commands from the fleet: read, refused with a reason, or handed on; the acknowledgement back.

Who does not own a host stays silent: several appliances hear the same subject, each site's in a queue group.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

import structlog

from bootstrapd.errors import BootstrapdError, WireError
from bootstrapd.model import encode
from bootstrapd.wire import command
from bootstrapd.wire.command import Ack, AnyCommand, Deploy

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

log = structlog.get_logger(__name__)

AT_ONCE: Final = 32
PATIENCE_S: Final = 30.0

Handler = Callable[[AnyCommand], Awaitable[Ack | None]]


class Commands:
    """`listen` on a connection; each command is answered in a task of its own."""

    def __init__(
        self,
        accept: Literal["none", "query", "deploy"],
        handler: Handler,
        owns: Callable[[str], bool],
        counters: Counter[str],
    ) -> None:
        self._accept = accept
        self._handler = handler
        self._owns = owns
        self._counters = counters
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, connection: Client, prefix: str, site: str) -> None:
        """Hear every command's subject, unless none is wanted. Ends with the connection."""
        if self._accept == "none":
            return
        for name in command.SUBJECTS:
            await connection.subscribe(
                f"{prefix}.{name}", queue=f"bootstrapd.{site}", cb=partial(self._heard, connection, name)
            )

    async def answer(self, name: str, body: bytes) -> Ack | None:
        """What to reply to `<prefix>.<name>`; None = nothing, it is not for us."""
        host = command.host_of(body)
        is_ours = not host or self._owns(host)
        try:
            asked = command.parse(name, body)
        except WireError as error:
            return command.rejected(body, str(error)) if is_ours else None
        if isinstance(asked, Deploy):
            if self._accept != "deploy":
                reason = 'this appliance takes queries only (nats.commands = "query")'
                return command.refused(asked, reason) if is_ours else None
        elif not is_ours:
            return None
        return await self._handled(asked)

    async def _handled(self, asked: AnyCommand) -> Ack | None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._handler(asked)
        except BootstrapdError as error:
            return command.refused(asked, str(error))
        except TimeoutError:
            return command.refused(asked, f"it took longer than {PATIENCE_S:.0f} s; look at the appliance")
        except Exception:
            self._counters["nats.command.bug"] += 1
            log.exception("a command failed")
            return command.refused(asked, "the appliance failed over it; its log says how")

    async def _heard(self, connection: Client, name: str, message: Msg) -> None:
        self._counters[f"nats.command.{name}"] += 1
        if len(self._tasks) >= AT_ONCE:
            self._counters["nats.refused.busy"] += 1
            await _reply(connection, message, command.rejected(message.data, "busy; ask again"))
            return
        task = asyncio.create_task(self._reply_to(connection, name, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply_to(self, connection: Client, name: str, message: Msg) -> None:
        ack = await self.answer(name, message.data)
        if ack is None:
            return
        self._counters[f"nats.{ack.status.lower()}.{name}"] += 1
        log.info("command", name=name, command=ack.command_id, status=ack.status, reason=ack.reason)
        await _reply(connection, message, ack)


async def _reply(connection: Client, message: Msg, ack: Ack) -> None:
    if not message.reply or connection.is_closed:
        return
    body = encode(ack)
    if len(body) > connection.max_payload:
        too_large = f"the answer has {len(body)} bytes, which is too large to send; ask with a smaller limit"
        body = encode(command.rejected(message.data, too_large))
    await connection.publish(message.reply, body)
