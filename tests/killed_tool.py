"""Stands in for nix, ssh and nixos-anywhere: each a copy of this, acting on a folder for each machine.

A program, started with the standard library only. What it does to a disk it does in small pieces, and writes a
line for each into the disk's own log: when, for which run, which process, what. It reaches a machine only while
the live system runs whose host key the job was pinned to.

    <rack>/tools/{nix,ssh,nixos-anywhere}     the copies
    <rack>/machines/<address>/live            the host key of the live system that runs; missing = none does
    <rack>/machines/<address>/disk            blank | erased | half | formatted | incomplete | whole
    <rack>/machines/<address>/{log,mounted,system/…,reboot,mood}
"""

import json
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

RACK = Path(__file__).parent.parent
PIECE_S = 0.008  # how long a disk takes for a piece
PIECES = {"preclean": 4, "disko": 10, "install": 16}
# Long enough to be met by the next run; where TERM is not heard, for longer than any grace too.
SLOW_PIECES = {"slow": 400, "deaf": 1500}


class Login:
    """A live system, for as long as it is the one that was logged in to."""

    def __init__(self, address: str, known_hosts: str) -> None:
        self.folder = RACK / "machines" / address
        self.run = Path(os.environ["BOOTSTRAPD_JOB"]).name
        self._address = address
        self._key = Path(known_hosts).read_text().split(maxsplit=1)[1].strip()
        self.check()

    def check(self) -> None:
        try:
            is_same = (self.folder / "live").read_text() == self._key
        except FileNotFoundError:
            end(f"ssh: connect to host {self._address} port 22: No route to host")
        if not is_same:
            end("Host key verification failed.")

    def become(self, name: str, text: str) -> None:
        """Whole or not at all, as a sector is written."""
        new = self.folder / f".{name}.{os.getpid()}"
        new.write_text(text)
        new.rename(self.folder / name)

    def write(self, what: str) -> None:
        """One piece onto the disk."""
        self.check()
        piece = f"{time.time():.6f} {self.run} {os.getpid()} {what}\n"
        log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(log, piece.encode())
        os.close(log)
        select.select([], [], [], PIECE_S)

    def write_all(self, what: str) -> None:
        pieces = PIECES[what]
        if what == "disko" and (mood := self._mood()):
            pieces = SLOW_PIECES[mood]
            signal.signal(signal.SIGTERM, signal.SIG_IGN if mood == "deaf" else signal.SIG_DFL)
        for _ in range(pieces):
            self.write(what)

    def _mood(self) -> str:
        """This one time only: "slow", "deaf", or ""."""
        try:
            mood = (self.folder / "mood").read_text()
            (self.folder / "mood").unlink()
        except FileNotFoundError:
            return ""
        return mood

    @property
    def is_mounted(self) -> bool:
        mounted = self.folder / "mounted"
        return mounted.exists() and mounted.read_text() == self._key

    def mount(self) -> None:
        self.become("mounted", self._key)


def end(words: str) -> NoReturn:
    line(words)
    sys.exit(255)


def line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say(step: str) -> None:
    line(f"### {step} ###")


def fact(*values: str) -> None:
    line("@" + "\t".join(values))


def nix(arguments: list[str]) -> None:
    if arguments == ["--version"]:
        line("nix (Nix) 2.31.2")
        return
    wanted = next(word for word in arguments if "#nixosConfigurations." in word)
    folder, _, attribute = wanted.removeprefix("path:").partition("#")
    host = attribute.split(".")[1]
    store = RACK / "store"
    if attribute.endswith("diskoScript"):
        disks = json.loads((Path(folder) / host / "disks.json").read_text())
        built = store / f"{'d' * 32}-disko-{host}"
        built.write_text("".join(f"disk={disk}\n" for disk in disks.values()))
    else:
        built = store / f"{'c' * 32}-nixos-system-{host}"
        units = built / "etc/systemd/system"
        units.mkdir(parents=True, exist_ok=True)
        (units / "bootstrapd-report.service").touch()
    line(str(built))


def ssh(arguments: list[str]) -> None:
    known = next(word for word in arguments if word.startswith("UserKnownHostsFile=")).partition("=")[2]
    login = Login(arguments[-2].partition("@")[2], known)
    disks = arguments[-1].split()[3:]
    script = sys.stdin.read()
    if "fact disk " in script:
        _probe(disks)
    elif "fact precleaned" in script:
        _preclean(login)
    elif "fact rebooting" in script:
        login.become("reboot", login.run)
        fact("rebooting")
    else:
        _verify(login, disks)


def _probe(disks: list[str]) -> None:
    fact("variant", "installer")
    for disk in disks:
        fact("disk", disk, "whole", "1000000000000", disk.rpartition("-")[2], "vda")


def _preclean(login: Login) -> None:
    login.become("disk", "erased")
    shutil.rmtree(login.folder / "system", ignore_errors=True)
    (login.folder / "mounted").unlink(missing_ok=True)
    login.write_all("preclean")
    fact("precleaned", "1")


def _verify(login: Login, disks: list[str]) -> None:
    if not login.is_mounted:
        return
    fact("mount", "/mnt/boot", "/dev/vda1", "vfat", "chosen")
    fact("esp", "/mnt/boot", "ESP")
    fact("mount", "/mnt", "/dev/vda2", "ext4", "chosen")
    if (login.folder / "disk").read_text() != "whole":
        return
    system = login.folder / "system"
    fact("loader", "/mnt/boot", "EFI/BOOT/BOOTX64.EFI")
    fact("profile", (system / "closure").read_text(), "there")
    for disk in disks:
        fact("mbr", disk, "0")
    for name in ("server", "token"):
        fact("report", name, "-rw------- 0" if (system / "var/lib/bootstrapd-report" / name).exists() else "")


def nixos_anywhere(arguments: list[str]) -> None:
    login = Login(arguments[-1].partition("@")[2], f"{os.environ['BOOTSTRAPD_JOB']}/known_hosts")
    phase = arguments[arguments.index("--phases") + 1]
    if phase == "disko":
        say("Formatting hard drive with disko")
        login.become("disk", "half")
        login.write_all("disko")
        login.become("disk", "formatted")
        login.mount()
    else:
        say("Installing NixOS")
        closure = arguments[arguments.index("--store-paths") + 2]
        login.become("disk", "incomplete")
        login.write_all("install")
        shutil.copytree(
            arguments[arguments.index("--extra-files") + 1], login.folder / "system", dirs_exist_ok=True
        )
        (login.folder / "system/closure").write_text(closure)
        login.check()
        login.become("disk", "whole")
        line("installation finished!")
    say("Done!")


if __name__ == "__main__":
    {"nix": nix, "ssh": ssh, "nixos-anywhere": nixos_anywhere}[Path(__file__).name](sys.argv[1:])
