"""Every answer a machine would get, field by field: the same `decide` and `reply` as live traffic.

Nothing changes by explaining: no boot begins, no token is made, nothing is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bootstrapd.daemon.appliance import Appliance
from bootstrapd.daemon.files import OUR_IPXE
from bootstrapd.daemon.writer import PROBE, Writer
from bootstrapd.model import (
    ARCHES,
    Arch,
    Ask,
    DhcpReply,
    Door,
    Feature,
    Host,
    LocalDisk,
    Mac,
    Script,
    Silence,
    Stage,
)
from bootstrapd.model.view import Explained
from bootstrapd.policy import answer
from bootstrapd.policy.boot import AnyDecision
from bootstrapd.wire import dhcp
from bootstrapd.wire.pxe import Options

# An architecture's doors in the order of its boot: firmware first, then the iPXE it was given.
PXE_WALK: Final = (
    (Stage.FIRMWARE, Door.DHCP),
    (Stage.FIRMWARE, Door.PXE),
    (Stage.FIRMWARE, Door.TFTP),
    (Stage.IPXE, Door.DHCP),
    (Stage.IPXE, Door.TFTP),
    (Stage.IPXE, Door.HTTP),
)
HTTP_WALK: Final = ((Stage.FIRMWARE, Door.DHCP), (Stage.FIRMWARE, Door.HTTP), *PXE_WALK[3:4], *PXE_WALK[5:])
USUAL: Final = (0, 7, 16)
MESSAGE_TYPE: Final = {Door.DHCP: b"\x01", Door.PXE: b"\x03"}


def explain(
    appliance: Appliance,
    writer: Writer,
    server: str,
    mac: Mac,
    arch: Arch | None = None,
    stage: Stage | None = None,
    door: Door | None = None,
) -> list[Explained]:
    """One row an ask, in boot order. Without `arch`: the machine's own, else BIOS, UEFI PXE and UEFI HTTP."""
    machine = appliance.registry.find(mac)
    seen = ARCHES.get(machine.arch) if machine else None
    arches = [arch or seen] if arch or seen else [ARCHES[code] for code in USUAL]
    return [
        _explain(appliance, writer, ask)
        for ask in _asks(mac, server, [a for a in arches if a])
        if stage in (None, ask.stage) and door in (None, ask.door)
    ]


def _asks(mac: Mac, server: str, arches: list[Arch]) -> Iterator[Ask]:
    for arch in arches:
        for stage, door in HTTP_WALK if arch.is_http else PXE_WALK:
            features = OUR_IPXE if stage is Stage.IPXE else Feature.NONE
            # An iPXE that was loaded by HTTP boot asks as PXE (FIRMWARE 3).
            told = ARCHES[7] if arch.is_http and stage is Stage.IPXE else arch
            yield Ask(door=door, mac=mac, stage=stage, server=server, arch=told, features=features, xid=1)


def _explain(appliance: Appliance, writer: Writer, ask: Ask) -> Explained:
    host, decision = appliance.peek(ask, appliance.chance.now())
    fields, script = _said(appliance, writer, ask, decision, host)
    code = f"{decision.code}: " if isinstance(decision, Silence) else ""
    return Explained(
        door=ask.door,
        stage=ask.stage,
        arch=str(ask.arch),
        rule=code + decision.rule,
        reason=decision.reason,
        fields=fields,
        script=script,
    )


def _said(
    appliance: Appliance, writer: Writer, ask: Ask, decision: AnyDecision, host: Host | None
) -> tuple[list[tuple[str, str]], str]:
    if ask.door in MESSAGE_TYPE:
        reply = answer.reply(decision, ask, appliance.setup)
        return (_packet(ask, reply) if isinstance(reply, DhcpReply) else [("answer", "none")]), ""
    if isinstance(decision, Silence):
        return [("answer", "ERROR 1 (file not found)" if ask.door is Door.TFTP else "404")], ""
    if ask.stage is Stage.FIRMWARE:
        program = getattr(decision, "program", "")
        return [("file", f"nbp/{ask.mac.hexhyp}/{program}")], ""
    if ask.door is Door.TFTP:
        return [("file", f"nbp/{ask.mac.hexhyp}/autoexec.ipxe")], writer.stub(ask.server).decode()
    if not isinstance(decision, Script | LocalDisk):
        return [("answer", "404")], ""
    script = writer.render(decision, ask.server, ask.mac, host, PROBE).decode()
    return [("file", f"boot/{ask.mac.hexhyp}.ipxe")], script


def _packet(ask: Ask, reply: DhcpReply) -> list[tuple[str, str]]:
    """The answer as it would stand on the wire, to a request as this machine would send it."""
    assert ask.arch is not None
    client = b"HTTPClient" if ask.arch.is_http else b"PXEClient"
    request = dhcp.Packet(
        op=1,
        xid=ask.xid,
        flags=0x8000,
        chaddr=ask.mac.octets.ljust(16, b"\0"),
        options=Options(
            {
                53: MESSAGE_TYPE[ask.door],
                60: client + f":Arch:{ask.arch.code:05}:UNDI:003000".encode(),
                93: ask.arch.code.to_bytes(2, "big"),
            }
        ),
    )
    return dhcp.describe(dhcp.parse(dhcp.build_reply(request, reply, ask.server)))
