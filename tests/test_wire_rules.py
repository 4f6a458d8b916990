"""Every wire rule that concerns what is built has a test of ours that carries its id; the others say why not.

The rules are those of the project's wire rule list, sections 1 to 5: DHCP basics, PXE and proxy, iPXE, UEFI
HTTP boot, TFTP.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
SECTIONS: Final = {"D": 20, "P": 20, "I": 19, "H": 12, "T": 15}
RULES: Final = [f"{letter}{number}" for letter, count in SECTIONS.items() for number in range(1, count + 1)]

# Nothing is built yet that these could be about.
NOT_YET: Final = {
    "D12": "leases: full DHCP",
    "D13": "leases: full DHCP",
    "D15": "two address-giving servers: full DHCP",
    "D16": "INFORM: full DHCP",
    "D17": "NAK: full DHCP",
    "P8": "TFTP on another host: ours is always the answering one",
    "P10": "offers with an address: full DHCP",
    "I5": "offers with an address: full DHCP",
    "I16": "TLS",
    "I18": "LACP in the installer: the image's network setup",
}


@cache
def mentions() -> dict[str, list[str]]:
    """Rule -> the tests that carry its id, in a name (`test_P2_…`) or a docstring ("P2")."""
    found: dict[str, list[str]] = {}
    for file in [*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("vm-tests/test_*.py")]:
        if file.name == Path(__file__).name:
            continue
        for chunk in re.split(
            r"(?=^(?:async )?def test_|^    (?:async )?def test_)", file.read_text(), flags=re.MULTILINE
        ):
            name = re.match(r"\s*(?:async )?def (test_\w+)", chunk)
            if name is None:
                continue
            docstring = re.search(r'"""(.*?)"""', chunk, re.DOTALL)
            words = re.findall(r"[DPIHT]\d+", name[1].replace("_", " ")) + (
                re.findall(r"\b[DPIHT]\d+\b", docstring[1]) if docstring else []
            )
            for word in words:
                found.setdefault(word, []).append(f"{file.name}::{name[1]}")
    return found


def of_the_machines(test: str) -> bool:
    """Of what a machine does with an answer, whoever gave it: it would pass if our own broke the rule."""
    file = test.split("::", maxsplit=1)[0]
    return (ROOT / "tests/client" / file).exists() and file != "test_probe_appliance.py"


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in NOT_YET])
def test_a_rule_has_its_test(rule: str) -> None:
    ours = [test for test in mentions().get(rule, []) if not of_the_machines(test)]
    assert ours, f"no test of what the appliance answers carries {rule}"


def test_what_is_not_built_is_not_claimed() -> None:
    assert set(NOT_YET) <= set(RULES)


CODE_PATTERNS: Final = (
    r'Silence\(\s*code="([A-Z_]+)"',
    r'Notice\(\s*"([A-Z_]+)"',
    r'Refusal\(\s*"([A-Z_]+)"',
    r'Finding\(\s*"([A-Z_]{4,})"',  # probe's codes; its rule ids are checked above
    r'^NBP_WITHOUT_SCRIPT: Final = "([A-Z_]+)"',
)


def test_every_code_a_person_may_meet_is_in_the_trouble_page() -> None:
    sources = "".join(file.read_text() for file in (ROOT / "bootstrapd").rglob("*.py"))
    codes = {code for pattern in CODE_PATTERNS for code in re.findall(pattern, sources, re.MULTILINE)}
    written = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/trouble.md").read_text(), re.MULTILINE))
    assert len(codes) > 12
    assert codes == written
