"""Links as the kernel has them, which of them to serve, and what happens to them while running."""

import asyncio
import ctypes
import json
import os
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from bootstrapd.edge import netif
from bootstrapd.edge.netif import Watcher, choose, links, neighbour
from bootstrapd.errors import ConfigError, EdgeError
from bootstrapd.model import Link, Mac

T = TypeVar("T")
DEADLINE_S = 20.0
CLONE_NEWNET = 0x40000000

root = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace"),
]


def ip(*words: str, typed: str = "") -> str:
    return subprocess.run(["ip", *words], input=typed, check=True, capture_output=True, text=True).stdout


@asynccontextmanager
async def watching(
    on_change: Callable[[list[Link]], None], meanwhile: tuple[str, ...] = ()
) -> AsyncIterator[None]:
    """`meanwhile`: an `ip` command between the watcher's making and its start."""
    watcher = Watcher(on_change)
    if meanwhile:
        ip(*meanwhile)
    await watcher.start()
    try:
        yield
    finally:
        await watcher.close()


def in_namespace(story: Callable[[], T]) -> T:
    """The story's result, told in a thread that alone lives in a new network namespace."""
    results: list[T] = []
    errors: list[BaseException] = []

    def tell() -> None:
        try:
            assert ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0
            results.append(story())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread of the test
            errors.append(error)

    thread = threading.Thread(target=tell)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def by_name() -> dict[str, Link]:
    return {link.name: link for link in links()}


def test_the_loopback_is_there() -> None:
    (loopback,) = [link for link in links() if link.is_loopback]
    assert (loopback.name, loopback.address, loopback.prefix) == ("lo", "127.0.0.1", 8)
    assert loopback.is_up
    assert loopback.is_virtual
    assert not loopback.is_default_route


def test_a_link_that_goes_while_we_look_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(7, "gone0")])
    assert links() == []
    assert neighbour("10.0.0.1") is None


@pytest.mark.parametrize(
    "address", ["", "x", "::1", "10.0.0.256", "10.0.0.1; reboot", "127.0.0.1", "192.0.2.77"]
)
def test_nobody_is_behind_other_text(address: str) -> None:
    assert neighbour(address) is None


class TestInANamespace:
    pytestmark = root

    def test_links_are_what_iproute2_says(self) -> None:
        def story() -> tuple[dict[str, Link], list[dict[str, Any]]]:
            ip("link", "add", "a0", "type", "veth", "peer", "name", "b0")
            ip("link", "add", "br0", "type", "bridge")
            ip("addr", "add", "10.7.0.1/20", "dev", "a0")
            ip("addr", "add", "10.7.0.2/20", "dev", "a0")
            ip("link", "set", "a0", "up")
            ip("link", "set", "b0", "up")
            return by_name(), json.loads(ip("-json", "link", "show"))

        found, said = in_namespace(story)
        assert list(found) == [link["ifname"] for link in sorted(said, key=lambda link: link["ifindex"])]
        assert found["a0"] == Link(
            name="a0", index=found["a0"].index, address="10.7.0.1", prefix=20, is_up=True, is_virtual=True
        )
        assert (found["b0"].address, found["b0"].prefix, found["b0"].is_up) == ("", 0, True)
        assert (found["br0"].is_up, found["br0"].is_virtual) == (False, True)
        assert not found["lo"].is_up

    def test_the_default_route_marks_its_link(self) -> None:
        def story() -> dict[str, Link]:
            for name, address in (("a0", "10.7.0.1/24"), ("c0", "10.8.0.1/24")):
                ip("link", "add", name, "type", "bridge")
                ip("addr", "add", address, "dev", name)
                ip("link", "set", name, "up")
            ip("route", "add", "default", "via", "10.8.0.254")
            ip("route", "add", "10.9.0.0/16", "via", "10.7.0.254")
            return by_name()

        found = in_namespace(story)
        assert {name for name, link in found.items() if link.is_default_route} == {"c0"}

    def test_neighbours_are_looked_up_not_guessed(self) -> None:
        def story() -> dict[str, Mac | None]:
            for name, address in (("a0", "10.7.0.1/24"), ("c0", "10.8.0.1/24")):
                ip("link", "add", name, "type", "veth", "peer", "name", f"p{name}")
                ip("link", "set", f"p{name}", "up")
                ip("addr", "add", address, "dev", name)
                ip("link", "set", name, "up")
            ip("neigh", "add", "10.7.0.9", "lladdr", "52:54:00:aa:bb:01", "dev", "a0", "nud", "reachable")
            ip("neigh", "add", "10.7.0.8", "lladdr", "52:54:00:aa:bb:02", "dev", "a0", "nud", "stale")
            ip("neigh", "add", "10.7.0.7", "dev", "a0", "nud", "failed")
            ip("neigh", "add", "10.7.0.6", "lladdr", "52:54:00:aa:bb:03", "dev", "a0", "nud", "permanent")
            ip("neigh", "add", "10.9.0.1", "lladdr", "52:54:00:aa:bb:04", "dev", "a0", "nud", "stale")
            ip("neigh", "add", "10.9.0.1", "lladdr", "52:54:00:aa:bb:05", "dev", "c0", "nud", "stale")
            return {
                last: neighbour(last) for last in ("10.7.0.9", "10.7.0.8", "10.7.0.7", "10.7.0.6", "10.9.0.1")
            }

        assert in_namespace(story) == {
            "10.7.0.9": "52:54:00:aa:bb:01",
            "10.7.0.8": "52:54:00:aa:bb:02",
            "10.7.0.7": None,
            "10.7.0.6": "52:54:00:aa:bb:03",
            "10.9.0.1": None,  # another one on each of two links: nobody knows which is meant
        }

    def test_changes_are_told_while_they_happen(self) -> None:
        async def story() -> list[str]:
            heard: asyncio.Queue[list[Link]] = asyncio.Queue()

            async def told(*words: str) -> str:
                ip(*words)
                async with asyncio.timeout(DEADLINE_S):
                    found = {link.name: link for link in await heard.get()}
                state = found.get("a0")
                return f"{state.address or '-'} {'up' if state.is_up else 'down'}" if state else "gone"

            async with watching(heard.put_nowait):
                states = [
                    await told("link", "add", "a0", "type", "bridge"),
                    await told("addr", "add", "10.7.0.1/24", "dev", "a0"),
                    await told("link", "set", "a0", "up"),
                    await told("addr", "flush", "dev", "a0"),
                    await told("link", "del", "a0"),
                ]
            ip("link", "add", "late0", "type", "bridge")
            assert heard.empty()
            return states

        assert in_namespace(lambda: asyncio.run(story())) == [
            "- down",
            "10.7.0.1 down",
            "10.7.0.1 up",
            "- up",
            "gone",
        ]

    def test_what_changes_before_the_start_is_told_after_it(self) -> None:
        async def story() -> list[Link]:
            heard: asyncio.Queue[list[Link]] = asyncio.Queue()
            async with (
                watching(heard.put_nowait, meanwhile=("link", "add", "a0", "type", "bridge")),
                asyncio.timeout(DEADLINE_S),
            ):
                return await heard.get()

        assert [link.name for link in in_namespace(lambda: asyncio.run(story()))] == ["lo", "a0"]

    def test_a_burst_of_changes_is_told_in_few_words(self) -> None:
        """One new link is several messages; 100 of them overrun nobody and are told in a handful of lists."""

        async def story() -> list[int]:
            heard: list[int] = []
            done = asyncio.Event()

            def hear(found: list[Link]) -> None:
                heard.append(len(found))
                if len(found) == 101:
                    done.set()

            async with watching(hear), asyncio.timeout(DEADLINE_S):
                batch = "".join(f"link add d{number} type bridge\n" for number in range(100))
                await asyncio.to_thread(ip, "-batch", "-", typed=batch)
                await done.wait()
            return heard

        assert len(in_namespace(lambda: asyncio.run(story()))) < 50


