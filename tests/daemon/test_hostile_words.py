"""What a machine says of itself in a refused registration comes to a log, an event and a terminal harmless."""

from __future__ import annotations

import json

from builders import CLIENT, MAC, SERVER, World, host, registration, setup

from bootstrapd.model import Door, FileAsk, Refused, encode

EVIL = "\x00\n\r\x1b[31m\u202e../../$(id)`id`;|'\"\\${x}" * 8


async def test_a_boot_mac_of_control_characters_is_quoted_harmless_and_short() -> None:
    world = World(setup(host()))
    world.files.fetch(FileAsk(door=Door.HTTP, path=f"/boot/{MAC.hexhyp}.ipxe", server=SERVER, client=CLIENT))
    body = json.loads(registration(world.appliance.registry.by_mac[MAC].tokens[-1].secret))
    status, answer = await world.admissions.register(encode({**body, "boot_mac": EVIL[:256]}), CLIENT)
    assert status == 403
    told = world.told[-1].event
    assert isinstance(told, Refused)
    for words in (told.reason, json.loads(answer)["reason"]):
        assert words.isprintable()
        assert len(words) < 256
