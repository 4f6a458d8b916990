"""What the fleet may ask over NATS, and the acknowledgement (DESIGN.md, "What the fleet sees").

A command is a JSON object in a bounded message; unknown fields, wrong types and odd names are refused with a
reason. The reply says only whether the command was taken; what comes of it are events. A reply carries `kind`,
because a stream over the same subject would answer a request with an acknowledgement of its own.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from bootstrapd.errors import ConfigError, WireError
from bootstrapd.model import Mac, decoder, encode

MAX_BYTES: Final = 65_536
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}\Z")]
OptionalId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{0,128}\Z")]
HostName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
OptionalHost = Annotated[str, Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?\Z")]
DiskId = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{1,256}\Z")]


class Command(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every command has; `correlation_id` "" = the command's own id."""

    command_id: Id
    correlation_id: OptionalId = ""


class Deploy(Command, frozen=True, kw_only=True):
    """Enrol the host (a new one needs MAC and profile), or arm it again (`confirm_disks`), and install it."""

    host: HostName
    mac: Annotated[tuple[Mac, ...], Meta(max_length=64)] = ()
    profile: OptionalHost = ""
    confirm_disks: Annotated[tuple[DiskId, ...], Meta(max_length=64)] = ()  # serials of what may be erased


class QueryMachines(Command, frozen=True, kw_only=True):
    """The machines as the operator's API shows them, by id after `after`."""

    host: OptionalHost = ""
    after: OptionalId = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class QueryHosts(Command, frozen=True, kw_only=True):
    """The hosts as the operator's API shows them, by name after `after`."""

    host: OptionalHost = ""
    after: OptionalHost = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class Ack(Struct, frozen=True, kw_only=True):
    """The reply. `result` is a query's answer: a list of views."""

    command_id: str
    correlation_id: str
    status: str  # "Accepted", "Rejected"
    reason: str = ""
    result: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"null"))
    kind: str = "bootstrapd.ack"


AnyCommand = Deploy | QueryMachines | QueryHosts
# Below the prefix. None: a name of the seed's that nothing stands behind yet.
SUBJECTS: Final[dict[str, type[Deploy | QueryMachines | QueryHosts] | None]] = {
    "deploy": Deploy,
    "query.machines": QueryMachines,
    "query.hosts": QueryHosts,
    "update": None,
    "scale": None,
    "gpu-agent": None,
}
_DECODERS: Final = {kind: decoder(kind) for kind in SUBJECTS.values() if kind}


class _Ids(Struct):
    """What can be said of a command that is refused."""

    command_id: OptionalId = ""
    correlation_id: OptionalId = ""
    host: OptionalHost = ""


_IDS: Final = decoder(_Ids)


def parse(name: str, body: bytes) -> AnyCommand:
    """The command that came at `<prefix>.<name>`; WireError is the reason for its rejection."""
    kind = SUBJECTS.get(name)
    if kind is None:
        raise WireError(f"{name} is not built yet")
    if len(body) > MAX_BYTES:
        raise WireError(f"the command has {len(body)} bytes; at most {MAX_BYTES} are read")
    try:
        return _DECODERS[kind].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ConfigError) as error:
        raise WireError(f"the command cannot be read: {error}") from None


def host_of(body: bytes) -> str:
    """The host that a command names, however wrong the rest of it is; "" = none."""
    return _ids(body).host


def accepted(command: Command, result: object = None, reason: str = "") -> Ack:
    """What came of it are events; `result` is the answer to a query."""
    return Ack(
        command_id=command.command_id,
        correlation_id=command.correlation_id or command.command_id,
        status="Accepted",
        reason=reason,
        result=msgspec.Raw(encode(result)),
    )


def rejected(body: bytes, reason: str) -> Ack:
    """A refusal that carries the command's ids as far as they can be read."""
    ids = _ids(body)
    return Ack(
        command_id=ids.command_id,
        correlation_id=ids.correlation_id or ids.command_id,
        status="Rejected",
        reason=reason,
    )


def refused(command: Command, reason: str) -> Ack:
    """A refusal of a command that was read."""
    return Ack(
        command_id=command.command_id,
        correlation_id=command.correlation_id or command.command_id,
        status="Rejected",
        reason=reason,
    )


def _ids(body: bytes) -> _Ids:
    try:
        return _IDS.decode(body[:MAX_BYTES])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Ids()
