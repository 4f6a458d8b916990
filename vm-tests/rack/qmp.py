"""QEMU's control socket: one command at a time, one answer each. QEMU connects to us: nothing is polled for."""

from __future__ import annotations

import contextlib
import json
import select
import socket
from pathlib import Path
from typing import Any

ANSWER_S = 10.0


class QmpError(RuntimeError):
    """QEMU refused a command."""


class Qmp:
    """Listens on `path` from the start; `accept` once QEMU runs."""

    def __init__(self, path: Path) -> None:
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._door.bind(str(path))
        self._door.listen(1)
        self._door.settimeout(ANSWER_S)

    def accept(self) -> None:
        self._socket, _ = self._door.accept()
        self._socket.settimeout(ANSWER_S)
        self._file = self._socket.makefile("rb")
        self._file.readline()
        self.ask("qmp_capabilities")

    def ask(self, command: str) -> Any:  # noqa: ANN401 - QMP's answers are any JSON
        """What QEMU returns; events in between are passed over."""
        if self._has_ended():  # it was started anew
            self._file.close()
            self._socket.close()
            self.accept()
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(json.dumps({"execute": command}).encode() + b"\n")
            for line in self._file:
                answer = json.loads(line)
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise QmpError(f"{command}: {answer['error']['desc']}")
        raise QmpError(f"{command}: QEMU has gone")

    def _has_ended(self) -> bool:
        """Whether the QEMU that we speak to is gone."""
        try:
            while select.select([self._socket], [], [], 0)[0]:
                if not self._file.readline():
                    return True
        except ConnectionError:  # it ended without having read all that we said
            return True
        return False

    def close(self) -> None:
        for thing in (getattr(self, "_file", None), getattr(self, "_socket", None), self._door):
            if thing is not None:
                thing.close()
