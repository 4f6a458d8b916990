"""The CIM's own inventory, as far as a registration tells it: what computes, its interfaces, its address.

These subjects belong to somebody else, who has a stream there or not; we only ever publish.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bootstrapd.model import AnyEvent, Registered, encode
from bootstrapd.wire import envelope
from bootstrapd.wire.envelope import Message

COMPUTE: Final = "infrastructure.compute.registered"
INTERFACE: Final = "infrastructure.interface.added"
ADDRESS: Final = "infrastructure.ip.assigned"
SUBJECTS: Final = (COMPUTE, INTERFACE, ADDRESS)


def messages(event: AnyEvent, sequence: int, *, site: str) -> Iterator[Message]:
    """What the inventory should know of an event. Each has an id of its own, the same whenever it is built."""
    if not isinstance(event, Registered):
        return
    told: list[tuple[str, object]] = [(COMPUTE, event.hardware)]
    told += [(INTERFACE, nic) for nic in event.hardware.nics]
    if event.address:
        told.append((ADDRESS, {"address": event.address}))
    for number, (subject, data) in enumerate(told):
        yield _message(event, sequence, site, subject, data, f"{event.id}.{number}")


def _message(event: AnyEvent, sequence: int, site: str, subject: str, data: object, own_id: str) -> Message:
    kind = "".join(word.capitalize() for word in subject.split(".")[1:])
    correlation = event.run or event.boot or event.id
    body = envelope.Envelope(
        event_id=own_id,
        aggregate_id=event.machine,
        sequence=sequence,
        timestamp=envelope.timestamp(event.at),
        correlation_id=correlation,
        causation_id=event.id,
        event_type=kind,
        data=data,
        metadata=envelope.Metadata(site=site, boot=event.boot, run=event.run),
    )
    return Message(subject, envelope.headers(body), encode(body))
