"""Names and URLs of any kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrapd.client import decide, personas, rules, surroundings, urls
from bootstrapd.client.rules import Talk

from .captures import HTTP_CLIENT, MAC, PXE_CLIENT, TAKE_THIS, answer, site


@pytest.mark.parametrize(
    ("base", "target", "joined"),
    [
        ("http://a/x/y.ipxe", "z.ipxe", "http://a/x/z.ipxe"),
        ("http://a:8080/x/y.ipxe?m=1", "/z", "http://a:8080/z"),
        ("tftp://a/y.ipxe", "../../z", "tftp://a/z"),
        ("tftp://a/n/y.efi", "autoexec.ipxe", "tftp://a/n/autoexec.ipxe"),
        ("http://a/x", "http://b/y", "http://b/y"),
        ("http://a/x", "file://ESP/y", "file://ESP/y"),
    ],
)
def test_join(base: str, target: str, joined: str) -> None:
    assert urls.join(base, target) == joined


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        ("http://10.0.0.2/a", True),
        ("http://10.0.0.2:8080/a", True),
        ("http://boot.lan/a", False),
        ("http://10.0.0/a", False),
        ("http://[/a", False),
        ("a.efi", False),
    ],
)
def test_H4_addresses(url: str, is_one: bool) -> None:
    assert urls.has_address(url) is is_one


@pytest.mark.parametrize("persona", [personas.edk2_pxe(7), personas.edk2_http(16), personas.ipxe_rom()])
@given(name=st.text(st.sampled_from("htp:/[].@0a\\ %?#"), max_size=30).map(lambda tail: f"http{tail}"))
def test_no_file_name_breaks_the_judgement(persona: personas.Persona, name: str) -> None:
    offers = (site(), *(answer(kind, TAKE_THIS, file=name.encode()) for kind in (PXE_CLIENT, HTTP_CLIENT)))
    step = decide.after_offers(persona, offers)
    talk = Talk(persona=persona, mac=MAC, offers=offers, step=step)
    assert rules.findings(talk) is not None
    assert surroundings.findings(talk) is not None
