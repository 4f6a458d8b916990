"""A network link of the appliance, as `edge/netif` sees it."""

from __future__ import annotations

from msgspec import Struct


class Link(Struct, frozen=True, kw_only=True):
    """One interface with the IPv4 address that answers sent through it carry."""

    name: str
    index: int
    address: str  # dotted quad; "" while it has none
    prefix: int = 0
    is_up: bool = False
    is_loopback: bool = False
    is_virtual: bool = False  # no device behind it: bridge, veth, tap, container
    is_default_route: bool = False
