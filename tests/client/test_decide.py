"""What firmware takes, against what real firmware took: every recording of FIRMWARE.md 4, table-driven."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from bootstrapd.client import decide, personas
from bootstrapd.client.steps import AskBootServer, GiveUp, TakeFile

from .captures import GOLDEN, HTTP_CLIENT, PXE_CLIENT, TAKE_THIS, answer, load, site

E16 = "PXE-E16: No valid offer received."
NONE = "Nothing to boot"
OURS = "10.77.0.2"
# The tables of FIRMWARE.md 4: variant -> (what edk2 did, what iPXE did). "name" is a file loaded from OURS,
# "name@server" from another; a sentence is the screen's; * = port 4011 was asked.
OUTCOMES = {
    "01_offer_file_si_o60_o43d8_no4011": ("nbp", "nbp"),
    "02_offer_file_si_o60_no43_no4011": (f"*{E16}", "nbp"),
    "03_offer_file_si_o60_no43_4011ack": ("*nbp", "nbp"),
    "04_offer_nofile_o60_no43_4011ack_file": ("*nbp", "*nbp"),
    "05_offer_nofile_o60_o43d8_4011ack_file": ("PXE-E21: Remote boot cancelled.", "*nbp"),
    "06_offer_file_si_NO60_no43": (E16, NONE),
    "07_offer_file_si_NO60_o43d8": (E16, NONE),
    "08_offer_o66o67_si0_o60_o43d8": ("nbp", f"*{NONE}"),
    "09_offer_o67only_siaddr_o60_o43d8": ("nbp", "nbp"),
    "10_offer_file_si0_o60_o43d8_o54": ("nbp", ""),
    "11_offer_file_si0_snameIP_o60_o43d8": ("nbp", f"*{NONE}"),
    "12_4011ack_dport68": (f"*{E16}", "*nbp"),
    "13_4011ack_sport67": ("*nbp", f"*{NONE}"),
    "14_4011_type_OFFER": ("*nbp", "*nbp"),
    "15_4011_no_o54": ("*nbp", "*nbp"),
    "16_4011_no_o60": ("*nbp", "*nbp"),
    "17_offer_no_o97": ("nbp", "nbp"),
    "18_offer_l2_unicast_mac": ("nbp", "nbp"),
    "19_offer_no_o54": (E16, "nbp"),
    "20_proxy_delay_1.0": ("nbp", "nbp"),
    "21_proxy_delay_3.5": ("nbp", NONE),
    "22_proxy_delay_4.5": ("nbp", NONE),
    "23_site_delay_1_proxy_first": ("nbp", "nbp"),
    "24_site_delay_3.5_proxy_first": ("nbp", "nbp"),
    "25_site_delay_6_proxy_first": ("nbp", "nbp"),
    "26_two_proxies_A_first": ("nbp", "nbp"),
    "27_two_proxies_B_first": ("second.efi@10.77.0.3", "second.efi@10.77.0.3"),
    "28_site_has_file_no60_plus_proxy": ("nbp", "second.efi@10.77.0.3"),
    "29_site_has_file_o60_plus_proxy": (f"*{E16}", "second.efi@10.77.0.3"),
    "30_site_full_file_no60_only": ("nbp", "nbp"),
    "31_site_full_o66o67_no60_only": ("snponly.efi@10.77.0.1", NONE),
    "32_site_o60_on_dhcp_nofile_4011_on_proxyIP": (f"*{E16}", f"*{NONE}"),
    "33_offer_menu_timeout0_4011": ("PXE-E99: Unexpected network error.", f"*{NONE}"),
    "34_offer_menu_dnsmasq_style_type0": ("*nbp", "*nbp"),
    "35_url_in_pxe_offer": ("http://10.77.0.2/snponly.efi", "http://10.77.0.2/snponly.efi"),
    "36_tftp_url_in_pxe_offer": ("tftp://10.77.0.2/snponly.efi", "tftp://10.77.0.2/snponly.efi"),
    "37_noproxy_at_all": (E16, NONE),
    "38_reply_only_to_REQUEST_on_67": (E16, NONE),
    "39_4011_silent": (f"*{E16}", f"*{NONE}"),
    "40_offer_file_o60_o13": ("nbp", "nbp"),
    "41_site_file_o60_HTTPClient_noise": (E16, NONE),
    "42_offer_o60_full_string_Arch": (f"*{E16}", "nbp"),
    "43_4011_bcast_flag_reply_broadcast": ("*nbp", "*nbp"),
    "44_yiaddr0_site_nak": ("nbp", "nbp"),
}
HTTP_ACCEPTED = {
    "h01_proxy_o60_file": True,
    "h02_proxy_o60_o67": True,
    "h03_proxy_NO60_file": False,
    "h04_proxy_o60PXEClient_file": False,
    "h05_full_NO60_file": False,
    "h06_full_o60_o67": True,
    "h07_full_o60_file": True,
    "h08_proxy_delay2_o60_file": True,
    "h09_proxy_first_site_delay2": True,
    "h10_proxy_o60_file_siaddr": True,
    "h11_proxy_o60_nofile_4011": False,
    "h12_proxy_o60_file_no54": False,
    "h13_proxy_o60_HTTPClientArch": True,
    "h14_full_o66o67_tftp_names": False,
    "h15_proxy_hostname_url_o6_on_site": True,
}
ROWS = [
    (f"{firmware}_{name}", outcome)
    for name, (edk2, ipxe) in OUTCOMES.items()
    for firmware, outcome in (("edk2", edk2), ("ipxe", ipxe))
    if outcome  # iPXE 10 was seen, and not recorded
]


def test_every_recording_has_its_row() -> None:
    rows = {name for name, _ in ROWS} | {f"http_{name}" for name in HTTP_ACCEPTED}
    assert rows == {path.stem for path in GOLDEN.glob("*.pcap")}


@pytest.mark.parametrize(("name", "outcome"), ROWS)
def test_recorded_pxe_and_ipxe(name: str, outcome: str) -> None:
    """P1 P2 P3 P7 P10 P18 D4 D20 I4 I6: the outcome of each recorded variant."""
    talk = load(name).talk()
    default = "snponly.efi" if name.startswith("edk2") else "boot.ipxe"
    match talk.step:
        case TakeFile(server, file):
            said = (
                "nbp" if (server, file) == (OURS, default) else file if server == OURS else f"{file}@{server}"
            )
        case GiveUp(error):
            said = error
        case other:
            pytest.fail(f"not an end: {other}")
    assert ("*" if talk.asked else "") + said == outcome


@pytest.mark.parametrize("name", [name for name, _ in ROWS])
def test_the_machine_of_the_recording_loaded_that_file_then(name: str) -> None:
    """The tables were written by people; the packets were not."""
    recording = load(name)
    talk = recording.talk()
    assert bool(talk.asked) == bool(recording.requests)
    if recording.fetched is None:  # nothing, or over HTTP, where there was no server
        if not isinstance(talk.step, GiveUp):
            assert isinstance(talk.step, TakeFile)
            assert talk.step.file.startswith("http:")
        return
    server, file, at_s = recording.fetched
    assert isinstance(talk.step, TakeFile)
    is_url = recording.persona.is_ipxe and "://" in talk.step.file
    assert (server, file) == (talk.step.server, urlsplit(talk.step.file).path[1:] if is_url else talk.step.file)
    assert talk.step.at_s == pytest.approx(
        at_s, abs=1.3
    )  # edk2 rests 1 s after 4011; emulated machines are slow


@pytest.mark.parametrize(("name", "accepted"), HTTP_ACCEPTED.items())
def test_recorded_http_boot(name: str, accepted: bool) -> None:
    """H1 H2 H3 H4 H5: UEFI HTTP boot takes the offer, or retries for ever."""
    recording = load(f"http_{name}")
    talk = recording.talk()
    assert (recording.fetched is not None) is accepted
    assert not talk.asked
    if not accepted:
        assert isinstance(talk.step, GiveUp)
        return
    assert isinstance(talk.step, TakeFile)
    assert recording.fetched is not None
    assert urlsplit(talk.step.file).path == recording.fetched[1]
    assert talk.step.at_s == pytest.approx(recording.fetched[2], abs=1.3)


PRIORITY = (175, b"\x01\x01\x01")


@pytest.mark.parametrize("priority", [1, 127])
def test_I6_priority_outranks_the_sites_file(priority: int) -> None:
    """FIRMWARE.md 10: 28 with option 175.1 in the proxy's offer boots ours, in both builds."""
    ours = answer(PXE_CLIENT, (175, bytes((1, 1, priority))), file=b"boot.ipxe")
    theirs = site(file=b"second.efi")
    step = decide.after_offers(personas.ipxe_rom(), [theirs, ours])
    assert isinstance(step, TakeFile)
    assert step.file == "boot.ipxe"


