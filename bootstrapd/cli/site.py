"""What every command needs to know: which configuration, which folders, and whether a daemon answers."""

from __future__ import annotations

import contextlib
import functools
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

    def __init__(self, state: Path | None, config_file: Path | None) -> None:
        self._state = state
        self._config_file = config_file

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
        from bootstrapd.cli.api_client import ApiClient

        return ApiClient(self.config.paths.api_socket)

    @property
    def running(self) -> ApiClient | None:
        """The daemon, or None where none answers; EdgeError where we may not ask."""
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
        site = Site(given.pop("state"), given.pop("config_file"))
        return command(site, *args, **given)

    return run


def json_option(command: Callable[P, R]) -> Callable[P, R]:
    """Gives a command `--json`, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def read_text(file: Path) -> str:
    """The file as text; ConfigError says why not."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
