"""A consumer of the appliance's stream: a program, since nats-server listens on the loopback of its namespace.

    python stream.py FOLDER COUNT

FOLDER is nats-server's. Each message's body, a line each, in the stream's order, once there are COUNT of them.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Final

from nats.aio.client import Client

STREAM: Final = "DEPLOYMENT_EVENTS"
PAGE: Final = 100
DEADLINE_S: Final = 60.0


async def read(url: str, token: str, count: int) -> list[bytes]:
    """All bodies. TimeoutError: there are fewer than `count`."""
    client = Client()
    await client.connect(servers=[url], token=token, allow_reconnect=False)
    try:
        jetstream = client.jetstream()
        pull = await jetstream.pull_subscribe("", stream=STREAM)
        found: list[bytes] = []
        async with asyncio.timeout(DEADLINE_S):
            while len(found) < max(count, (await jetstream.stream_info(STREAM)).state.messages):
                messages = await pull.fetch(min(PAGE, max(1, count - len(found))), timeout=DEADLINE_S)
                found += [message.data for message in messages]
                for message in messages:
                    await message.ack()
        return found
    finally:
        await client.close()


def main(folder: Path, count: int) -> None:
    (url,) = {json.loads(file.read_text())["nats"][0] for file in folder.glob("ports/*.ports")}
    token = re.search(r'token: "([^"]+)"', (folder / "nats-server.conf").read_text())
    assert token is not None
    for body in asyncio.run(read(url, token[1], count)):
        print(body.decode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
