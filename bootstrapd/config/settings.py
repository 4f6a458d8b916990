"""`config.toml`: the appliance's own settings. Every key has a default; `bootstrapd serve` needs no file.

The field names are the keys a person writes. Paths are text here and `Path` on the properties of
`PathSettings`, which is where the defaults that hang on each other are worked out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from bootstrapd.config.check import Report, read, toml
from bootstrapd.config.kinds import (
    AuthorizedKey,
    Count,
    Folder,
    Interface,
    NatsUrl,
    OptionalFile,
    OptionalFolder,
    OptionalImage,
    OptionalListen,
    OptionalNatsUrl,
    OptionalSite,
    OwnBlksize,
    Port,
    Subject,
    Windowsize,
)
from bootstrapd.errors import ConfigError

FULL_DHCP: Final = (
    'full DHCP is not built yet; write mode = "proxy" (the default): the network\'s own DHCP server gives '
    "addresses, and this appliance adds the boot answer beside it"
)


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of config.toml."""


class PathSettings(Section, frozen=True, kw_only=True):
    """`[paths]`. `""` means: below `state`."""

    state: Folder = "/var/lib/bootstrapd"
    hosts: OptionalFolder = ""
    images: OptionalFolder = ""
    runtime: Folder = "/run/bootstrapd"

    @property
    def state_folder(self) -> Path:
        return Path(self.state)

    @property
    def hosts_folder(self) -> Path:
        return Path(self.hosts) if self.hosts else self.state_folder / "hosts"

    @property
    def images_folder(self) -> Path:
        return Path(self.images) if self.images else self.state_folder / "images"

    @property
    def keys_folder(self) -> Path:
        return self.state_folder / "keys"

    @property
    def arms_folder(self) -> Path:
        """Arms that wait for a daemon: `<host>.json`."""
        return self.state_folder / "arms"

    @property
    def journal_file(self) -> Path:
        return self.state_folder / "journal.db"

    @property
    def api_socket(self) -> Path:
        """The operator's API; made with mode 0660."""
        return Path(self.runtime) / "api.sock"


class DhcpSettings(Section, frozen=True, kw_only=True):
    """`[dhcp]`. The ports are for test networks: firmware knows only 67 and 4011."""

    port: Port = 67
    pxe_port: Port = 4011


class TftpSettings(Section, frozen=True, kw_only=True):
    """`[tftp]`. A host's own `[boot] tftp_blksize` and `tftp_windowsize` cap further (rules T4, T6)."""

    port: Port = 69
    single_port: bool = False  # answer from port 69 itself, for firewalls that cannot follow a transfer
    max_blksize: OwnBlksize = 1468
    max_windowsize: Windowsize = 64
    max_transfers: Count = 512


class HttpSettings(Section, frozen=True, kw_only=True):
    """`[http]`: the boot listener. The first port that is free is taken, and said at start."""

    ports: tuple[Port, ...] = (80, 8080)
    max_connections: Count = 512


class NbpSettings(Section, frozen=True, kw_only=True):
    """`[nbp]`: folders searched for network boot programs before the distribution's own."""

    dirs: tuple[Folder, ...] = ()


class SshSettings(Section, frozen=True, kw_only=True):
    """`[ssh]`: public keys that may log in to the live system."""

    authorized_keys: tuple[AuthorizedKey, ...] = ()


class InstallSettings(Section, frozen=True, kw_only=True):
    """`[install]`. Live systems are logged in to with a key that is made at the first start, or this one."""

    key_file: OptionalFile = ""
    at_once: Count = 2
    stall_s: Count = 300  # the write of the system may be silent so long; one large path over a slow line is
    ssh_port: Port = 22


class ApiSettings(Section, frozen=True, kw_only=True):
    """`[api]`: the operator's API over TCP too, for who has the token. Without TLS: see docs/http.md."""

    listen: OptionalListen = ""
    token_file: OptionalFile = ""  # made (0600) where it is missing

    @property
    def tcp(self) -> tuple[str, int] | None:
        """Address and port to listen on, None for the Unix socket alone."""
        address, _, port = self.listen.rpartition(":")
        return (address.strip("[]"), int(port)) if address else None


