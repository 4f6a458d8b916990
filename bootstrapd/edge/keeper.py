"""Runs one command and ends its process group when the appliance is gone, even by kill -9.

The leader of a step's session, started as a script by `edge.installer_process`, with the standard library only.
The appliance, and nothing else, holds the other end of a pipe, the lifeline: its end is the appliance's end.
PR_SET_PDEATHSIG would not do: it reaches one process, and nixos-anywhere without its leader goes on erasing.

    python keeper.py LIFELINE_FD GRACE_S COMMAND…     ends with the command's exit code, or 128 + signal
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading


def main(lifeline: int, grace_s: float, argv: list[str]) -> int:
    # A handler, not SIG_IGN: the command must not inherit it. TERM is for the group; its end is ours.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        command = subprocess.Popen(argv)
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", flush=True)  # noqa: T201 - its stdout is what the appliance reads
        return 127
    watch = threading.Thread(target=_watch, args=(lifeline, grace_s, command), daemon=True)
    watch.start()
    code = command.wait()
    return code if code >= 0 else 128 - code


def _watch(lifeline: int, grace_s: float, command: "subprocess.Popen[bytes]") -> None:
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        command.wait(grace_s)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
