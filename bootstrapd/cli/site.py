"""What every command needs to know: which configuration, which folders, and whether a daemon answers."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

import click

from bootstrapd.errors import ConfigError

if TYPE_CHECKING:
    from bootstrapd.cli.api_client import ApiClient
    from bootstrapd.config import Config
    from bootstrapd.edge.images import ImageStore

P = ParamSpec("P")
R = TypeVar("R")

CONFIG_FILE: Final = Path("/etc/bootstrapd/config.toml")


class Site:
    """The appliance that a command is about, read when first asked for."""

    def __init__(
        self,
        state: Path | None,
        config_file: Path | None,
        server: str | None = None,
        token_file: Path | None = None,
    ) -> None:
        self._state = state
        self._config_file = config_file
        self._server = server
        self._token_file = token_file

    @functools.cached_property
    def config(self) -> Config:
        """ConfigError with every mistake of the file; without a file, the defaults."""
        from bootstrapd.config import Config, parse_config

        file = self._config_file or (CONFIG_FILE if CONFIG_FILE.exists() else None)
        config = parse_config(read_text(file), str(file)) if file else Config()
        return config.at_state(self._state) if self._state else config

    def with_config(self, file: Path) -> Site:
        """The same site, with `file` as its settings."""
        return Site(self._state, file)

    @property
    def images(self) -> ImageStore:
        """The image store, not loaded yet."""
        from bootstrapd.edge.images import ImageStore

        return ImageStore(self.config.paths.images_folder)

    @property
    def api(self) -> ApiClient:
        """The daemon; asking it anything raises NotRunningError where there is none."""
        from bootstrapd.cli.api_client import ApiClient, Remote

        if self._server is None:
            return ApiClient(self.config.paths.api_socket)
        return ApiClient(Remote(_url(self._server), _token(self._token_file)))

    @property
    def running(self) -> ApiClient | None:
        """The daemon, or None where none answers here; EdgeError where we may not ask."""
        if self._server is not None:
            return self.api
        with contextlib.suppress(PermissionError):  # the request below says it better
            if not self.config.paths.api_socket.exists():
                return None
        from bootstrapd.cli.api_client import NotRunningError
        from bootstrapd.model.view import StatusView

        try:
            self.api.get("/v1/status", StatusView)
        except NotRunningError:
            return None
        return self.api


def with_site(command: Callable[Concatenate[Site, P], R]) -> Callable[P, R]:
    """Gives a command `--state` and `--config`, and hands it the Site they name."""

    @click.option(
        "--state",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="BOOTSTRAPD_STATE",
        metavar="DIR",
        help="Keep everything below DIR (hosts, images, journal, socket).",
    )
    @click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="BOOTSTRAPD_CONFIG",
        metavar="FILE",
        help=f"Settings; default {CONFIG_FILE} where it exists.",
    )
    @functools.wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> R:
        given: dict[str, Any] = dict(options)
        names = ("state", "config_file", "server", "token_file")
        site = Site(*(given.pop(name, None) for name in names))
        return command(site, *args, **given)

    return run


def with_server(command: Callable[P, R]) -> Callable[P, R]:
    """Gives a command that only talks to the daemon `--server` and `--token-file`; goes above `with_site`."""
    server = click.option(
        "--server",
        envvar="BOOTSTRAPD_SERVER",
        metavar="URL",
        help="Ask the daemon there, http://ADDRESS:PORT, not the one on this machine.",
    )
    token = click.option(
        "--token-file",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="BOOTSTRAPD_TOKEN_FILE",
        metavar="FILE",
        help="With --server: its API's token; else the variable BOOTSTRAPD_TOKEN.",
    )
    return server(token(command))


def json_option(command: Callable[P, R]) -> Callable[P, R]:
    """Gives a command `--json`, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def _url(text: str) -> str:
    from urllib.parse import urlsplit

    with contextlib.suppress(ValueError):  # a port that is none, a bracket too many
        url = urlsplit(text)
        is_whole = url.scheme in ("http", "https") and url.hostname and url.port != 0
        if is_whole and f"{url.scheme}://{url.netloc}" == text.rstrip("/") and "@" not in url.netloc:
            return text.rstrip("/")
    raise ConfigError(f"--server {text!r}: expected a URL such as http://127.0.0.1:8470")


def _token(file: Path | None) -> str:
    token = (read_text(file) if file else os.environ.get("BOOTSTRAPD_TOKEN", "")).strip()
    if not token:
        raise ConfigError(
            "--server needs a token: --token-file FILE, or the variable BOOTSTRAPD_TOKEN; the appliance "
            "has it where [api] token_file says, by default in keys/api.token below its state folder"
        )
    if not (token.isascii() and token.isprintable()):
        raise ConfigError("the token is not one line of ASCII text")
    return token


def read_text(file: Path) -> str:
    """The file as text; ConfigError says why not."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
