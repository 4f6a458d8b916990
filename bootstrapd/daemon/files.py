"""What TFTP and HTTP hand out: boot programs, scripts, images, overlays, each behind the same decision.

A path says what is wanted and for which machine; `Appliance.decide` says whether it may be had. Overlays and
tokens are made here, one for each script that boots an image (DESIGN.md, Safety 4).
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from typing import Final, assert_never

from bootstrapd.daemon.appliance import NBP_WITHOUT_SCRIPT, WITHOUT_SCRIPT, Appliance, of
from bootstrapd.daemon.writer import PROBE, Writer
from bootstrapd.errors import ConfigError
from bootstrapd.model import (
    ARCHES,
    AnyEvent,
    Arch,
    Ask,
    Chain,
    ChainSent,
    Feature,
    FileAsk,
    FileReply,
    Host,
    ImageSent,
    LocalBoot,
    LocalDisk,
    Mac,
    Nothing,
    Reply,
    Script,
    ScriptSent,
    Silence,
    Stage,
    TextReply,
    TokenIssued,
    clean_serial,
    clean_uuid,
)
from bootstrapd.policy import admission, programs, routes
from bootstrapd.policy.answer import base_url
from bootstrapd.policy.boot import AnyDecision
from bootstrapd.policy.machine import Machine, Token
from bootstrapd.wire import cpio

OUR_IPXE: Final = Feature.HTTP | Feature.BZIMAGE | Feature.EFI  # it runs a script, so it is good enough (I3)

# What an iPXE says of itself in its script's URL (${platform}, ${buildarch}) -> option 93's number.
BUILDS: Final = {
    ("pcbios", "i386"): 0,
    ("pcbios", "x86_64"): 0,
    ("efi", "i386"): 6,
    ("efi", "x86_64"): 7,
    ("efi", "arm64"): 11,
}
FETCHES_BEFORE_A_WORD: Final = 2
SAME_ATTEMPT_S: Final = 2.0  # no machine powers on, fails and asks again so fast: a repeat on the wire

# nixos-images' stage 1 copies authorized_keys, ssh_host_* and *.json and stops when one kind is missing (N3).
# No private key is ever served.
FOR_THE_NIXOS_HOOK: Final = (
    ("ssh/ssh_host_note", "The live system makes its own host key; none is served over the network.\n", 0o644),
    ("addrs.json", "[]\n", 0o644),
)
STAGE_OF: Final[dict[type[AnyEvent], str]] = {LocalBoot: "local-disk", ScriptSent: "script", ImageSent: "image"}
SECURE_BOOT: Final = {"01": True, "00": False}


class Files:
    """`fetch` for the two file doors, and `fetched` for when a file was really taken."""

    def __init__(
        self,
        appliance: Appliance,
        writer: Writer,
        neighbour: Callable[[str], Mac | None],
        authorized_keys: Iterable[str] = (),
    ) -> None:
        self._appliance = appliance
        self._writer = writer
        self._neighbour = neighbour
        self._authorized_keys = "".join(f"{key}\n" for key in authorized_keys)

    def fetch(self, ask: FileAsk) -> Reply:
        """The reply to a TFTP read request, a GET or a HEAD. Whatever the path is, this does not raise."""
        route = self._resolve(ask)
        match route:
            case None:
                return Nothing(f"there is no {ask.path!r} here")
            case routes.Stub():
                return _script(self._writer.stub(ask.server))
            case routes.MachineStub(mac):
                return self._machine_stub(ask, mac)
            case routes.BootProgram(mac, file):
                return self._program(ask, mac, file)
            case routes.MachineScript(mac):
                return self._script(ask, mac)
            case routes.ImageFile(image, file):
                return self._image(image, file)
            case routes.Overlay(key):
                return self._overlay(ask, key)
            case _:
                assert_never(route)

    def fetched(self, ask: FileAsk) -> None:
        """The whole file went out: the boot is one step further."""
        route = self._resolve(ask)
        match route:
            case routes.BootProgram(mac, file):
                self._program_sent(ask, mac, file)
            case routes.ImageFile(image, file):
                self._image_sent(ask, image, file)
            case _:
                return

    def _resolve(self, ask: FileAsk) -> routes.Resolved | None:
        return routes.resolve(ask.path, lambda: self._neighbour(ask.client))

    def _decide(
        self, ask: FileAsk, mac: Mac, stage: Stage, arch: Arch | None = None
    ) -> tuple[Machine, AnyDecision]:
        question = Ask(
            door=ask.door,
            mac=mac,
            stage=stage,
            server=ask.server,
            arch=arch,
            client=ask.client,
            uuid=clean_uuid(ask.query.get("uuid", "")),
            serial=clean_serial(ask.query.get("serial", "")[:64]),
            features=OUR_IPXE if stage is Stage.IPXE else Feature.NONE,
            secure_boot=SECURE_BOOT.get(ask.query.get("secureboot", "")),
        )
        return self._appliance.decide(question, self._appliance.chance.now())

    def _machine_stub(self, ask: FileAsk, mac: Mac) -> Reply:
        _, decision = self._decide(ask, mac, Stage.IPXE)
        return (
            Nothing(decision.reason)
            if isinstance(decision, Silence)
            else _script(self._writer.stub(ask.server))
        )

    def _program(self, ask: FileAsk, mac: Mac, file: str) -> Reply:
        machine, decision = self._decide(ask, mac, Stage.FIRMWARE, programs.made_for(file))
        if isinstance(decision, Silence):
            return Nothing(decision.reason)
        program = self._appliance.setup.programs.get(file)
        if program is None:
            return Nothing(f"there is no network boot program {file!r} on this appliance")
        host = self._appliance.setup.book.hosts.get(machine.host)
        return FileReply(
            path=program.path,
            name=program.name,
            size=program.size,
            max_blksize=host.tftp_blksize if host else 0,
            max_windowsize=host.tftp_windowsize if host else 0,
        )

    def _program_sent(self, ask: FileAsk, mac: Mac, file: str) -> None:
        machine = self._appliance.registry.find(mac)
        if machine is None or not self._appliance.setup.may_begin(file, machine.host):
            return
        if machine.fetches and self._appliance.chance.now() - machine.fetches[-1] < SAME_ATTEMPT_S:
            return
        self._appliance.tell(ChainSent(**of(machine), program=file, door=ask.door))
        if len(machine.fetches) == FETCHES_BEFORE_A_WORD:
            self._appliance.notice(machine, NBP_WITHOUT_SCRIPT, WITHOUT_SCRIPT)

    def _script(self, ask: FileAsk, mac: Mac) -> Reply:
        build = (ask.query.get("platform", ""), ask.query.get("arch", ""))
        machine, decision = self._decide(ask, mac, Stage.IPXE, ARCHES.get(BUILDS.get(build, -1)))
        match decision:
            case Silence() | Chain():
                return Nothing(decision.reason)
            case LocalDisk():
                token: Token | None = PROBE
                event: AnyEvent = LocalBoot(**of(machine))
            case Script(template="image", image=image):
                token = PROBE if ask.is_probe else self._token(machine, ask.client)
                event = ScriptSent(**of(machine), template="image", image=image)
            case Script(template=template):
                token = PROBE
                event = ScriptSent(**of(machine), template=template)
            case _:
                assert_never(decision)
        if token is None:
            reason = "four of its boots are under way at once; a token is free again within 15 minutes"
            decision, token = Script(template="wait", rule="Safety 4", reason=reason), PROBE
            event = ScriptSent(**of(machine), template="wait")
        if not ask.is_probe:
            self._tell_once(machine, event)
        return _script(self._writer.render(decision, ask.server, mac, self._host(machine), token))

    def _tell_once(self, machine: Machine, event: AnyEvent) -> None:
        """A machine that asks the same again and again is one line of its story."""
        last = machine.boot.stages[-1].name if machine.boot and machine.boot.stages else ""
        if last != STAGE_OF[type(event)]:
            self._appliance.tell(event)

    def _host(self, machine: Machine) -> Host | None:
        return self._appliance.setup.book.hosts.get(machine.host)

    def _token(self, machine: Machine, address: str) -> Token | None:
        now = self._appliance.chance.now()
        self._appliance.registry.drop_tokens(machine, now)
        if not admission.has_room(machine, now):
            return admission.live_token(machine, address, now)
        self._appliance.tell(
            TokenIssued(
                **of(machine),
                secret=self._appliance.chance.new_secret(),
                overlay=self._appliance.chance.new_secret(),
                address=address,
                expires=now + admission.TOKEN_LIFE_S,
            )
        )
        return machine.tokens[-1]

    def _image(self, name: str, file: str) -> Reply:
        image = self._appliance.setup.images.get(name)
        if image is None or file not in image.sha256:
            return Nothing(f"there is no file {file!r} in an image {name!r} here")
        return FileReply(
            path=image.folder / file, name=file, etag=image.sha256[file], size=image.sizes.get(file, -1)
        )

    def _image_sent(self, ask: FileAsk, name: str, file: str) -> None:
        image = self._appliance.setup.images.get(name)
        try:
            machine = self._appliance.registry.find(Mac.parse(ask.query.get("for", "")))
        except ConfigError:
            return
        if (
            image is not None
            and machine is not None
            and file == (*image.initrds, image.kernel)[-1 - bool(image.initrds)]
        ):
            self._tell_once(machine, ImageSent(**of(machine), image=name))

    def _overlay(self, ask: FileAsk, key: str) -> Reply:
        """This boot's extra initrd; only for the address that got the script, while its token lives."""
        found = self._appliance.registry.overlay(key)
        if found is None or found[1].expires <= self._appliance.chance.now():
            return Nothing("there is no such overlay, or its 15 minutes are over: boot again")
        token = found[1]
        if token.address != ask.client:
            self._appliance.counters["overlay.refused.address"] += 1
            return Nothing("this overlay belongs to another address")
        base = base_url(ask.server, self._appliance.setup.http_port)
        body = cpio.build(
            cpio.CpioFile(path=path, data=text.encode(), mode=stat.S_IFREG | mode)
            for path, text, mode in (
                ("bootstrapd/server", f"{base}\n", 0o644),
                ("bootstrapd/token", f"{token.secret}\n", 0o600),
                ("ssh/authorized_keys", self._authorized_keys, 0o600),
                *FOR_THE_NIXOS_HOOK,
            )
        )
        return TextReply(body=body, name="overlay.cpio", content_type="application/octet-stream")


def _script(body: bytes) -> TextReply:
    return TextReply(body=body, name="boot.ipxe")
