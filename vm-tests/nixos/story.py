# What the stories' scripts share; it goes in front of each. `appliance` and `site` are nodes of every story.
# install_story.py has more, for those that install.
import json
import shlex
from typing import Any


def serve() -> None:
    """The site gives addresses, the appliance serves; also once more after the appliance lost its power."""
    site.start()
    appliance.start()
    site.wait_for_unit("dnsmasq.service")
    appliance.wait_for_unit("bootstrapd.service")


def asked(command: str) -> dict[str, Any]:
    """What the appliance answers to `bootstrapd <command> --json`."""
    answer: dict[str, Any] = json.loads(appliance.succeed(f"bootstrapd {command} --json"))
    return answer


def shown(host: str) -> dict[str, Any]:
    return asked(f"hosts show {host}")


def why(host: str) -> str:
    """The appliance's own sentence on where the host is."""
    return str(asked(f"hosts why {host}")["why"])


def holds(host: str, condition: str, timeout_s: int) -> None:
    """Wait until the jq condition is true of the host."""
    command = f"bootstrapd hosts show {host} --json | jq --exit-status {shlex.quote(condition)}"
    appliance.wait_until_succeeds(command, timeout=timeout_s)


def comes_to(host: str, state: str, timeout_s: int, through: tuple[str, ...] = ()) -> dict[str, Any]:
    """Wait until the host is in the state. An end that is another ends the story, with the appliance's reason;
    but not those in `through`: it goes on from there by itself."""
    ends = {state, "rejected", "failed", "drifted"} - set(through)
    holds(host, f".state | IN({', '.join(json.dumps(each) for each in sorted(ends))})", timeout_s)
    seen = shown(host)
    assert seen["state"] == state, f"{host} is {seen['state']}: {why(host)} {seen['failure']}"
    return seen
