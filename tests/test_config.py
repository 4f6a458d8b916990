"""config.toml: defaults, every key, and mistakes told all at once in words."""

from pathlib import Path

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from bootstrapd.config import Config, parse_config
from bootstrapd.errors import ConfigError

EVERY_KEY = """
interfaces = ["enp3s0", "br-lan.10"]
mode = "proxy"
unknown = "discover"
discovery_image = "discovery"
[paths]
state = "/srv/bootstrapd"
hosts = "/srv/fleet"
images = "/srv/images"
runtime = "/run/b"
[dhcp]
port = 6767
pxe_port = 4012
[tftp]
port = 6969
single_port = true
max_blksize = 8192
max_windowsize = 16
max_transfers = 9
[http]
ports = [8000]
max_connections = 10
[nbp]
dirs = ["/srv/nbp"]
[ssh]
authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB me@desk", 'from="10.0.0.0/8" ssh-rsa AAAAB3Nza==']
[install]
key_file = "/etc/bootstrapd/deploy"
at_once = 8
stall_s = 900
ssh_port = 2222
[api]
listen = "127.0.0.1:8470"
token_file = "/etc/bootstrapd/api.token"
[log]
level = "debug"
format = "json"
[nats]
enabled = false
url = "tls://nats.example.org:4222"
credentials = "/etc/bootstrapd/nats.creds"
tls_ca = "/etc/bootstrapd/ca.pem"
tls_cert = "/etc/bootstrapd/cert.pem"
tls_key = "/etc/bootstrapd/key.pem"
prefix = "acme.racks"
site = "east"
commands = "deploy"
allow_arm = true
infrastructure = false
"""
# "proxy" is all there is so far; the others exclude what stands above.
NOT_TOGETHER = {".mode", ".nats.leaf_of", ".nats.nkey_seed_file", ".nats.token_file"}


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "c.toml")
    return list(caught.value.mistakes)


def leaves(value: object, before: str = "") -> dict[str, object]:
    if not hasattr(value, "__struct_fields__"):
        return {before: value}
    return {
        key: leaf
        for name in value.__struct_fields__
        for key, leaf in leaves(getattr(value, name), f"{before}.{name}").items()
    }


def test_nothing_written_gives_the_defaults() -> None:
    assert parse_config("") == Config()
    assert (Config().dhcp.port, Config().dhcp.pxe_port, Config().tftp.port) == (67, 4011, 69)
    assert Config().http.ports == (80, 8080)


def test_every_key_can_be_written() -> None:
    written, default = leaves(parse_config(EVERY_KEY)), leaves(Config())
    unchanged = {key for key in default if written[key] == default[key]}
    assert unchanged == NOT_TOGETHER


def test_an_own_nats_server_can_be_a_leaf_node() -> None:
    nats = parse_config('[nats]\nleaf_of = ["nats-leaf://[fd00::1]:7422"]\nnkey_seed_file = "/k"').nats
    assert nats.leaf_of == ("nats-leaf://[fd00::1]:7422",)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('url = "nats://n"\nleaf_of = ["nats-leaf://n"]', "nats.leaf_of"),
        ('url = "nats://n"\ntls_key = "/k"', "nats.tls_cert"),
        ('url = "nats://n"\ntoken_file = "/t"\ncredentials = "/c"', "nats.token_file"),
        ('credentials = "/c"', "nats.credentials"),
        ('leaf_of = ["nats-leaf://n"]\ntoken_file = "/t"', "nats.token_file"),
        ("allow_arm = true", "nats.allow_arm"),
        ('url = "nats://me:secret@n"', "nats.url"),
        ('prefix = "a.>"', "nats.prefix"),
        ('site = "a.b"', "nats.site"),
    ],
)
def test_what_makes_no_sense_of_nats_is_said(text: str, key: str) -> None:
    (mistake,) = mistakes(f"[nats]\n{text}\n")
    assert mistake.startswith(f"c.toml: {key}: expected ")


def test_paths_hang_on_state_unless_said_otherwise() -> None:
    paths = parse_config('[paths]\nstate = "/srv/b"\nimages = "/big/images"').paths
    assert paths.hosts_folder == Path("/srv/b/hosts")
    assert paths.images_folder == Path("/big/images")
    assert paths.journal_file == Path("/srv/b/journal.db")
    assert paths.api_socket == Path("/run/bootstrapd/api.sock")


def test_state_moves_every_path(tmp_path: Path) -> None:
    paths = parse_config(EVERY_KEY).at_state(tmp_path).paths
    places = (paths.hosts_folder, paths.images_folder, paths.journal_file, paths.api_socket)
    assert all(place.is_relative_to(tmp_path) for place in places)
    assert paths.api_socket == tmp_path / "run" / "api.sock"


def test_a_relative_state_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Config().at_state(Path("x")).paths.state_folder == tmp_path / "x"


