"""What the operator writes, read and checked before anything starts: TOML text -> `Config` and `HostBook`.

Every mistake is found at once and raised as one `ConfigError`, each "file: key: expected …, found …".
This package opens no file of the operator's: callers hand in text (`edge/hostdir` reads the hosts folder).
"""

from bootstrapd.config.hosts import check_host_name, parse_hosts
from bootstrapd.config.settings import (
    Config,
    DhcpSettings,
    HttpSettings,
    LogSettings,
    NbpSettings,
    PathSettings,
    SshSettings,
    TftpSettings,
    parse_config,
)

__all__ = [
    "Config",
    "DhcpSettings",
    "HttpSettings",
    "LogSettings",
    "NbpSettings",
    "PathSettings",
    "SshSettings",
    "TftpSettings",
    "check_host_name",
    "parse_config",
    "parse_hosts",
]