def test_I6_not_if_the_site_also_says_PXEClient() -> None:
    """FIRMWARE.md 10: 29 with priority 1 boots the site's: with it in hand iPXE waits for nobody."""
    theirs = answer(
        PXE_CLIENT, source="10.77.0.1", yiaddr="10.77.0.150", siaddr="10.77.0.3", file=b"second.efi"
    )
    ours = answer(PXE_CLIENT, PRIORITY, at_s=0.02, file=b"boot.ipxe")
    step = decide.after_offers(personas.ipxe_rom(), [theirs, ours])
    assert isinstance(step, TakeFile)
    assert (step.server, step.file) == ("10.77.0.3", "second.efi")


def test_I5_no_pxedhcp_waits_for_nobody() -> None:
    full = site(file=b"http://10.77.0.1/x.ipxe", at_s=0.1)
    told = answer(
        (175, b"\xb0\x01\x01"), source="10.77.0.1", yiaddr="10.77.0.150", file=b"http://10.77.0.1/x.ipxe"
    )
    assert decide.after_offers(personas.ipxe_rom(), [full]).at_s == 3.0
    assert decide.after_offers(personas.ipxe_rom(), [told]).at_s == told.at_s


def test_a_second_boot_server_is_asked_when_the_first_is_silent() -> None:
    """edk2 tries every PXEClient offer without tags, in order of arrival."""
    persona = personas.edk2_pxe(7)
    first = answer(PXE_CLIENT, source="10.77.0.3", siaddr="10.77.0.3")
    second = answer(PXE_CLIENT, at_s=0.02)
    step = decide.after_offers(persona, [site(), first, second])
    assert isinstance(step, AskBootServer)
    assert step.server == "10.77.0.3"
    step = decide.after_boot_server(persona, step, [])
    assert isinstance(step, AskBootServer)
    assert (step.server, step.at_s) == ("10.77.0.2", 14.0)


