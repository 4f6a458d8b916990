"""The options of `services.bootstrapd`: config.toml's keys and defaults, checked while a system is built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
from nix_tools import NixError, evaluate

from bootstrapd.config import Config, parse_config
from bootstrapd.config.settings import Section

from .rendered import appliance, built_config

EVERYTHING = {
    "interfaces": ["enp3s0", "br-lan"],
    "hostsDir": "/srv/hosts",
    "natsCredentialsFile": "/run/secrets/nats.creds",
    "deploymentKeyFile": "/run/secrets/deploy",
    "settings": {
        "unknown": "discover",
        "discovery_image": "discovery",
        "tftp": {"single_port": True},
        "http": {"ports": [8080]},
        "ssh": {"authorized_keys": ['from="10.0.0.0/8" ssh-ed25519 AAAA "me"']},
        "nats": {"leaf_of": ["nats-leaf://hub.example.org:7422"], "site": "rack-4"},
    },
}


def test_keys_and_defaults_are_those_of_config_toml() -> None:
    assert appliance({})["settings"] == json.loads(msgspec.json.encode(Config()))


def choices(kind: type[Section], path: str = "") -> dict[str, set[str]]:
    """The words that a key takes, by its dotted name."""
    found: dict[str, set[str]] = {}
    for name, hint in get_type_hints(kind).items():
        if isinstance(hint, type) and issubclass(hint, Section):
            found |= choices(hint, f"{path}{name}.")
        elif get_origin(hint) is Literal:
            found[path + name] = set(get_args(hint))
    return found


def test_the_words_that_a_key_takes_are_the_same() -> None:
    """One that is none is refused by its option, before anything is built."""
    known = choices(Config)
    assert "log.level" in known
    for key, words in known.items():
        for word in words:
            assert at(appliance({"settings": nested(key, word)})["settings"], key) == word
        with pytest.raises(NixError, match=key):
            appliance({"settings": nested(key, "nonsense")})


def test_what_a_person_writes_arrives_in_config_toml() -> None:
    config = parse_config(built_config(EVERYTHING | {"hostsDir": None}).read_text())
    assert config.interfaces == ("enp3s0", "br-lan")
    assert config.nats.credentials == "/run/credentials/bootstrapd.service/nats.creds"
    assert config.install.key_file == "/run/credentials/bootstrapd.service/deploy_key"
    assert config.ssh.authorized_keys == ('from="10.0.0.0/8" ssh-ed25519 AAAA "me"',)
    assert config.http.ports == (8080,)
    assert appliance(EVERYTHING)["settings"]["paths"]["hosts"] == "/srv/hosts"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tftp": {"blksize": 512}}, 'tftp.blksize: unknown key "blksize"; did you mean "max_blksize"?'),
        (
            {"nats": {"url": "nats://a:4222", "leaf_of": ["nats-leaf://b"]}},
            "nats.leaf_of: expected none beside",
        ),
        ({"mode": "full"}, "mode: full DHCP is not built yet"),
    ],
)
def test_a_mistake_ends_the_build(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(NixError) as refused:
        built_config({"settings": settings})
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"openFirewall": True}, "openFirewall opens ports on named links only"),
        ({"settings": {"paths": {"state": "/srv"}}}, "the unit's own folders"),
        ({"natsCredentialsFile": "/nix/store/secret"}, "natsCredentialsFile is in the Nix store"),
        ({"deploymentKeyFile": "secret"}, "deploymentKeyFile"),
        ({"images": {"Bad Name": "/nix/store/x"}}, "an image's name is"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(options: dict[str, Any], words: str) -> None:
    with pytest.raises(NixError) as refused:
        evaluate(
            "given: let made = import ./tests/nix/appliance.nix given; in [ made.settings made.firewall ]",
            services=with_store(options),
        )
    assert words in str(refused.value)


def with_store(options: dict[str, Any]) -> dict[str, Any]:
    """/nix/store is this evaluation's own store."""
    store = str(evaluate("builtins.storeDir"))
    return {
        key: value.replace("/nix/store", store) if isinstance(value, str) else value
        for key, value in options.items()
    }


def nested(key: str, value: object) -> dict[str, Any]:
    section, _, name = key.rpartition(".")
    return {section: {name: value}} if section else {name: value}


def at(settings: dict[str, Any], key: str) -> object:
    section, _, name = key.rpartition(".")
    return (settings[section] if section else settings)[name]


def hosts(folder: Path, text: str) -> Path:
    (folder / "hosts/node-1").mkdir(parents=True)
    (folder / "hosts/node-1/host.toml").write_text(text)
    return folder / "hosts"


def test_a_hosts_folder_is_copied_into_the_store_and_checked_there(tmp_path: Path) -> None:
    good = hosts(tmp_path / "good", 'profile = "minimal"\n[match]\nmac = ["52:54:00:aa:bb:01"]\n')
    config = parse_config(built_config({"hostsDir": good}).read_text())
    assert config.paths.hosts.startswith(str(evaluate("builtins.storeDir")))
    assert (Path(config.paths.hosts) / "node-1/host.toml").read_text() == (
        good / "node-1/host.toml"
    ).read_text()


def test_a_mistake_in_a_host_ends_the_build(tmp_path: Path) -> None:
    with pytest.raises(NixError) as refused:
        built_config({"hostsDir": hosts(tmp_path, 'profile = "minimal"\n[match]\nmac = "52:54"\n')})
    assert "node-1/host.toml: match.mac" in str(refused.value)


def test_a_folder_elsewhere_is_used_where_it_is() -> None:
    made = appliance({"hostsDir": "/srv/hosts", "settings": {"paths": {"images": "/srv/images"}}})
    unit = made["units"]["bootstrapd"]
    assert made["settings"]["paths"]["hosts"] == "/srv/hosts"
    assert unit["serviceConfig"]["ReadWritePaths"] == ["-/srv/hosts", "-/srv/images"]
    assert unit["unitConfig"]["RequiresMountsFor"] == ["/var/lib/bootstrapd", "/srv/hosts", "/srv/images"]
    assert made["units"]["bootstrapd-images"]["serviceConfig"]["ReadWritePaths"] == ["-/srv/images"]
