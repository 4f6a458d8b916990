"""The stream that takes our events: found or made, read and written. The one place that knows JetStream.

A stream that takes our subjects is used as it is, whoever made it; what differs from what we would make is
said. Only where none does, DEPLOYMENT_EVENTS is made. None is ever made over subjects of others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from msgspec import Struct

from bootstrapd.edge.bus_drain import Last
from bootstrapd.errors import EdgeError
from bootstrapd.wire import infrastructure
from bootstrapd.wire.envelope import Message

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

log = structlog.get_logger(__name__)

NAME: Final = "DEPLOYMENT_EVENTS"
WINDOW_S: Final = 7200.0
AGE_S: Final = 90 * 86_400.0
SIZE: Final = 2 << 30
TIMEOUT_S: Final = 5.0
_HEADERS_ROOM: Final = 1024


class _Sent(Struct):
    """What of an envelope says where to go on."""

    event_id: str = ""
    sequence: int = 0


class _Settings(Struct, frozen=True):
    retention: str = "limits"
    storage: str = "file"
    duplicate_window: int = 0  # nanoseconds
    no_ack: bool = False


class _State(Struct, frozen=True):
    last_seq: int = 0


class _Info(Struct, frozen=True):
    """What of the server's answer matters here. Time as it says it, to the nanosecond."""

    created: str = ""
    config: _Settings = _Settings()
    state: _State = _State()


_SENT: Final = msgspec.json.Decoder(_Sent)
_INFO: Final = msgspec.json.Decoder(_Info)


class EventStream:
    """A `bus_drain.StreamLike`. Made by `open_stream`."""

    def __init__(
        self, js: JetStreamContext, name: str, made: str, last: int, inventory: frozenset[str], most: int
    ) -> None:
        self._js = js
        self._most = most - _HEADERS_ROOM
        self.name = name
        self.made = made
        self.last = last
        self.inventory = inventory

    async def publish(self, message: Message) -> None:
        """Returns when the stream has it, now or from before."""
        ack = await self._js.publish(message.subject, message.body, TIMEOUT_S, headers=message.headers)
        if ack.stream == self.name:
            self.last = max(self.last, ack.seq)

    async def last_of(self, subjects: str) -> Last | None:
        """The last message at these subjects; None where there is none, or it is nobody's event."""
        from nats.js.errors import NotFoundError

        try:
            found = await self._js.get_last_msg(self.name, subjects)
            sent = _SENT.decode(found.data or b"")
        except (NotFoundError, msgspec.DecodeError):
            return None
        return Last(sent.sequence, sent.event_id)

    def takes(self, message: Message) -> bool:
        return len(message.body) <= self._most


async def open_stream(connection: Client, prefix: str, *, inventory: bool) -> EventStream:
    """The stream for `<prefix>.events.>`, made where none takes that. EdgeError, or one of nats-py's."""
    js = connection.jetstream(timeout=TIMEOUT_S)
    name = await _name_for(js, f"{prefix}.events.>") or await _make(js, prefix)
    info = _INFO.decode((await connection.request(f"$JS.API.STREAM.INFO.{name}", timeout=TIMEOUT_S)).data)
    for difference in _differences(info.config):
        log.warning("the stream is not as we would make it; it is left as it is", stream=name, why=difference)
    taken = [each for each in infrastructure.SUBJECTS if inventory and await _name_for(js, each)]
    most = connection.max_payload
    return EventStream(js, name, info.created, info.state.last_seq, frozenset(taken), most)


async def _name_for(js: JetStreamContext, subject: str) -> str:
    from nats.js.errors import NotFoundError

    try:
        return str(await js.find_stream_name_by_subject(subject))
    except NotFoundError:
        return ""


async def _make(js: JetStreamContext, prefix: str) -> str:
    from nats.js.api import RetentionPolicy, StorageType
    from nats.js.errors import BadRequestError

    try:
        await js.add_stream(
            name=NAME,
            subjects=[f"{prefix}.events.>"],
            storage=StorageType.FILE,
            retention=RetentionPolicy.LIMITS,
            max_age=AGE_S,
            max_bytes=SIZE,
            duplicate_window=WINDOW_S,
            description="Every step of every machine, by bootstrapd",
        )
    except BadRequestError as error:
        raise EdgeError(
            f"the stream {NAME} cannot be made for {prefix}.events.>: {error.description}; give it that "
            "subject there, or another nats.prefix here"
        ) from None
    log.info("made the stream", stream=NAME, subject=f"{prefix}.events.>")
    return NAME


def _differences(config: _Settings) -> Iterator[str]:
    if config.retention != "limits":
        yield f"its retention is {config.retention}: what was consumed may come again after a long absence"
    if config.storage != "file":
        yield "it is in memory: a restart of NATS empties it, and what is lost is published again"
    if config.duplicate_window < WINDOW_S * 1e9:
        yield f"its duplicate window is {config.duplicate_window / 1e9:g} s, not {WINDOW_S:g} s"
    if config.no_ack:
        yield "it acknowledges nothing: events will wait in the journal"
