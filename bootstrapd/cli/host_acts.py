"""`bootstrapd hosts arm | disarm | abort | retry`: a person's word on the install of a host."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from bootstrapd.cli.site import Site, json_option, with_server, with_site
from bootstrapd.errors import ConfigError, EdgeError, RefusedError

if TYPE_CHECKING:
    from bootstrapd.cli.api_client import ApiClient
    from bootstrapd.model import Host, Profile
    from bootstrapd.model.view import HostView

BY_ENROLLING: Final = "hosts add"
NO_ARM: Final = "Do not consent to its install: `hosts arm` does, later."


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can be asked.")
@json_option
@with_server
@with_site
def arm(site: Site, name: str, *, yes: bool, as_json: bool) -> None:
    """Consent to one install that erases the host's disks; shows which, and asks.

    A machine that is ready is installed anew when it next boots.

    \b
    bootstrapd hosts arm node-1
    """
    from bootstrapd.cli import out

    host = _known(site.api, name)
    if host.system == "darwin":
        raise RefusedError(host.why)
    if not as_json:
        _show_what_is_lost(host)
    if not yes:
        _ask(name, as_json=as_json)
    host = _act(site.api, name, "arm", "hosts arm", host.fingerprint)
    if as_json:
        out.as_json(host)
        return
    out.say(f"{name} is armed: its next install erases its disks; undo with: bootstrapd hosts disarm {name}")
    out.say(f"next: {_then(host)}")


@click.command()
@click.argument("name")
@json_option
@with_server
@with_site
def disarm(site: Site, name: str, *, as_json: bool) -> None:
    """Take back the consent to erase the host's disks. Refused while an install runs.

    \b
    bootstrapd hosts disarm node-1
    """
    from bootstrapd.cli import out

    if site.running is None and _forget_waiting(site, name):
        out.as_json({"host": name, "arm": None}) if as_json else out.say(f"{name} is not armed any more")
        return
    host = _act(site.api, name, "disarm", "")
    if as_json:
        out.as_json(host)
        return
    out.say(f"{name} is not armed any more: nothing erases its disks until `bootstrapd hosts arm {name}`")


@click.command()
@click.argument("name")
@json_option
@with_server
@with_site
def abort(site: Site, name: str, *, as_json: bool) -> None:
    """Stop the install that runs, and say what the disks hold now.

    \b
    bootstrapd hosts abort node-1
    """
    from bootstrapd.cli import host_words, out

    host = _act(site.api, name, "abort", "hosts abort")
    if as_json:
        out.as_json(host)
        return
    out.say(f"the install of {name} is stopped")
    for line in host_words.why(host):
        out.say(line)


@click.command()
@click.argument("name")
@json_option
@with_server
@with_site
def retry(site: Site, name: str, *, as_json: bool) -> None:
    """Try a failed install again now, within what is left of its arm.

    \b
    bootstrapd hosts retry node-1
    """
    from bootstrapd.cli import host_words, out

    host = _act(site.api, name, "retry", "hosts retry")
    if as_json:
        out.as_json(host)
        return
    out.say(f"{name} is tried again")
    out.say(f"now: {host.why or host_words.standing(host)}")


def consent(site: Site, daemon: ApiClient | None, host: Host, *, no_arm: bool) -> str:
    """Arms a host that was just declared, unless that is not wanted; the sentence that says which."""
    from bootstrapd.cli import folder

    profile = folder.profile(site, host.profile)
    if no_arm and not profile.is_darwin:
        return f"it is not armed: nothing erases its disks until `bootstrapd hosts arm {host.name}`"
    if why := _not_by_enrolling(profile, host):
        return why
    if why := _arm_one(site, daemon, host.name):
        return f"it is not armed ({why}): `bootstrapd hosts arm {host.name}` consents to its install"
    return (
        f"it is armed: the disks of its machine WILL BE ERASED at its next netboot, which installs it; "
        f"undo with: bootstrapd hosts disarm {host.name}"
    )


def consent_all(site: Site, daemon: ApiClient | None, hosts: Sequence[Host], *, is_armed: bool) -> list[str]:
    """Arms a range that was just declared, where that is wanted; the sentences that say what became of it."""
    from bootstrapd.cli import folder

    first = hosts[0]
    profile = folder.profile(site, first.profile)
    if not is_armed and profile.layout:
        return [f"none is armed: nothing erases their disks until `bootstrapd hosts arm {first.name}`, …"]
    if why := _not_by_enrolling(profile, first):
        return [why] + ["so are the others of the range"] * (profile.is_darwin and len(hosts) > 1)
    refused = [(host.name, why) for host in hosts if (why := _arm_one(site, daemon, host.name))]
    told = [f"{name} is not armed ({why}): `bootstrapd hosts arm {name}` consents" for name, why in refused]
    if armed := len(hosts) - len(refused):
        told.insert(
            0,
            f"{armed} of them are armed: the disks of their machines WILL BE ERASED at their next netboot, "
            f"which installs them; undo with: bootstrapd hosts disarm {first.name}, …",
        )
    return told


def take_back(site: Site, name: str) -> None:
    """A host that is removed takes its consent with it; RefusedError while it is being installed."""
    from bootstrapd.cli.api_client import segment
    from bootstrapd.model.view import HostView

    daemon = site.running
    host = daemon.get(f"/v1/hosts/{segment(name)}", HostView) if daemon else None
    if daemon is not None and host is not None and host.arm is not None:
        _act(daemon, name, "disarm", "")
    _forget_waiting(site, name)


def _not_by_enrolling(profile: Profile, host: Host) -> str:
    """Why enrolling this host is no consent to erase its disks; "" where it is (DESIGN.md, Safety 2)."""
    from bootstrapd.policy import darwin

    if profile.is_darwin:
        return darwin.reason(host)
    if not profile.layout:
        return f"profile {profile.name} has no layout: nothing is installed, and nothing erased"
    if profile.install == "approve":
        return (
            f"profile {profile.name} wants each install approved: once {host.name} has registered, "
            f"`bootstrapd hosts arm {host.name}` shows what it erases and asks"
        )
    return ""


def _arm_one(site: Site, daemon: ApiClient | None, name: str) -> str:
    """Consent to its install, at the daemon or for the next one; why not, or ""."""
    try:
        if daemon is not None:
            _act(daemon, name, "arm", BY_ENROLLING)
        else:
            _leave_waiting(site, name)
    except (ConfigError, EdgeError, RefusedError) as error:
        return str(error)
    return ""


def _act(api: ApiClient, name: str, word: str, by: str, fingerprint: str = "") -> HostView:
    from bootstrapd.cli import folder
    from bootstrapd.cli.api_client import segment
    from bootstrapd.model.view import Consent, HostView

    said = Consent(by=by, fingerprint=fingerprint) if by else None
    host = api.post(f"/v1/hosts/{segment(name)}/{word}", HostView, said)
    if host is None:
        raise folder.unknown(name)
    return host


def _known(api: ApiClient, name: str) -> HostView:
    from bootstrapd.cli import folder
    from bootstrapd.cli.api_client import segment
    from bootstrapd.model.view import HostView

    host = api.get(f"/v1/hosts/{segment(name)}", HostView)
    if host is None:
        raise folder.unknown(name)
    return host


def _show_what_is_lost(host: HostView) -> None:
    from bootstrapd.cli import host_words, out

    if host.disks:
        out.say(f"an install of {host.name} erases:")
        out.facts(host_words.erased(host))
    else:
        out.say(
            f"which disks of {host.name} an install erases is known once its machine has registered: those "
            f"that [disk.*] in {host.source or 'its host.toml'} selects, else its only disk"
        )
    if host.fingerprint:
        out.say(f"its SSH host key, as its console shows it: {host.fingerprint}")


def _ask(name: str, *, as_json: bool) -> None:
    if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise RefusedError(f"{name} is not armed: nobody can be asked here, so add --yes")
    if not click.confirm(f"Erase its disks and install {name}?"):
        raise RefusedError(f"{name} is not armed: nothing was changed")


def _then(host: HostView) -> str:
    if host.state in ("live", "failed", "claimed"):
        return f"its install begins; follow it with: bootstrapd events --follow --host {host.name}"
    return "power it on, or reboot it, with the network first in its boot order"


def _leave_waiting(site: Site, name: str) -> None:
    import secrets
    import time

    from bootstrapd.edge import arms
    from bootstrapd.model import WaitingArm

    consent = WaitingArm(arm=secrets.token_hex(16), at=time.time(), by=BY_ENROLLING)
    arms.leave(site.config.paths.arms_folder, name, consent)


def _forget_waiting(site: Site, name: str) -> bool:
    """Whether an arm of this host waited for a daemon; it is gone then."""
    from bootstrapd.config import check_host_name
    from bootstrapd.edge import arms

    check_host_name(name)
    return arms.remove(site.config.paths.arms_folder, name)
