"""A hosts folder as a person would write it."""

from pathlib import Path

from bootstrapd.model import Mac

MAC = Mac.parse("52:54:00:aa:bb:01")
OTHER = Mac.parse("52:54:00:aa:bb:02")


def put(folder: Path, path: str, text: str) -> None:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def host_text(mac: str = MAC) -> str:
    return f'profile = "minimal"\n[match]\nmac = ["{mac}"]\n'