async def test_a_kernel_that_refuses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    watcher = Watcher(lambda _: None)
    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(EdgeError, match="cannot be watched: Operation not permitted"):
        await watcher.start()
    await watcher.close()


LAN = Link(name="enp3s0", index=3, address="10.7.0.1", prefix=24, is_up=True)
WAN = replace(LAN, name="enp1s0", index=2, is_default_route=True)
BRIDGE = replace(LAN, name="br0", is_virtual=True)
LOOPBACK = replace(LAN, name="lo", is_virtual=True, is_loopback=True)
DOWN = replace(LAN, name="enp4s0", is_up=False)
BARE = replace(LAN, name="enp5s0", address="", prefix=0)
ALL = [LOOPBACK, WAN, LAN, BRIDGE, DOWN, BARE]


def test_safety_5_without_a_name_nobody_is_bothered() -> None:
    assert choose(ALL, []) == [LAN]


@pytest.mark.parametrize("link", [WAN, BRIDGE, LOOPBACK, DOWN, BARE], ids=lambda link: str(link.name))
def test_safety_5_naming_is_telling(link: Link) -> None:
    """Also one that is down or has no address yet: it may come up."""
    assert choose(ALL, [link.name]) == [link]


def test_names_keep_their_order_and_count_once() -> None:
    assert choose(ALL, ["br0", "lo", "br0"]) == [BRIDGE, LOOPBACK]


def test_every_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        choose([LOOPBACK, LAN], ["eth0", "enp3s0", "eth1"])
    assert caught.value.mistakes == (
        'there is no interface "eth0"; there are: lo, enp3s0',
        'there is no interface "eth1"; there are: lo, enp3s0',
    )
    assert choose([LOOPBACK, LAN], ["eth0", "enp3s0"], must_exist=False) == [LAN]


def test_safety_5_none_left_says_why_and_which_flag() -> None:
    with pytest.raises(ConfigError) as caught:
        choose([LOOPBACK, WAN, BRIDGE, DOWN, BARE], [])
    assert str(caught.value) == (
        "no interface can be chosen without being told: lo (loopback), enp1s0 (carries the default route), "
        "br0 (virtual), enp4s0 (down), enp5s0 (without an IPv4 address); "
        'name one with --interface NAME, or interfaces = ["NAME"] in config.toml'
    )
    assert caught.value.exit_code == 2
    assert choose([LOOPBACK, WAN], [], must_exist=False) == []


ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth1\t00000000\t010300C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0
eth2\t00000000\t010400C0\t0002\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


def test_default_routes_are_those_that_are_up_and_for_everything() -> None:
    assert netif._default_route_names(ROUTES) == {"eth0", "eth1"}


def test_a_device_behind_it_makes_a_link_real() -> None:
    real = {path.name for path in Path("/sys/class/net").iterdir() if (path / "device").exists()}
    assert {link.name for link in links() if not link.is_virtual} == real