def test_all_mistakes_are_told_at_once() -> None:
    text = """
    unknwon = "ignore"
    interfaces = ["eth0", "a/b"]
    [http]
    ports = [80, "x", 70000]
    [tftp]
    max_blksize = 7
    single_port = 1
    [log]
    level = "loud"
    """
    assert mistakes(text) == [
        'c.toml: unknwon: unknown key "unknwon"; did you mean "unknown"?',
        'c.toml: interfaces[1]: expected the name of an interface such as enp3s0, found "a/b"',
        'c.toml: http.ports[1]: expected a port number from 1 to 65535, found "x"',
        "c.toml: http.ports[2]: expected a port number from 1 to 65535, found 70000",
        "c.toml: tftp.max_blksize: expected a block size from 512 to 65464 bytes, found 7",
        "c.toml: tftp.single_port: expected true or false, found 1",
        'c.toml: log.level: expected one of "debug", "info", "warning", "error", found "loud"',
    ]


def test_a_syntax_error_names_its_line() -> None:
    (mistake,) = mistakes("[http]\nports = = 80\n")
    assert mistake.startswith("c.toml: is not TOML: ")
    assert "line 2" in mistake


def test_nesting_without_end_is_a_mistake_and_no_crash() -> None:
    (mistake,) = mistakes("x = " + "[" * 50_000)
    assert mistake.startswith("c.toml: is ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('mode = "full"', "c.toml: mode: full DHCP is not built yet"),
        ('mode = "relay"', 'c.toml: mode: expected "proxy", found "relay"'),
        ('unknown = "discover"', "c.toml: discovery_image: expected the name of an image"),
        ("http = 3", "c.toml: http: expected a table, found 3"),
        ("[[http]]", "c.toml: http: expected a table, found a list"),
        ("[http]\nports = []", "c.toml: http.ports: expected at least one port number"),
        ("[dhcp]\nport = true", "c.toml: dhcp.port: expected a port number from 1 to 65535, found true"),
        pytest.param("[dhcp]\nport = " + "1" * 5000, "c.toml: is not TOML: Exceeds the limit", id="long"),
        pytest.param(
            "[dhcp]\nport = 0x" + "f" * 20000, "c.toml: dhcp.port: expected a port number from 1 to", id="hex"
        ),
        ("[dhcp]\nport = inf", "c.toml: dhcp.port: expected a port number from 1 to 65535, found inf"),
        ("[dhcp]\nport = 1979-05-27", "c.toml: dhcp.port: expected a port number"),
        ('[paths]\nstate = "var/lib"', "c.toml: paths.state: expected an absolute path"),
        ('[nbp]\ndirs = "/x"', 'c.toml: nbp.dirs: expected a list, found "/x"'),
        ("[http]\nports = [0]", "c.toml: http.ports[0]: expected a port number from 1 to 65535, found 0"),
        ('interfaces = ["eth0\\n"]', "c.toml: interfaces[0]: expected the name of an interface"),
        ('interfaces = [".."]', "c.toml: interfaces[0]: expected the name of an interface"),
        ('interfaces = ["sixteenletters00"]', "c.toml: interfaces[0]: expected the name of an interface"),
        ('discovery_image = "../x"', "c.toml: discovery_image: expected a name"),
        ('[ssh]\nauthorized_keys = ["-----BEGIN OPENSSH PRIVATE KEY-----"]', "c.toml: ssh.authorized_keys[0]:"),
        ('[ssh]\nauthorized_keys = ["ssh-ed25519 AAAA\\nssh-rsa BBBB"]', "c.toml: ssh.authorized_keys[0]:"),
        ('[api]\nlisten = ":8470"', "c.toml: api.listen: expected an IP address and a port"),
        ('[api]\nlisten = "127.0.0.1:70000"', "c.toml: api.listen: expected a port number"),
        ('"a\\nb" = 1', 'c.toml: "a\\nb": unknown key "a\\nb"; known: '),
        ("[xyz]\na = 1", 'c.toml: xyz: unknown key "xyz"; known: api, dhcp, discovery_image, http'),
    ],
)
def test_one_mistake(text: str, expected: str) -> None:
    (mistake,) = mistakes(text)
    assert mistake.startswith(expected)


values = st.recursive(
    st.none().map(lambda _: "x") | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def outcome(text: str) -> Config | list[str]:
    try:
        return parse_config(text)
    except ConfigError as error:
        return list(error.mistakes)


def is_explained(outcome: Config | list[str]) -> bool:
    return isinstance(outcome, Config) or all(
        mistake.startswith("config.toml: ") and "\n" not in mistake for mistake in outcome
    )


@given(st.text(max_size=200))
def test_any_text_gives_settings_or_mistakes(text: str) -> None:
    assert is_explained(outcome(text))


@given(key=st.sampled_from(["interfaces", "mode", "paths", "http", "tftp", "ssh", "log", "zzz"]), value=values)
def test_any_value_anywhere_gives_settings_or_mistakes(key: str, value: object) -> None:
    assert is_explained(outcome(tomlkit.dumps({key: value})))


@pytest.mark.parametrize(
    ("text", "tcp", "file"),
    [
        ("", None, "/var/lib/bootstrapd/keys/api.token"),
        ('listen = "127.0.0.1:8470"', ("127.0.0.1", 8470), "/var/lib/bootstrapd/keys/api.token"),
        ('listen = "[::1]:8470"\ntoken_file = "/etc/t"', ("::1", 8470), "/etc/t"),
    ],
)
def test_where_the_operators_api_listens(text: str, tcp: tuple[str, int] | None, file: str) -> None:
    config = parse_config(f"[api]\n{text}")
    assert (config.api.tcp, str(config.api_token_file)) == (tcp, file)
