"""Who a machine is: any identity suffices, two hosts are a conflict, junk is nobody."""

from __future__ import annotations

import pytest
from builders import MAC, OTHER_MAC, STRANGER, host

from bootstrapd.model import clean_serial, clean_uuid, uuid_orders
from bootstrapd.policy.match import Conflict, index, match

UUID = "00112233-4455-6677-8899-aabbccddeeff"


def test_any_identity_suffices() -> None:
    one = host("cim-1", MAC, uuid=UUID, serial="SN12345")
    by = index([one])
    assert match(by, MAC) is one
    assert match(by, STRANGER, UUID) is one
    assert match(by, STRANGER, "", "SN12345") is one
    assert match(by, STRANGER) is None


def test_P15_a_uuid_matches_in_either_byte_order() -> None:
    one = host("cim-1", MAC, uuid=UUID)
    assert match(index([one]), STRANGER, "33221100-5544-7766-8899-aabbccddeeff") is one
    swapped = "33221100-5544-7766-8899-aabbccddeeff"
    assert uuid_orders(UUID) == uuid_orders(swapped) == (UUID, swapped)
    assert uuid_orders("") == ()


def test_identities_of_two_hosts_are_a_conflict_never_a_guess() -> None:
    found = match(index([host("cim-1", MAC), host("cim-2", OTHER_MAC, uuid=UUID)]), MAC, UUID)
    assert isinstance(found, Conflict)
    assert "cim-1" in found.reason
    assert "cim-2" in found.reason


@pytest.mark.parametrize(
    "junk",
    ["", "0" * 8 + "-0000-0000-0000-" + "0" * 12, "f" * 8 + "-ffff-ffff-ffff-" + "f" * 12, "not-a-uuid",
     "03000200-0400-0500-0006-000700080009"],
)  # fmt: skip
def test_P14_junk_uuids_identify_nothing(junk: str) -> None:
    assert clean_uuid(junk) == ""


@pytest.mark.parametrize(
    "junk", ["", " ", "To be filled by O.E.M.", "Default string", "0000000", "None", "xxxx"]
)
def test_P14_junk_serials_identify_nothing(junk: str) -> None:
    assert clean_serial(junk) == ""


def test_P15_a_uuid_that_reads_the_same_both_ways_is_one_claim() -> None:
    same = "11111111-2222-3333-8899-aabbccddeeff"
    one = host("cim-1", MAC, uuid=same)
    assert match(index([one]), STRANGER, same) is one
