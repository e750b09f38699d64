"""What the recorder costs is what a trial says it does, in parts."""

import pytest

from slotbench.diagnostics import recorder
from slotbench.measure import recording


def test_the_parts_are_those_of_a_trials_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """By passes of known length: 2 µs of stamps, 3 of check, 4 that the id adds to a batch of 10."""
    monkeypatch.setattr(
        recording, "actor_s_per_request", lambda *, has_check: 2e-6 + 3e-6 * has_check
    )
    monkeypatch.setattr(
        recording,
        "server_s_per_request",
        lambda num_slots, collate, device, *, has_id: 1e-5 + 4e-6 * has_id,
    )
    found = recorder.costs()

    assert (found.stamps_s, found.check_s) == pytest.approx((2e-6, 3e-6))
    for server in found.servers:
        assert (server.adds_s, server.batch_s) == pytest.approx((4e-6, 1e-5))
        parts_s = found.stamps_s + found.check_s + server.adds_s
        assert parts_s == pytest.approx(
            recording.recording_cost_s(8, lambda rows: rows, None)
        )


def test_every_collate_is_timed_here() -> None:
    """Ours and tensordict's two at least; TorchRL's default where it is installed."""
    pytest.importorskip("torchrl")
    found = recorder.costs()

    assert [server.collate for server in found.servers] == [
        "slot",
        "slot[collate=lazy_stack]",
        "slot[collate=maybe_dense_stack]",
        "torchrl.slot",
    ]
    assert found.stamps_s > 0
    assert all(server.batch_s > 0 for server in found.servers)