def test_ipxe_falls_back_to_the_sites_file_when_4011_is_silent() -> None:
    persona = personas.ipxe_rom()
    theirs = answer(source="10.77.0.1", yiaddr="10.77.0.150", siaddr="10.77.0.1", file=b"site.ipxe")
    step = decide.after_offers(persona, [theirs, answer(PXE_CLIENT, siaddr="0.0.0.0")])
    assert isinstance(step, AskBootServer)
    fallen = decide.after_boot_server(persona, step, [])
    assert isinstance(fallen, TakeFile)
    assert fallen.file == "site.ipxe"
    assert fallen.at_s == pytest.approx(4.01)


def test_a_dhcp_server_with_tags_needs_nobody_else() -> None:
    """P1: a full DHCP server that says PXEClient with 43.8 is edk2's first choice."""
    full = answer(
        PXE_CLIENT, TAKE_THIS, source="10.77.0.1", yiaddr="10.77.0.150", siaddr="10.77.0.1", file=b"a.efi"
    )
    proxy = answer(PXE_CLIENT, TAKE_THIS, at_s=0.001, file=b"b.efi")
    step = decide.after_offers(personas.edk2_pxe(7), [proxy, full])
    assert isinstance(step, TakeFile)
    assert step.file == "a.efi"


def test_H4_a_name_in_the_url_needs_the_sites_dns() -> None:
    named = answer(HTTP_CLIENT, file=b"http://boot.lan/x.efi")
    http = personas.edk2_http(16)
    assert isinstance(decide.after_offers(http, [site(), named]), GiveUp)
    with_dns = answer((6, b"\n\x4d\0\1"), source="10.77.0.1", yiaddr="10.77.0.150", siaddr="0.0.0.0")
    assert isinstance(decide.after_offers(http, [with_dns, named]), TakeFile)


def test_a_bios_rom_says_what_roms_say() -> None:
    rom = personas.bios_rom()
    nobody = decide.after_offers(rom, [])
    assert isinstance(nobody, GiveUp)
    assert nobody.error.startswith("PXE-E51")
    silent = decide.after_offers(rom, [site(), answer(PXE_CLIENT)])
    assert isinstance(silent, AskBootServer)
    given_up = decide.after_boot_server(rom, silent, [])
    assert isinstance(given_up, GiveUp)
    assert given_up.error.startswith("PXE-E55")
    taken = decide.after_offers(rom, [site(), answer(PXE_CLIENT, TAKE_THIS, file=b"undionly.kpxe")])
    assert isinstance(taken, TakeFile)
