"""The registry: events in, state out; the same by replay; strangers bounded; the loop guard."""

from __future__ import annotations

from typing import Any

from builders import CLIENT, MAC, OTHER_MAC, STRANGER, ask
from hypothesis import given
from hypothesis import strategies as st

from bootstrapd.model import (
    Adopted,
    AnyEvent,
    BootAsked,
    ChainSent,
    Door,
    Enrolled,
    Forgotten,
    Hardware,
    Mac,
    Merged,
    Nic,
    Noticed,
    Refused,
    Registered,
    ScriptSent,
    Stage,
    State,
    TimedOut,
    TokenIssued,
    encode,
    event_decoder,
    plain,
)
from bootstrapd.policy.effects import GUARD_FETCHES, HOLD_S
from bootstrapd.policy.machine import Machine, begins_boot
from bootstrapd.policy.registry import STRANGERS, Registry


def asked(mac: Mac = MAC, at: float = 100.0, host: str = "cim-1", **fields: Any) -> BootAsked:
    given_fields = {
        "id": f"boot-{at}",
        "machine": mac.hex,
        "door": Door.DHCP,
        "stage": Stage.FIRMWARE,
        "arch": 7,
    }
    return BootAsked(mac=mac, at=at, host=host, **{**given_fields, **fields})


def of(mac: Mac = MAC, at: float = 101.0) -> dict[str, Any]:
    return {"id": f"e-{at}", "machine": mac.hex, "at": at}


def states(*events: AnyEvent) -> list[State | None]:
    registry = Registry()
    return [registry.apply(event).after for event in events]


def test_the_first_rows_of_a_life() -> None:
    assert states(
        asked(),
        ChainSent(**of(at=102), program="snponly.efi", door=Door.TFTP),
        ScriptSent(**of(at=103), template="image", image="installer"),
        Registered(**of(at=110), address=CLIENT, hardware=Hardware()),
        asked(at=500.0),
    ) == [State.ENROLLED, State.NETBOOTING, State.NETBOOTING, State.LIVE, State.ENROLLED]


def test_a_stranger_is_seen_until_a_host_claims_it() -> None:
    assert states(asked(host=""), Enrolled(**of(), host="cim-1")) == [State.SEEN, State.ENROLLED]


def test_a_machine_marked_ready_stays_ready_whatever_it_asks() -> None:
    assert (
        states(
            Adopted(**of(), host="cim-1", ready=True, mac=MAC),
            asked(at=200.0),
            ChainSent(**of(at=201), program="snponly.efi", door=Door.TFTP),
            asked(at=900.0),
        )
        == [State.READY] * 4
    )


def test_time_alone_ends_netbooting() -> None:
    assert (
        states(asked(), ChainSent(**of(), program="x", door=Door.TFTP), TimedOut(**of(at=900), reason="gone"))[
            -1
        ]
        is State.ENROLLED
    )


def test_a_renamed_host_is_the_same_machine() -> None:
    """A ready machine whose folder was renamed boots its own disk, and no installer."""
    assert states(Adopted(**of(), host="cim-1", ready=True, mac=MAC), Enrolled(**of(at=200), host="cim-2")) == [
        State.READY,
        State.READY,
    ]


def test_two_nics_of_one_host_are_one_machine() -> None:
    registry = Registry()
    registry.apply(asked())
    assert registry.find(OTHER_MAC, "cim-1") is registry.find(MAC)


def test_strangers_are_bounded_and_never_push_out_a_host() -> None:
    """The bar: 100,000 unknown MACs, memory bounded, known hosts there."""
    registry = Registry()
    registry.apply(asked())
    for number in range(100_000):
        mac = Mac.of(b"\x02\x00" + number.to_bytes(4, "big"))
        registry.apply(asked(mac, at=200.0 + number, host=""))
    assert len(registry.strangers) == STRANGERS
    assert len(registry.machines) == STRANGERS + 1
    assert len(registry.by_mac) == STRANGERS + 1
    found = registry.find(MAC)
    assert found is not None
    assert found.host == "cim-1"


def test_the_least_recently_seen_stranger_goes_first() -> None:
    registry = Registry()
    for number in range(STRANGERS):
        registry.apply(asked(Mac.of(b"\x02\x00" + number.to_bytes(4, "big")), host=""))
    first = Mac.of(b"\x02\x00" + bytes(4))
    second = Mac.of(b"\x02\x00\x00\x00\x00\x01")
    assert registry.find(first) is not None
    registry.apply(asked(STRANGER, host=""))
    assert registry.find(first) is not None
    assert registry.find(second) is None


def test_a_merged_record_is_gone_and_its_nics_are_the_others() -> None:
    registry = Registry()
    registry.apply(asked())
    registry.apply(asked(OTHER_MAC, host=""))
    registry.apply(Merged(**of(), other=OTHER_MAC.hex))
    assert list(registry.machines) == [MAC.hex]
    assert registry.find(OTHER_MAC) is registry.find(MAC)
    assert not registry.strangers


def test_a_forgotten_machine_leaves_nothing() -> None:
    registry = Registry()
    registry.apply(asked())
    registry.apply(TokenIssued(**of(), secret="s", overlay="o", address=CLIENT, expires=900.0))
    registry.apply(Forgotten(**of(at=300)))
    for table in (registry.machines, registry.by_mac, registry.by_host, registry.by_token, registry.by_overlay):
        assert not table


def fetched(times: int, start: float = 101.0) -> tuple[Registry, Machine]:
    registry = Registry()
    registry.apply(asked())
    for number in range(times):
        registry.apply(ChainSent(**of(at=start + number), program="snponly.efi", door=Door.TFTP))
    return registry, registry.machines[MAC.hex]


