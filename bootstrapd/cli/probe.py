"""`bootstrapd probe`: act as one machine on the wire, and say what a machine there would get, and from whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bootstrapd.cli.site import json_option

if TYPE_CHECKING:
    from bootstrapd.client.answers import Answer
    from bootstrapd.client.fetch import Fetch
    from bootstrapd.client.firmware import Walk
    from bootstrapd.client.rules import Talk

DOES_NOT_BOOT = 1


@click.command()
@click.option("-i", "--interface", required=True, metavar="NAME", help="The network interface to ask on.")
@click.option(
    "--mac", metavar="MAC", help="The machine to be. Default: a made-up one, derived from NAME's own."
)
@click.option(
    "--arch",
    default="uefi",
    show_default=True,
    metavar="ARCH",
    help="bios, uefi, arm64, or an architecture of DHCP option 93 by number or name.",
)
@click.option("--http", is_flag=True, help="Be UEFI firmware that boots by HTTP.")
@click.option("--ipxe", is_flag=True, help="Be an iPXE: in the card's ROM for bios, else one that was loaded.")
@click.option("--timeout", default=12.0, show_default=True, metavar="S", help="Seconds to wait for any answer.")
@json_option
def probe(
    *, interface: str, mac: str | None, arch: str, http: bool, ipxe: bool, timeout: float, as_json: bool
) -> None:
    """Ask the network as a machine's firmware does, and show what it would boot.

    Every answer is decoded, and each rule of the wire that it breaks is named, whoever sent it. Takes no lease;
    for the appliance it looks like that machine booting. Needs root (raw sockets). Ends with 0 when the machine
    would boot, 1 when not.

    \b
    bootstrapd probe --interface enp3s0 --mac 52:54:00:aa:bb:01
    bootstrapd probe --interface enp3s0 --arch bios --ipxe --json
    """
    from bootstrapd.cli import out

    found = _walk(interface, mac, arch, timeout, http=http, ipxe=ipxe)
    if as_json:
        out.as_json(_as_plain(found))
    else:
        _print(found)
    if not found.boots:
        raise click.exceptions.Exit(DOES_NOT_BOOT)


def _walk(interface: str, mac: str | None, arch: str, timeout: float, *, http: bool, ipxe: bool) -> Walk:
    from bootstrapd.cli import out
    from bootstrapd.client import firmware, link, personas, surroundings
    from bootstrapd.client.fetch import Fetcher
    from bootstrapd.errors import ConfigError
    from bootstrapd.model import Mac

    if not 0.5 <= timeout <= 300:
        raise ConfigError(f"--timeout {timeout:g}: expected seconds from 0.5 to 300")
    persona = personas.pick(arch, http=http, ipxe=ipxe)
    wanted = Mac.parse(mac) if mac else None
    with link.Link(interface) as wire:
        machine = wanted or link.pretended_mac(interface)
        if wanted is None:
            out.note(f"no --mac given: acting as {machine}, a made-up address that no host has")
        if not persona.is_recorded:
            out.note(f"{persona.label}: put together from the PXE text, no recording of just such a firmware")
        out.note(f"asking on {interface} as {persona.label}, {machine}; up to {timeout:g} s a question")
        return firmware.walk(
            wire,
            Fetcher(wire.address, timeout_s=min(timeout, 5.0)),
            persona,
            machine,
            timeout_s=timeout,
            causes=(surroundings.HEARS_ONLY_OTHERS,) if link.serves_here() else (),
        )


def _print(walk: Walk) -> None:
    from bootstrapd.cli import out

    for talk in walk.talks:
        out.say(f"as {talk.persona.label}:")
        for answer in talk.offers:
            _print_answer(answer, "the first DISCOVER")
        for answer in talk.replies:
            _print_answer(answer, "the question to port 4011")
        out.say(f"  {_step(talk)}")
    for fetch in walk.fetches:
        out.say(f"  {_fetched(fetch)}")
    for line in walk.said:
        out.say(f"  | {line}")
    if walk.findings:
        out.say("")
        rows = [(found.severity, found.rule, found.server, found.sentence) for found in walk.findings]
        out.table(("", "rule", "server", "what"), rows, empty="")
    out.say("")
    out.say(walk.verdict)


def _print_answer(answer: Answer, question: str) -> None:
    from bootstrapd.cli import out
    from bootstrapd.client.answers import MESSAGE_TYPES

    kind = MESSAGE_TYPES.get(answer.message_type, "answer")
    out.say(f"  {kind} from {answer.server}, {answer.at_s:.3f} s after {question}")
    out.facts([(f"      {name}", value) for name, value in answer.fields])


def _step(talk: Talk) -> str:
    from bootstrapd.client.steps import AskBootServer, TakeFile

    match talk.step:
        case TakeFile(server, file, at_s=at_s, why=why):
            return f"takes {file} from {server} {at_s:.1f} s after its first question: {why}"
        case AskBootServer(server, why=why):
            return f"would ask {server} on port 4011: {why}"
        case step:
            return f"takes nothing: {step.why}; its screen says: {step.error}"


def _fetched(fetch: Fetch) -> str:
    from bootstrapd.cli import out

    if not fetch.is_ok:
        return f"{fetch.how} {fetch.url}: {fetch.error}"
    size = out.size(fetch.size_bytes) if fetch.size_bytes >= 0 else "no size"
    return f"{fetch.how} {fetch.url}: {size}, {fetch.took_s:.2f} s"


def _as_plain(walk: Walk) -> dict[str, Any]:
    """The walk as JSON's own shapes; bytes stay out, what they say is in `fields`."""
    return {
        "mac": walk.mac,
        "firmware": walk.persona.name,
        "boots": walk.boots,
        "verdict": walk.verdict,
        "findings": [
            {"rule": found.rule, "severity": found.severity, "server": found.server, "sentence": found.sentence}
            for found in walk.findings
        ],
        "talks": [
            {
                "firmware": talk.persona.name,
                "step": _step(talk),
                "answers": [_plain_answer(answer) for answer in (*talk.offers, *talk.replies)],
            }
            for talk in walk.talks
        ],
        "fetches": [
            {
                "url": fetch.url,
                "how": fetch.how,
                "size_bytes": fetch.size_bytes,
                "took_s": round(fetch.took_s, 4),
                "error": fetch.error,
            }
            for fetch in walk.fetches
        ],
        "said": list(walk.said),
    }


def _plain_answer(answer: Answer) -> dict[str, Any]:
    return {
        "at_s": round(answer.at_s, 4),
        "server": answer.server,
        "source": answer.source,
        "source_mac": answer.source_mac,
        "file": answer.boot_file,
        "fields": [{"name": name, "value": value} for name, value in answer.fields],
    }
