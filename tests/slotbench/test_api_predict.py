"""`slotbench.predict` and what a notebook does with it."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

import slotbench
from slotbench.errors import SlotbenchError
from slotbench.plots import draw_what_if

mpl.use("agg")
REFERENCE = Path(__file__).parents[2] / "results/reference"


def test_a_prediction_is_a_frame_a_table_and_a_plot(tmp_path: Path) -> None:
    """A row a combination, the best marked; read back as it was written."""
    found = slotbench.predict(
        [8, 16, 32], step_ms=1, policy_ms=2, min_batch=[1, "n*"], transport="slot"
    )
    frame = found.frame

    assert len(frame) == 6
    assert frame["is_balanced"].tolist() == [False, True] * 3
    assert frame.attrs["axes"] == ["num_envs", "min_batch_size"]
    best = frame[frame["is_best"]]
    assert best["num_envs"].tolist() == [8, 16, 32]
    assert [one.per_s for one in found.best] == best["per_s"].tolist()
    assert (frame["low"] < frame["per_s"]).all()
    assert "◀" in found._repr_html_()
    assert "8 environments" in repr(found)
    again = slotbench.load_prediction(found.to_json(tmp_path / "a.json"))
    assert again == found


def test_a_minimum_above_the_environments_is_cut_and_said() -> None:
    """To those of the smallest queue."""
    found = slotbench.predict(8, step_ms=1, policy_ms=1, min_batch=[1, 64])
    assert found.frame["min_batch_size"].tolist() == [1, 8]
    note = "A least batch of 64 is more than the 8 environments of a queue"
    assert found.record.notes[0].startswith(note)
    assert "least batch" not in str(slotbench.predict(64, step_ms=1, min_batch=64))


def test_the_plot_has_a_line_for_what_is_not_along_it() -> None:
    """Along what has the most values; each line with its bound, its numbers those of the frame."""
    found = slotbench.predict(
        [8, 16, 32, 64], step_ms=1, policy_ms=2, queues="own", servers=[1, 2]
    )
    ax = found.plot()

    assert ax.get_xlabel() == "envs"
    lines = {line.get_label(): line for line in ax.lines}
    labels = [label for label in lines if not str(label).startswith("_")]
    assert labels == ["servers 1", "servers 2"]
    one = found.frame[found.frame["num_servers"] == 1]
    assert lines[labels[0]].get_ydata().tolist() == one["per_s"].tolist()
    assert len(ax.lines) == 2 * len(labels)
    mpl.pyplot.close("all")


def test_more_lines_than_anybody_tells_apart_are_refused() -> None:
    """Thirteen of them; and a frame without a row."""
    one = slotbench.predict(8, step_ms=1, policy_ms=2).frame.iloc[[0] * 13 * 14]
    frame = one.assign(
        num_envs=[number // 13 for number in range(len(one))],
        timeout_ms=[number % 13 for number in range(len(one))],
    )
    frame.attrs["axes"] = ["num_envs", "timeout_ms"]
    with pytest.raises(SlotbenchError, match=r"13 lines are too many .* by timeout_ms"):
        draw_what_if(frame)
    lines = draw_what_if(frame[frame["timeout_ms"] < 12]).lines[::2]
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 12
    mpl.pyplot.close("all")
    with pytest.raises(SlotbenchError, match="no rows"):
        draw_what_if(frame[:0])


def test_the_command_does_the_same() -> None:
    """Its words are those that the command line takes."""
    found = slotbench.predict(
        [8, 16.0],
        step_ms=1.5,
        policy_ms=2,
        max_batch=64,
        min_batch=[1, "n*"],
        observation="uint8[4]",
        reset_every=1_000_000,
        reset_ms=1,
    )
    assert found.record.command == (
        *("slotbench", "predict", "--num-envs", "8,16", "--step-ms", "1.5"),
        *("--reset-every", "1000000", "--reset-ms", "1", "--policy-ms", "2"),
        *("--min-batch", "1,n*", "--max-batch", "64", "--observation", "uint8[4]"),
    )


def test_a_run_predicts_itself_and_others() -> None:
    """Its cells, with its own places; and from its times what was not measured."""
    run = slotbench.load("rl_pixels_8", results_dir=REFERENCE)
    frame = run.predictions
    assert set(frame["contender"]) == {
        *("threading", "slot", "slot[preallocate]", "torchrl.slot"),
        *("torchrl.slot[collate=lazy_stack]", "torchrl.threading[collate=lazy_stack]"),
    }
    assert frame["ratio"].between(0.5, 2).all()
    assert (frame["predicted_per_s"] / frame["measured_per_s"]).tolist() == pytest.approx(
        frame["ratio"].tolist()
    )
    more = run.predict(servers=[1, 2], num_envs=64)
    assert more.record.run == run.record.run_id
    assert more.frame["num_envs"].tolist() == [64, 64]
    assert "as calibrated there" in " ".join(more.record.notes)
    checked = slotbench.check_predictions([run])
    assert checked.frame["ratio"].tolist() == frame.sort_values("contender")[
        "ratio"
    ].tolist() or (sorted(checked.frame["ratio"]) == sorted(frame["ratio"]))
    assert "measured throughputs" in checked._repr_html_()


def test_real_environments_are_taken_by_their_quartiles() -> None:
    """Their steps as lognormal ones; it is said what is assumed of them."""
    run = slotbench.load("twin_cartpole", results_dir=REFERENCE)
    real = [
        one for one in run.record.scenario.cells if one.workload.environment is not None
    ]
    found = run.predict(real[0].name, num_envs=4)

    (row,) = found.record.rows
    assert row.step_distribution == "lognormal"
    assert row.step_sigma > 0
    assert row.step_mode == "busy"
    assert "hold the GIL" in " ".join(found.record.notes)


def test_what_was_never_checked_is_said() -> None:
    """Beyond the recorded number of threads, with several servers, without a transport."""

    def notes(**options: object) -> str:
        return " ".join(slotbench.predict(policy_ms=2, **options).record.notes)  # type: ignore[arg-type]

    assert "extrapolation" not in notes(num_envs=256, transport="slot")
    assert "2 cores under a GIL" in notes(num_envs=8, transport="slot")
    assert "lower bound" in notes(num_envs=257, transport="slot")
    assert "several servers" in notes(num_envs=8, transport="slot", servers=2)
    assert "No transport is in it" in notes(num_envs=8)


def test_progress_is_told_row_by_row() -> None:
    """How many are done, of how many."""
    told: list[tuple[int, int]] = []
    slotbench.predict(
        np.array([2, 4, 8]),
        policy_ms=1,
        on_progress=lambda state: told.append((state.num_done, state.num_trials)),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
