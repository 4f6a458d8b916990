"""The decision about an ask: one function behind every door.

A door has no rule of its own: reinstall loops elsewhere came from doors that did (tinkerbell #223, #951, #957).
How a decision sounds at each door is `policy.answer`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from bootstrapd.model import (
    Arch,
    Ask,
    Chain,
    Feature,
    Host,
    HostBook,
    Image,
    LocalDisk,
    Profile,
    Program,
    Script,
    Silence,
    Stage,
)
from bootstrapd.policy import darwin, programs
from bootstrapd.policy.match import Conflict, Index


class Setup(Struct, frozen=True, kw_only=True):
    """All that was configured, as one value."""

    book: HostBook
    index: Index
    images: Mapping[str, Image]
    programs: Mapping[str, Program]
    unknown: str = "ignore"  # "ignore" | "discover"
    discovery_image: str = ""
    http_port: int = 80

    def may_begin(self, file: str, host: str) -> bool:
        """Whether `file` is a first program, one that the loop guard counts; not a shim's or GRUB's sibling."""
        declared = self.book.hosts.get(host)
        return file in programs.FIRST or bool(declared and declared.program == file)


class Standing(Struct, frozen=True, kw_only=True):
    """What is known of the asking machine when it asks: who claims it, its disk and its recent luck."""

    host: Host | Conflict | None
    is_local: bool = False  # its own disk holds a system, and no consent to install another
    arch: Arch | None = None  # from an earlier ask of this boot, for doors that do not say
    nbp_fetches: int = 0  # completed since the last script, within the guard's window (I11)
    held: str = ""  # why the loop guard stopped answering, "" when it did not
    was_chained: bool = False  # our program was already sent in this boot


AnyDecision = Chain | Script | LocalDisk | Silence

GUEST: Final = Host(name="", profile="")


def decide(ask: Ask, standing: Standing, setup: Setup) -> AnyDecision:
    """What this machine should do next. Total: every ask has an answer, every answer a reason."""
    match standing.host:
        case Conflict(reason):
            return Silence(code="CONFLICT", rule="match", reason=reason)
        case None:
            return _stranger(ask, standing, setup)
        case Host() as host:
            return _declared(ask, host, standing, setup)


def _stranger(ask: Ask, standing: Standing, setup: Setup) -> AnyDecision:
    if setup.unknown != "discover":
        return Silence(
            code="UNKNOWN",
            rule="unknown = ignore",
            reason=f"no host.toml claims {ask.mac}; to enrol it: "
            f"'bootstrapd hosts add {ask.mac} --name NAME --profile PROFILE'",
        )
    profile = Profile(name="discovery", images={"": setup.discovery_image})
    return _netboot(ask, GUEST, profile, standing, setup)


def _declared(ask: Ask, host: Host, standing: Standing, setup: Setup) -> AnyDecision:
    profile = setup.book.profiles[host.profile]
    if profile.is_darwin:
        return Silence(code="DARWIN", rule="system = darwin", reason=darwin.reason(host))
    if standing.is_local:
        return _own_disk(ask, host, profile, standing, setup)
    return _netboot(ask, host, profile, standing, setup)


def _own_disk(ask: Ask, host: Host, profile: Profile, standing: Standing, setup: Setup) -> AnyDecision:
    if profile.local_boot == "silence":
        return Silence(
            code="LOCAL_DISK",
            rule="local_boot = silence",
            reason=f"{host.name} has a system on its disk; profile {profile.name} leaves it to its boot order",
        )
    arch = ask.arch or standing.arch
    return LocalDisk(
        method=profile.local_boot,
        program=programs.choose(arch, host, setup.programs, 0) if arch else "",
        esp_label=profile.esp_label,
        rule=f"P19 I15 local_boot = {profile.local_boot}",
        reason=f"{host.name} boots its own disk, which holds its system",
    )


def _netboot(ask: Ask, host: Host, profile: Profile, standing: Standing, setup: Setup) -> AnyDecision:
    if standing.held and ask.stage is Stage.FIRMWARE:  # an iPXE that asks for its script is what was missed
        return Silence(code="LOOP_GUARD", rule="I11", reason=standing.held)
    if ask.stage is Stage.IPXE and is_good_enough(ask.features):
        return _script(ask, host, profile, standing, setup)
    if ask.stage is Stage.IPXE and standing.was_chained:
        return Silence(
            code="POOR_IPXE",
            rule="I3",
            reason=f"{ask.mac} runs an iPXE without HTTP or a kernel loader, even after ours was sent",
        )
    return _program(ask, host, standing, setup)


def is_good_enough(features: Feature) -> bool:
    """Whether this iPXE can run our script: HTTP, and a way to start a kernel (I3, MAAS's rule)."""
    return bool(features & Feature.HTTP and features & (Feature.BZIMAGE | Feature.EFI))


def _program(ask: Ask, host: Host, standing: Standing, setup: Setup) -> AnyDecision:
    who = host.name or str(ask.mac)
    arch = ask.arch or standing.arch
    if arch is None:
        return Silence(
            code="NO_ARCH", rule="P11 P12", reason=f"{who} asked without saying what it is (option 93)"
        )
    program = programs.choose(arch, host, setup.programs, standing.nbp_fetches)
    if not program:
        return Silence(
            code="NO_PROGRAM",
            rule="I12",
            reason=f"{who} is {arch} and this appliance has no network boot program for it; install the 'ipxe' "
            "package of a distribution that has one, or put the file into a folder of [nbp] dirs",
        )
    again = standing.nbp_fetches >= programs.FETCHES_A_VARIANT
    return Chain(
        program=program,
        rule="I11" if again else "I12",
        reason=f"{who} ({arch}) needs iPXE first"
        + (f"; {standing.nbp_fetches} fetches led nowhere, so the next variant" if again else ""),
    )


def _script(ask: Ask, host: Host, profile: Profile, standing: Standing, setup: Setup) -> AnyDecision:
    arch = ask.arch or standing.arch
    name = profile.image_for(arch.cpu if arch else "")
    who = host.name or str(ask.mac)
    image = setup.images.get(name)
    if image is None:
        wanted = f"image {name!r}" if name else f"an image for {arch.cpu if arch else 'its architecture'}"
        return Script(
            template="wait",
            rule="image",
            reason=f"profile {profile.name} wants {wanted}, which is not here: "
            f"'bootstrapd images add {name or 'NAME'} DIR' adds it, and {who} goes on by itself",
        )
    if arch is not None and arch.cpu != image.arch:
        return Script(
            template="wait",
            rule="image",
            reason=f"{who} is {arch.cpu}, image {name!r} is for {image.arch}: "
            f"give profile {profile.name} an image for {arch.cpu}",
        )
    return Script(
        template="image", image=name, rule="image", reason=f"{who} boots {name} (profile {profile.name})"
    )
