"""What TFTP and HTTP hand out: boot programs and scripts behind the one decision, images, overlays.

A path says what is wanted and for which machine; `Appliance.decide` says whether it may be had. Image files
hold nothing secret and are for anybody; what is a machine's own is in its overlay. Overlays and tokens are made
here, one for each script that boots an image (DESIGN.md, Safety 4).
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from typing import Final, assert_never

from msgspec.structs import replace

from bootstrapd.daemon.appliance import NBP_WITHOUT_SCRIPT, WITHOUT_SCRIPT, Appliance, of
from bootstrapd.daemon.writer import PROBE, Writer
from bootstrapd.errors import ConfigError
from bootstrapd.model import (
    ARCHES,
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
from bootstrapd.policy.machine import TOKEN_LIFE_S, Machine, Token, last_line, line
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
TOO_MANY_BOOTS: Final = Script(
    template="wait",
    rule="Safety 4",
    reason="too many of its boots are under way at once; a token is free again within 15 minutes",
)
OF_A_MACHINE: Final = (routes.MachineScript, routes.MachineStub, routes.BootProgram)
FETCHES_BEFORE_A_WORD: Final = 2
SAME_ATTEMPT_S: Final = 2.0  # no machine powers on, fails and asks again so fast: a repeat on the wire

# nixos-images' stage 1 copies authorized_keys, ssh_host_* and *.json and stops when one kind is missing (N3).
# No private key is ever served.
FOR_THE_NIXOS_HOOK: Final = (
    ("ssh/ssh_host_note", "The live system makes its own host key; none is served over the network.\n", 0o644),
    ("addrs.json", "[]\n", 0o644),
)


class Files:
    """`fetch` for the two file doors, and `fetched` for when a file was really taken."""

    def __init__(
        self,
        appliance: Appliance,
        writer: Writer,
        neighbour: Callable[[str], Mac | None],
        authorized_keys: Iterable[str] = (),
        agent: str = "",
    ) -> None:
        self._appliance = appliance
        self._writer = writer
        self._neighbour = neighbour
        self._agent = agent
        self._authorized_keys = "".join(f"{key}\n" for key in authorized_keys)

    def fetch(self, ask: FileAsk) -> Reply:
        """The reply to a TFTP read request, a GET or a HEAD. Whatever the path is, this does not raise."""
        route = self._resolve(ask)
        if isinstance(route, OF_A_MACHINE) and not self._is_itself(ask, route.mac):
            self._appliance.counters[f"{ask.door}.looked_at_by_another"] += 1
            ask = replace(ask, is_probe=True)
        match route:
            case None:
                return Nothing(f"there is no {ask.path!r} here")
            case routes.Stub():
                return _text(self._writer.stub(ask.server))
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
            case routes.BootProgram(mac, file) if self._is_itself(ask, mac):
                self._program_sent(ask, mac, file)
            case routes.ImageFile(image, file):
                self._image_sent(ask, image, file)
            case _:
                return

    def _resolve(self, ask: FileAsk) -> routes.Resolved | None:
        return routes.resolve(ask.path, lambda: self._neighbour(ask.client))

    def _is_itself(self, ask: FileAsk, mac: Mac) -> bool:
        """Whether a machine asks for itself, as far as the neighbour table knows; a routed client is in none.

        Anybody else on the link is shown the same, as by HEAD: without a token, and with nothing changed by it.
        Else anybody could register as the machine, or use up its tries.
        """
        seen = self._neighbour(ask.client)
        if seen is None or seen == mac:
            return True
        machine = self._appliance.registry.find(mac)
        owner = self._appliance.setup.index.by_mac.get(mac)
        return seen in (machine.macs if machine else ()) or seen in (owner.macs if owner else ())

    def _judge(
        self, ask: FileAsk, mac: Mac, stage: Stage, arch: Arch | None = None
    ) -> tuple[Machine | None, Host | None, AnyDecision]:
        """The machine, whose it is, and the decision. A probe finds no machine: it changes nothing."""
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
        )
        now = self._appliance.chance.now()
        if ask.is_probe:
            return None, *self._appliance.peek(question, now)
        machine, decision = self._appliance.decide(question, now)
        return machine, self._appliance.setup.book.hosts.get(machine.host), decision

    def _machine_stub(self, ask: FileAsk, mac: Mac) -> Reply:
        _, _, decision = self._judge(ask, mac, Stage.IPXE)
        if isinstance(decision, Silence):
            return Nothing(decision.reason)
        return _text(self._writer.stub(ask.server))

    def _program(self, ask: FileAsk, mac: Mac, file: str) -> Reply:
        _, host, decision = self._judge(ask, mac, Stage.FIRMWARE, programs.made_for(file))
        if isinstance(decision, Silence):
            return Nothing(decision.reason)
        program = self._appliance.setup.programs.get(file)
        if program is None:
            return Nothing(f"there is no network boot program {file!r} on this appliance")
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
        machine, host, decision = self._judge(ask, mac, Stage.IPXE, ARCHES.get(BUILDS.get(build, -1)))
        if isinstance(decision, Silence | Chain):
            return Nothing(decision.reason)
        token: Token | None = PROBE
        if machine is not None:
            if isinstance(decision, Script) and decision.image:
                token = self._token(machine, ask.client)
            if token is None:
                decision, token = TOO_MANY_BOOTS, PROBE
            self._tell_once(machine, _sent(machine, decision))
        return _text(self._writer.render(decision, ask.server, mac, host, token or PROBE))

    def _tell_once(self, machine: Machine, event: ScriptSent | ImageSent | LocalBoot) -> None:
        """A machine that asks the same again and again is one line of its story."""
        if last_line(machine) != line(event):
            self._appliance.tell(event)

    def _token(self, machine: Machine, address: str) -> Token | None:
        now = self._appliance.chance.now()
        self._appliance.registry.drop_tokens(machine, now)
        if not admission.has_room(machine, address, now):
            return admission.live_token(machine, address, now)
        self._appliance.tell(
            TokenIssued(
                **of(machine),
                secret=self._appliance.chance.new_secret(),
                overlay=self._appliance.chance.new_secret(),
                address=address,
                expires=now + TOKEN_LIFE_S,
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
        if key == PROBE.overlay:
            return TextReply(body=cpio.build(()), name="overlay.cpio", content_type="application/octet-stream")
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
                ("bootstrapd/agent", self._agent, 0o755),
                ("ssh/authorized_keys", self._authorized_keys, 0o600),
                *FOR_THE_NIXOS_HOOK,
            )
        )
        return TextReply(body=body, name="overlay.cpio", content_type="application/octet-stream")


def _sent(machine: Machine, decision: Script | LocalDisk) -> ScriptSent | LocalBoot:
    match decision:
        case LocalDisk():
            return LocalBoot(**of(machine))
        case Script(template=template, image=image):
            return ScriptSent(**of(machine), template=template, image=image)
        case _:
            assert_never(decision)


def _text(body: bytes) -> TextReply:
    return TextReply(body=body, name="boot.ipxe")