def test_I11_six_fetches_without_a_script_hold_the_machine_and_say_why() -> None:
    _, machine = fetched(6)
    assert machine.held_until == 101.0 + 5 + HOLD_S
    assert "Secure Boot" in machine.held
    assert machine.why == machine.held


def test_I11_five_fetches_do_not() -> None:
    assert fetched(5)[1].held == ""


def test_I11_a_script_request_ends_the_count() -> None:
    registry, machine = fetched(5)
    registry.apply(ScriptSent(**of(at=120), template="image", image="installer"))
    assert machine.fetches == []
    assert machine.held == ""


def test_I11_old_fetches_do_not_count() -> None:
    registry, machine = fetched(5)
    registry.apply(ChainSent(**of(at=400.0), program="snponly.efi", door=Door.TFTP))
    assert machine.fetches == [400.0]


def test_D14_a_retry_begins_no_boot() -> None:
    registry = Registry()
    registry.apply(asked())
    machine = registry.machines[MAC.hex]
    for secs in (0, 4, 12, 28):
        assert not begins_boot(machine, ask(secs=secs), 100.0 + secs)


def test_a_boot_begins_after_silence_or_after_a_script() -> None:
    registry = Registry()
    registry.apply(asked())
    machine = registry.machines[MAC.hex]
    assert begins_boot(machine, ask(), 221.0)
    registry.apply(ScriptSent(**of(at=110.0), template="image"))
    assert machine.boot is not None
    machine.boot.xids[Stage.FIRMWARE] = 1
    assert not begins_boot(machine, ask(xid=1), 112.0), "a late retry of the same packet"
    assert begins_boot(machine, ask(xid=2), 112.0)
    assert begins_boot(machine, ask(xid=1), 141.0), "no firmware retries for so long"
    assert not begins_boot(machine, ask(door=Door.HTTP), 112.0)


MACS = st.sampled_from([MAC, OTHER_MAC, STRANGER])
EVENTS = st.lists(
    st.one_of(
        st.builds(lambda m, h: asked(m, host=h), MACS, st.sampled_from(["", "cim-1", "cim-2"])),
        st.builds(lambda m: ChainSent(**of(m), program="p", door=Door.TFTP), MACS),
        st.builds(lambda m: ScriptSent(**of(m), template="image", image="i"), MACS),
        st.builds(
            lambda m, n: Registered(**of(m), address="a", hardware=Hardware(nics=(Nic(name="e", mac=n),))),
            MACS,
            MACS,
        ),
        st.builds(
            lambda m: TokenIssued(**of(m), secret=f"s{m}", overlay=f"o{m}", address="a", expires=1e9), MACS
        ),
        st.builds(lambda m, h: Enrolled(**of(m), host=h), MACS, st.sampled_from(["cim-1", "cim-2"])),
        st.builds(lambda m, r: Adopted(**of(m), host="cim-1", ready=r, mac=m), MACS, st.booleans()),
        st.builds(lambda m, o: Merged(**of(m), other=o.hex), MACS, MACS),
        st.builds(lambda m: Forgotten(**of(m)), MACS),
        st.builds(lambda m: Refused(**of(m), code="C", reason="r"), MACS),
        st.builds(lambda m: Noticed(**of(m), code="C", reason="r"), MACS),
        st.builds(lambda m: TimedOut(**of(m), reason="r"), MACS),
    ),
    max_size=25,
)


KEPT = ("id", "state", "macs", "host", "why", "fetches", "held", "held_until", "since", "address")


def snapshot(registry: Registry) -> Any:
    return [
        (
            plain(machine.boot.stages) if machine.boot else None,
            [token.secret for token in machine.tokens],
            *(getattr(machine, field) for field in KEPT),
        )
        for machine in registry
    ]


@given(EVENTS)
def test_replay_from_the_journal_ends_where_live_ended(events: list[AnyEvent]) -> None:
    live, replayed = Registry(), Registry()
    for event in events:
        live.apply(event)
    for line in [encode(event) for event in events]:
        replayed.apply(event_decoder().decode(line))
    assert snapshot(live) == snapshot(replayed)


@given(EVENTS)
def test_the_tables_agree_with_each_other(events: list[AnyEvent]) -> None:
    registry = Registry()
    for event in events:
        registry.apply(event)
    for mac, machine in registry.by_mac.items():
        assert registry.machines[machine.id] is machine
        assert mac in machine.macs
    for name, machine in registry.by_host.items():
        assert machine.host == name
        assert machine.id not in registry.strangers
    for machine in registry:
        assert bool(machine.host) != (machine.id in registry.strangers)
        if machine.host:
            assert registry.by_host[machine.host] is machine


def test_a_clock_that_was_ahead_blocks_nobody_after_a_restart() -> None:
    """Ten years ahead when it was written, right again now."""
    wrong = 1_000_000.0 + 10 * 365 * 86400
    registry = Registry()
    registry.apply(asked(at=wrong))
    for number in range(GUARD_FETCHES):
        registry.apply(ChainSent(**of(at=wrong + number), program="p", door=Door.TFTP))
    registry.apply(TokenIssued(**of(at=wrong), secret="s", overlay="o", address=CLIENT, expires=wrong + 900))
    registry.calm(1_000_000.0)
    machine = registry.machines[MAC.hex]
    assert machine.held_until <= 1_000_000.0 + HOLD_S
    assert machine.tokens[0].expires <= 1_000_000.0 + 900
    assert machine.last_seen <= 1_000_000.0
    assert machine.boot is not None
    assert machine.boot.last <= 1_000_000.0