class LogSettings(Section, frozen=True, kw_only=True):
    """`[log]`. Format auto: text on a terminal, JSON lines under systemd."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


class NatsSettings(Section, frozen=True, kw_only=True):
    """`[nats]`. No `url`: an own nats-server on loopback, a leaf node of `leaf_of` where that is given.

    Secrets stand in files of their own, never here. The login is for `url`, else for `leaf_of`.
    """

    enabled: bool = True
    url: OptionalNatsUrl = ""
    leaf_of: tuple[NatsUrl, ...] = ()
    credentials: OptionalFile = ""
    nkey_seed_file: OptionalFile = ""
    token_file: OptionalFile = ""
    tls_ca: OptionalFile = ""
    tls_cert: OptionalFile = ""
    tls_key: OptionalFile = ""
    prefix: Subject = "cim.deployment"
    site: OptionalSite = ""  # "": the name of this machine
    commands: Literal["none", "query", "deploy"] = "query"
    allow_arm: bool = False
    infrastructure: bool = True


class Config(Section, frozen=True, kw_only=True):
    """The whole of config.toml."""

    interfaces: tuple[Interface, ...] = ()  # none named: `edge.netif.choose` says which
    mode: Annotated[Literal["proxy", "full"], Meta(description='"proxy"')] = "proxy"
    unknown: Literal["ignore", "discover"] = "ignore"  # machines that no host claims
    discovery_image: OptionalImage = ""
    paths: PathSettings = PathSettings()
    dhcp: DhcpSettings = DhcpSettings()
    tftp: TftpSettings = TftpSettings()
    http: HttpSettings = HttpSettings()
    nbp: NbpSettings = NbpSettings()
    ssh: SshSettings = SshSettings()
    install: InstallSettings = InstallSettings()
    api: ApiSettings = ApiSettings()
    log: LogSettings = LogSettings()
    nats: NatsSettings = NatsSettings()

    @property
    def api_token_file(self) -> Path:
        """Where the token of the API over TCP is, or will be made."""
        return Path(self.api.token_file) if self.api.token_file else self.paths.keys_folder / "api.token"

    def at_state(self, folder: Path) -> Config:
        """The same with every path below `folder` (`--state DIR`): hosts, images, journal, keys, API socket."""
        state = folder.absolute()
        return msgspec.structs.replace(self, paths=PathSettings(state=str(state), runtime=str(state / "run")))


def parse_config(text: str, file: str = "config.toml") -> Config:
    """The text of `file` as settings; ConfigError carries every mistake in it, each "file: key: …"."""
    mistakes: list[str] = []

    def report(key: str, mistake: str) -> None:
        mistakes.append(f"{file}: {key}: {mistake}" if key else f"{file}: {mistake}")

    config = read(Config, toml(text, report) or {}, report)
    _check_together(config, report)
    if mistakes:
        raise ConfigError(*mistakes)
    return config


def _check_together(config: Config, report: Report) -> None:
    if config.mode == "full":
        report("mode", FULL_DHCP)
    if not config.http.ports:
        report("http.ports", "expected at least one port number, found an empty list")
    if config.api.tcp and config.api.tcp[1] > 65535:
        report("api.listen", f'expected a port number from 1 to 65535, found "{config.api.listen}"')
    _check_nats(config.nats, report)
    if config.unknown == "discover" and not config.discovery_image:
        report(
            "discovery_image",
            'expected the name of an image, because unknown = "discover" boots it; found none',
        )


def _check_nats(nats: NatsSettings, report: Report) -> None:
    if nats.url and nats.leaf_of:
        report(
            "nats.leaf_of",
            "expected none beside nats.url: an own server is a leaf node, an external one is not",
        )
    if bool(nats.tls_cert) != bool(nats.tls_key):
        report("nats.tls_cert", "expected nats.tls_cert and nats.tls_key together, found one of them")
    logins = [key for key in ("credentials", "nkey_seed_file", "token_file") if getattr(nats, key)]
    if len(logins) > 1:
        report(f"nats.{logins[1]}", f"expected one way to log in, found nats.{logins[0]} too")
    elif logins and not (nats.url or nats.leaf_of):
        report(f"nats.{logins[0]}", "expected nats.url or nats.leaf_of to log in to, found neither")
    if nats.leaf_of and nats.token_file:
        report("nats.token_file", "expected nats.credentials: a leaf node does not log in with a token")
    if nats.allow_arm and nats.commands != "deploy":
        report("nats.allow_arm", f'expected commands = "deploy" with it, found "{nats.commands}"')
