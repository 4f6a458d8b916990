"""An event as the fleet sees it: subject, headers and JSON body (DESIGN.md, "What the fleet sees").

A machine's event is about the machine, one without a machine is about its host: that is the aggregate, which
the subject names. `sequence` is the event's number in the journal: it grows, and is not dense in an aggregate.
What an event type's `data` holds is the model's class without what every event has; docs/events/ has the JSON
Schemas of all of them, made by `python -m bootstrapd.cli.schemas`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Generic, NamedTuple, TypeVar, get_args

import msgspec
from msgspec import Struct

from bootstrapd.model import AnyEvent, Armed, Disarmed, Event, TokenIssued, encode

Data = TypeVar("Data")

PRIVATE: Final = (TokenIssued,)
OF_HOSTS: Final = (Armed, Disarmed)
PUBLIC: Final[tuple[type[Event], ...]] = tuple(kind for kind in get_args(AnyEvent) if kind not in PRIVATE)
MESSAGE_ID: Final = "Nats-Msg-Id"
_COMMON: Final = frozenset(field.name for field in msgspec.structs.fields(Event))
_NOT_IN_TOKENS: Final = re.compile(r"[^A-Za-z0-9_-]")
_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")
OWN_FIELDS: Final[Mapping[type[Event], tuple[str, ...]]] = {
    kind: tuple(field.name for field in msgspec.structs.fields(kind) if field.name not in _COMMON)
    for kind in PUBLIC
}


class Metadata(Struct, frozen=True, kw_only=True):
    """Who says so, and the boot and the run that the event was part of ("" = none)."""

    site: str
    boot: str
    run: str
    left_out_bytes: int = 0  # the size of `data`, where it is null because the server takes no more


class Envelope(Struct, Generic[Data], frozen=True, kw_only=True):
    """The body. `causation_id` is the event before it in its run or boot; a root's three ids are equal."""

    event_id: str
    aggregate_id: str
    sequence: int
    timestamp: str  # RFC 3339, UTC
    correlation_id: str  # the run, else the boot, else the event itself
    causation_id: str
    event_type: str
    data: Data | None
    metadata: Metadata


class Message(NamedTuple):
    """One publish. `headers` has Nats-Msg-Id, by which the stream knows what it already holds."""

    subject: str
    headers: dict[str, str]
    body: bytes


def build(
    event: AnyEvent, sequence: int, *, prefix: str, site: str, before: str = "", is_bare: bool = False
) -> Message | None:
    """The event's message, None for one that is private.

    `before` is the id of the aggregate's event before this one, "" = not known. `is_bare` leaves `data` out.
    """
    if isinstance(event, PRIVATE):
        return None
    correlation = event.run or event.boot or event.id
    data: dict[str, Any] = {name: getattr(event, name) for name in OWN_FIELDS[type(event)]}
    envelope = Envelope(
        event_id=event.id,
        aggregate_id=aggregate(event)[1],
        sequence=sequence,
        timestamp=timestamp(event.at),
        correlation_id=correlation,
        causation_id=event.id if correlation == event.id else before or correlation,
        event_type=event_type(type(event)),
        data=None if is_bare else data,
        metadata=Metadata(
            site=site, boot=event.boot, run=event.run, left_out_bytes=len(encode(data)) if is_bare else 0
        ),
    )
    return Message(subject(event, prefix), headers(envelope), encode(envelope))


def aggregate(event: Event) -> tuple[str, str]:
    """("machine", its id), or for a fact about a host ("host", its name)."""
    return ("machine", event.machine) if event.machine else ("host", getattr(event, "host", ""))


def subject(event: Event, prefix: str) -> str:
    """`<prefix>.events.machine.525400aabb01.boot_asked`."""
    return f"{prefix}.{_of(*aggregate(event))}.{_CAPITAL.sub('_', type(event).__name__).lower()}"


def subjects_of(kind: str, name: str, prefix: str) -> str:
    """The filter for all events of one aggregate."""
    return f"{prefix}.{_of(kind, name)}.>"


def event_type(kind: type[Event]) -> str:
    """ "MachineRegistered", "HostArmed"."""
    return f"{'Host' if kind in OF_HOSTS else 'Machine'}{kind.__name__}"


def timestamp(at: float) -> str:
    """Unix seconds as RFC 3339 in UTC, to the microsecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _of(kind: str, name: str) -> str:
    return f"events.{kind}.{token(name)}"


def token(text: str) -> str:
    """One token of a subject, whatever the text: what means something there (. * > blank) becomes =2E."""
    return _NOT_IN_TOKENS.sub(lambda found: "".join(f"={byte:02X}" for byte in found[0].encode()), text) or "="


def headers(envelope: Envelope[Any]) -> dict[str, str]:
    """What a consumer can go by without reading the body."""
    return {
        MESSAGE_ID: envelope.event_id,
        "CIM-Aggregate-Id": envelope.aggregate_id,
        "CIM-Event-Type": envelope.event_type,
        "CIM-Timestamp": envelope.timestamp,
        "CIM-Correlation-Id": envelope.correlation_id,
    }
