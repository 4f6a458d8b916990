"""The walk of one machine: from its DISCOVER to the kernel it would start, and what is wrong on the way.

Owns the order of things and their waiting. What is sent is `personas`'s, what is accepted `decide`'s, what
breaks a rule `rules`'s; the wire and the downloads are given to it (`link.Link`, `fetch.Fetcher`, or a
test's).

Nothing is changed on the network: DISCOVER is asked and no lease is taken. The REQUEST to port 4011 is no
lease either (PXE 2.1 2.2.5), but its answer is unicast: it goes out with the interface's own address as
sender and in ciaddr, since nobody answers ARP for an address that was offered and not taken.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from bootstrapd.client import answers, decide, packets, personas, rules, surroundings
from bootstrapd.client.answers import NO_ADDRESS, Answer
from bootstrapd.client.fetch import Fetch
from bootstrapd.client.loading import Files, Loader, Outcome
from bootstrapd.client.personas import Persona
from bootstrapd.client.rules import Finding, Severity, Talk
from bootstrapd.client.steps import AskBootServer, GiveUp, Step, TakeFile
from bootstrapd.model import Mac

DEFAULT_TIMEOUT_S: Final = 12.0  # edk2's second window: a late answer is still seen, and said to be late
MOST_ANSWERS: Final = 64  # to one question: more is a flood


class Wire(Protocol):
    """What `link.Link` is; times are those of `now`."""

    address: str

    def now(self) -> float: ...
    def send(self, frame: bytes) -> None: ...
    def ask(self, server: str, port: int, payload: bytes) -> str: ...
    def receive(self, until: float) -> bytes | None: ...


class Walk(Struct, frozen=True, kw_only=True):
    """How far one machine came. `verdict` is one sentence; `findings` are the worst first."""

    mac: Mac
    persona: Persona
    talks: tuple[Talk, ...]  # the firmware's DHCP conversation, then that of the iPXE it loaded
    fetches: tuple[Fetch, ...]
    said: tuple[str, ...]  # by scripts, on the machine's console
    findings: tuple[Finding, ...]
    boots: bool
    verdict: str


def walk(
    wire: Wire,
    files: Files,
    persona: Persona,
    mac: Mac,
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    causes: Sequence[str] = (),
    xid: Callable[[], int] = lambda: random.getrandbits(32),
) -> Walk:
    """Walks as far as the machine would; `timeout_s` ends every wait.

    `causes` are the caller's own guesses should nobody answer. EdgeError where the interface fails.
    """
    machine = _Machine(wire, Loader(files, mac), mac, timeout_s, tuple(causes), xid)
    outcome = machine.boot(persona)
    order = list(Severity)
    return Walk(
        mac=mac,
        persona=persona,
        talks=tuple(machine.talks),
        fetches=tuple(machine.loader.fetches),
        said=tuple(machine.loader.said),
        findings=tuple(sorted(machine.findings, key=lambda finding: order.index(finding.severity))),
        boots=outcome.boots,
        verdict=outcome.verdict,
    )


class _Machine:
    """One machine while it walks: what it heard and what it fetched so far."""

    def __init__(
        self,
        wire: Wire,
        loader: Loader,
        mac: Mac,
        timeout_s: float,
        causes: tuple[str, ...],
        xid: Callable[[], int],
    ) -> None:
        self.wire = wire
        self.loader = loader
        self.mac = mac
        self.timeout_s = timeout_s
        self.causes = causes
        self.xid = xid
        self.talks: list[Talk] = []
        self._found: list[Finding] = []

    @property
    def findings(self) -> list[Finding]:
        """Each once: a server may break a rule in every answer."""
        of_files = (finding for fetch in self.loader.fetches for finding in fetch.findings)
        return list(dict.fromkeys((*self._found, *of_files)))

    def boot(self, persona: Persona) -> Outcome:
        """Asks, loads, and where that was an iPXE asks again as iPXE: as the machine does."""
        step = self._talk(persona)
        if not isinstance(step, TakeFile):
            return _stopped(step)
        if self.wire.address == NO_ADDRESS:
            return _cannot_tell(f"it loads {step.file} from {step.server} next")
        if persona.is_ipxe:
            return self.loader.ipxe(persona, step.server, step.file)
        program = self.loader.program(persona, step)
        if isinstance(program, Outcome):
            return program
        ipxe = personas.after(persona, step.answer.vendor_class)
        return self.loader.autoexec(ipxe, program) or self.boot(ipxe)

    def _talk(self, persona: Persona) -> Step:
        """One DHCP conversation, 4011 included, and what there is to say about it."""
        began = self.wire.now()
        offers = self._discover(persona)
        step = decide.after_offers(persona, offers)
        asked: list[AskBootServer] = []
        replies: list[Answer] = []
        while isinstance(step, AskBootServer) and self.wire.address != NO_ADDRESS:
            asked.append(step)
            heard = self._ask_boot_server(persona, step)
            replies += heard
            step = decide.after_boot_server(persona, step, heard)
        talk = Talk(
            persona=persona,
            mac=self.mac,
            offers=tuple(offers),
            asked=tuple(asked),
            replies=tuple(replies),
            step=step,
        )
        self.talks.append(talk)
        self._found += surroundings.silence(talk, self.wire.now() - began, self.causes)
        self._found += rules.findings(talk) + surroundings.findings(talk)
        return step

    def _discover(self, persona: Persona) -> list[Answer]:
        """All offers until the firmware would have chosen, and everybody had his time to speak."""
        xid = self.xid()
        frame = packets.discover(persona, self.mac, xid)

        def is_decided(heard: list[Answer], passed_s: float) -> bool:
            return decide.after_offers(persona, heard).at_s <= passed_s

        # Who else answers is heard in the first conversation; a second one is as short as the machine makes it.
        return self._exchange(
            xid,
            persona.sends_at_s,
            lambda: self.wire.send(frame),
            is_decided,
            listen_s=0.0 if self.talks else persona.window_s,
            ends_s=self.timeout_s,
        )

    def _ask_boot_server(self, persona: Persona, asked: AskBootServer) -> list[Answer]:
        xid = self.xid()
        extra = decide.boot_server_extra(persona, asked)
        payload = packets.boot_server_request(persona, self.mac, xid, self.wire.address, extra=extra)

        def is_decided(heard: list[Answer], _: float) -> bool:
            return isinstance(decide.after_boot_server(persona, asked, heard), TakeFile)

        def send() -> None:
            if trouble := self.wire.ask(asked.server, persona.boot_server_port, payload):
                sentence = f"{asked.server} cannot be asked on port 4011 from here: {trouble}"
                self._found.append(Finding("P8", Severity.WRONG, asked.offer.server, sentence))

        return self._exchange(
            xid,
            persona.boot_server_sends_at_s,
            send,
            is_decided,
            listen_s=0.0,
            ends_s=min(persona.boot_server_gives_up_s, self.timeout_s),
        )

    def _exchange(
        self,
        xid: int,
        sends_at_s: Sequence[float],
        send: Callable[[], None],
        is_decided: Callable[[list[Answer], float], bool],
        *,
        listen_s: float,
        ends_s: float,
    ) -> list[Answer]:
        """Sends at its times until decided, hears for `listen_s` at least; leaves out what answers others."""
        began = now = self.wire.now()
        to_send = [began + at_s for at_s in sends_at_s if at_s < ends_s]
        heard: list[Answer] = []
        while now < began + ends_s:
            if heard and is_decided(heard, now - began):
                to_send.clear()
                if now - began >= listen_s:
                    break
            if to_send and to_send[0] <= now:
                to_send.pop(0)
                send()
            frame = self.wire.receive(min([*to_send[:1], began + ends_s, now + _LOOK_EVERY_S]))
            now = self.wire.now()
            answer = answers.read(frame, now - began) if frame else None
            if answer is not None and answer.xid == xid and len(heard) < MOST_ANSWERS:
                heard.append(answer)
        return heard


_LOOK_EVERY_S: Final = 0.25  # the end of a window passes without a packet


def _stopped(step: AskBootServer | GiveUp) -> Outcome:
    if isinstance(step, AskBootServer):
        return _cannot_tell(f"it asks {step.server} on port 4011 next")
    return Outcome(boots=False, verdict=f"it does not boot: {step.why} (its screen says: {step.error})")


def _cannot_tell(what: str) -> Outcome:
    """A lease would give an address, and would change the network."""
    verdict = f"cannot tell: {what}, which needs an IPv4 address on this interface (ip address add)"
    return Outcome(boots=False, verdict=verdict)
