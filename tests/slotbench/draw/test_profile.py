"""A profile in words, tables and JSON: the numbers of its record, and no sentence beyond them."""

import dataclasses
import json
import re
from typing import Any

import pytest
from rich.cells import cell_len

from slotbench.compute import ledger, profile
from slotbench.compute.phases import PHASES
from slotbench.draw import profile as drawn
from slotbench.draw.screen import Screen
from slotbench.errors import SlotbenchError
from slotbench.records import Finding, LockUse, Skipped, ToolFinding
from slotbench.store import StoredProfile
from tests.slotbench.support import altered, grids, profiles

ONE = (grids.cell(16),)
LAZY = "torchrl.slot[collate=lazy_stack]"


def shown(stored: StoredProfile, width: int = 100, **options: Any) -> str:
    return drawn.show(stored, Screen(width), **options)


def said(stored: StoredProfile, **options: Any) -> str:
    """All sentences of the one cell."""
    (cell,) = drawn.page(stored, **options).cells
    return " ".join(one.text for one in cell.sentences)


def table(stored: StoredProfile, title: str, **options: Any) -> drawn.Table:
    """The one table whose title begins so."""
    (cell,) = drawn.page(stored, **options).cells
    (found,) = [one for one in cell.tables if one.title.startswith(title)]
    return found


def column(found: drawn.Table, name: str) -> list[str]:
    place = found.header.index(name)
    return [row[place] for row in found.rows]


def test_the_opening_says_what_explains_the_gap() -> None:
    """Baseline against the fastest but the floor: ratio without probes, gap, shares of it."""
    assert said(profiles.stored(ONE)).startswith(
        "slot answers in 780 µs where threading takes 2.16 ms: 2.77× [2.77, 2.77] the throughput "
        "without probes; of the 1.38 ms between them, server busy explains 40 %, wake → actor "
        "running 29 %, collate 22 % and resolve 21 %; wait for batch takes 14 % back. The stamps' "
        "own cost is in these times: with them threading has 0.95× and slot has 0.95× the "
        "throughput without."
    )


def test_other_contenders_are_explained_on_demand() -> None:
    """Also the slower one second, and the floor."""
    text = said(profiles.stored(ONE), between=("slot", "threading"))
    assert text.startswith("threading answers in 2.16 ms where slot takes 780 µs: 0.36× [")
    assert "server busy explains 40 %" in text
    text = said(profiles.stored(ONE), between=("floor", "slot"))
    assert text.startswith("slot answers in 780 µs where floor takes 333 µs")
    text = said(profiles.stored(ONE), baseline="slot")
    assert text.startswith(f"{LAZY} answers in 1.79 ms where slot takes 780 µs")


def test_claims_are_held_against_what_was_counted() -> None:
    """The one that does not hold is said with its count; of the floor nothing is claimed."""
    text = said(profiles.stored(ONE))
    assert "Claims about slot hold here: submitting takes no shared lock, draining" in text
    assert (
        f"A claim about {LAZY} does not hold here: submitting takes no shared lock (1.00"
        in text
    )
    found = table(profiles.stored(ONE), "claims")
    assert column(found, "here") == [*["holds"] * 3, "does not hold", "holds", "holds"]
    uncounted = altered.failed(profiles.stored(ONE), "slot", passes=("locks",))
    found = table(uncounted, "claims")
    assert column(found, "here")[:3] == ["n/a", "n/a", "holds"]
    assert "slot hold here: no concurrent.futures.Future per request." in said(uncounted)


def test_a_difference_that_is_not_shown_explains_nothing() -> None:
    """Equal round trips have no shares; unequal ones that rounds do not tell apart neither."""
    stored = profiles.stored(ONE)
    for label in ("slot", "threading"):
        stored = altered.with_phases(stored, label, dict.fromkeys(PHASES, 100.0))
    text = said(stored)
    assert "no difference between these round trips is shown, and none explained." in text
    assert "explains" not in text
    assert set(
        column(table(stored, "from threading to slot: phases"), "share of the gap")
    ) == {"n/a"}


def test_a_contradiction_between_probed_and_unprobed_is_said() -> None:
    """More throughput without probes, and yet the longer round trip with them."""
    times = dict(zip(PHASES, profiles.TIMES_US["threading"], strict=True))
    stored = altered.with_phases(
        profiles.stored(ONE), "slot", {name: 2 * time for name, time in times.items()}
    )
    assert "Do not rely on these phases." in said(stored)
    assert "Do not rely" not in said(profiles.stored(ONE))


def test_only_phases_that_are_shown_to_differ_are_named() -> None:
    """A phase whose rounds do not agree stands in the table, and in no sentence."""
    stored = profiles.stored(ONE)
    wild = [
        altered.without_latency(
            dataclasses.replace(
                one, phases=_with_write(one.phases, (5e-4, 0.0, 1e-4)[one.trial.round])
            )
        )
        if one.phases is not None and one.trial.contender == "threading"
        else one
        for one in stored.trials
    ]
    found = dataclasses.replace(stored, trials=tuple(wild))
    rows = {row[0]: row for row in table(found, "from threading to slot: phases").rows}
    assert rows["write"][-1] == "12.3 %"
    assert "server busy explains 35 %" in said(found)
    assert "write" not in said(found)


def _with_write(phases: Any, time_s: float) -> Any:
    first, *others = phases.phases
    changed = (dataclasses.replace(first, mean_s=time_s), *others)
    whole = sum(one.mean_s for one in changed)
    return dataclasses.replace(
        phases,
        phases=changed,
        round_trip=dataclasses.replace(phases.round_trip, mean_s=whole),
    )


def test_one_round_has_no_intervals_and_says_so() -> None:
    """Numbers are shown without; the JSON has null."""
    stored = profiles.stored(ONE, rounds=1)
    text = said(stored)
    assert "2.77× the throughput without probes" in text
    assert "Only one round has numbers of both" in text
    assert set(
        column(table(stored, "from threading to slot: phases"), "95 % interval")
    ) == {"n/a"}
    assert column(table(stored, "contenders"), "with stamps") == ["0.95×"] * 4
    (cell,) = drawn.document(stored)["cells"]
    assert cell["contenders"][0]["throughput_per_s"]["low"] is None
    assert "nan" not in shown(stored).lower()


def test_a_contender_without_phases_is_told_so() -> None:
    """Its throughput still counts; the reason stands among the problems."""
    stored = altered.failed(profiles.stored(ONE), "slot")
    text = said(stored)
    assert text.startswith(
        "slot has 2.77× [2.77, 2.77] the throughput of threading without probes. No phases are "
        "known of slot: nothing can be explained."
    )
    assert "Without numbers to be used: 3 trials, see problems." in text
    assert table(stored, "phases of a request").rows[1] == ("2", "slot", *["n/a"] * 10)
    lines = shown(stored).splitlines()
    assert (
        "  slot: phases, round 2: failed: hung after 30 s"
        in lines[lines.index("problems") :]
    )
    assert not [
        one for one in drawn.page(stored).cells[0].tables if "phases, what" in one.title
    ]


def test_a_contender_without_any_number_is_no_rival() -> None:
    """The fastest of those that have numbers is explained instead."""
    everything = ("plain", "phases", "locks", "operations", "gil")
    stored = altered.failed(profiles.stored(ONE), "slot", passes=everything)
    assert said(stored).startswith(
        f"{LAZY} answers in 1.79 ms where threading takes 2.16 ms"
    )
    assert column(table(stored, "contenders"), "throughput")[1] == "n/a"
    between = said(stored, between=("threading", "slot"))
    assert between.startswith("No phases are known of slot: nothing can be explained.")
    assert json.loads(drawn.as_json(stored))["cells"][0]["contenders"][1]["phases"] == []


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("slot",), "Only slot was profiled: there is no difference to explain."),
        (
            ("slot", "floor"),
            "Only slot was profiled beside the floor: there is no difference",
        ),
        (("floor",), "No contender has numbers here: there is nothing to explain."),
    ],
)
def test_one_contender_has_no_difference(labels: tuple[str, ...], expected: str) -> None:
    """Its phases, ledger and locks are shown all the same."""
    stored = profiles.stored(ONE, labels=labels)
    assert said(stored).startswith(expected)
    text = shown(stored)
    assert "ledger, per request" in text
    (cell,) = drawn.page(stored).cells
    assert not [one for one in cell.tables if one.title.startswith("from ")]
    assert ("locks of slot" in text) == ("slot" in labels)
    assert drawn.document(stored)["cells"][0]["difference"] is None


def test_a_profile_without_trials_is_shown() -> None:
    """What it is, and that there is nothing yet."""
    text = shown(profiles.stored(rounds=0, status="running", num_trials=120))
    assert "· killed · 0 rounds · 0 trials of 120 planned" in text
    assert text.endswith("no trials yet\n")
    (first, _) = drawn.document(profiles.stored(rounds=0))["cells"]
    assert first["opening"] == "No contender has numbers here: there is nothing to explain."


def test_phases_sum_to_the_round_trip_and_show_what_probes_cost() -> None:
    """In one row each; the cost of the stamps stands beside each contender."""
    stored = profiles.stored(ONE)
    found = table(stored, "phases of a request")
    assert found.header == ("", "contender", *PHASES, "= round trip")
    assert found.rows[1] == (
        *("2", "slot", "7.00 µs", "4.00 µs", "196 µs", "65.0 µs", "13.0 µs", "76.0 µs"),
        *("25.0 µs", "113 µs", "281 µs", "780 µs"),
    )
    costs = table(stored, "contenders")
    assert column(costs, "with stamps") == ["0.95× [0.95, 0.95]"] * 4
    assert column(costs, "stamps add") == ["114 µs", "41.1 µs", "94.3 µs", "17.5 µs"]
    assert column(costs, "throughput")[1] == "20 500/s"


def test_every_row_of_the_ledger_is_there() -> None:
    """In its group; "n/a" where nothing counted it."""
    found = table(profiles.stored(ONE), "ledger, per request")
    assert column(found, "") == [row.title for row in ledger.ROWS]
    assert found.groups is not None
    groups = [found.groups[place] for place in sorted(found.groups)]
    assert groups == ["locks", "objects", "memory", "GIL", "threads"]
    row = dict(zip(column(found, ""), found.rows, strict=True))
    assert row["lock acquisitions"][1:] == ("9.20", "1.10", "8.40", "1.10")
    assert row["memory blocks allocated"][1:] == ("n/a",) * 4
    assert row["Python bytes held in flight"][1:] == ("1.40 kB", "420 B", "300 B", "n/a")
    assert row["time that the GIL is wanted"][1] == "71 %"
    assert row["CPU time of the server"][2] == "18.0 µs"
    counted = ToolFinding("memory", ONE[0].name, "slot", (), "", {"python_blocks": 12.5})
    found = table(profiles.stored(ONE, tools=[counted]), "ledger, per request")
    row = dict(zip(column(found, ""), found.rows, strict=True))
    assert row["memory blocks allocated"][1:] == ("n/a", "12.5", "n/a", "n/a")


def test_a_difference_is_sorted_by_what_it_explains() -> None:
    """Phases by their share, rows of the ledger by the time that they come to."""
    stored = profiles.stored(ONE)
    found = table(stored, "from threading to slot: phases")
    assert column(found, "phase")[:3] == ["server busy", "wake → actor running", "collate"]
    assert found.rows[0] == (
        *("server busy", "555 µs", "4.00 µs", "-551 µs", "[-578, -524] µs", "39.9 %"),
    )
    assert found.rows[-1][0] == "= round trip"
    assert found.rows[-1][-1] == "100 %"
    found = table(stored, "from threading to slot: ledger", full=True)
    assert found.rows[0][0] == "CPU time of the server"
    row = {one[0]: one for one in found.rows}
    # 8.1 acquisitions less, at 80 ns each.
    assert row["lock acquisitions"][3] == "-8.10"
    assert row["lock acquisitions"][-1] == "-648 ns"
    assert row["shared locks taken in submit"][-1] == ""
    assert "lock acquisitions that had to wait" in row
    assert "by itself" in found.notes[0]
    short = table(stored, "from threading to slot: ledger")
    assert short.rows == found.rows[:8]
    assert short.notes[-1] == f"and {len(found.rows) - 8} more rows, which --full shows"


def test_locks_stand_where_they_are_made() -> None:
    """Of the two that are explained; the most acquired place of each first; five unless all."""
    stored = profiles.stored(ONE)
    found = table(stored, "locks of threading")
    assert found.rows[0] == (
        *("shared_queue.py:142 ThreadingTransport.__init__", "mutex", "yes", "1"),
        *("submit 1.00, wait 0.200, drain 0.140", "0.0200", "2.00 µs"),
    )
    assert found.rows[1][3] == "1 000"
    assert "locks of floor" not in shown(stored)
    many = tuple(
        LockUse(f"f.py:{n} g", "mutex", 1, False, {"other": 1.0}, 0.0, 0.0)
        for n in range(7)
    )
    trials = tuple(
        dataclasses.replace(one, locks=many) if one.locks else one for one in stored.trials
    )
    crowded = dataclasses.replace(stored, trials=trials)
    found = table(crowded, "locks of slot")
    assert (len(found.rows), found.notes[-1]) == (
        5,
        "and 2 more places, which --full shows",
    )
    assert len(table(crowded, "locks of slot", full=True).rows) == 7


def test_what_was_left_out_is_said() -> None:
    """Failed, INVALID and unbelievable trials, skipped contenders, and tools that are missing."""
    stored = profiles.stored(
        ONE,
        skipped=(Skipped("m:f", "not installed"),),
        tools=[
            ToolFinding("flame", ONE[0].name, "slot", ("a.svg", "b.json"), "cut short"),
            ToolFinding("memory", "", "", (), "memray is not installed"),
        ],
    )
    lost = Finding("lost_reply", "INVALID", "1 lost", "check it")
    trials = list(stored.trials)
    for place, one in enumerate(trials):
        if (one.pass_name, one.trial.contender, one.trial.round) == ("gil", "slot", 0):
            trials[place] = dataclasses.replace(
                one, trial=dataclasses.replace(one.trial, findings=(lost,))
            )
        if one.phases is not None and one.trial.contender == LAZY:
            doubtful = dataclasses.replace(one.phases, num_unseen=4000)
            trials[place] = dataclasses.replace(one, phases=doubtful)
    text = shown(dataclasses.replace(stored, trials=tuple(trials)), 200)
    assert "Without numbers to be used: 4 trials, see problems." in text
    assert "  slot: gil, round 1: INVALID: 1 lost\n" in text
    assert f"  {LAZY}: phases, round 3: not believed: 4000 of 9000 requests" in text
    assert "skipped: m:f (not installed)" in text
    folder = "results/20261128T000000Z-quickstart-profile-abc123"
    where = f"(flame of slot in {ONE[0].name})"
    assert f"  {folder}/a.svg {where}\n  {folder}/b.json {where}\n" in text
    assert f"  flame of slot in {ONE[0].name}: cut short\n" in text
    assert "  memory: memray is not installed\n" in text


def test_timelines_are_named_with_their_cells_and_their_viewer() -> None:
    """One a cell; where some cells have none, nothing is claimed of whose they are."""
    names = ("timeline-1.json", "timeline-2.json")
    text = shown(profiles.stored(timelines=names), 200)
    folder = "results/20261128T000000Z-quickstart-profile-abc123"
    assert "timelines, which open in https://ui.perfetto.dev" in text
    assert f"  {folder}/timeline-2.json (num_slots=16, model.latency_ms=1.0)\n" in text
    assert f"  {folder}/timeline-1.json (timelines)\n" in shown(profiles.stored(), 200)
    assert "perfetto" not in shown(profiles.stored(timelines=()))


def test_each_phase_is_explained_once_for_all_cells() -> None:
    """Also by --full what each row of the ledger counts."""
    assert tuple(drawn.PHASE_TEXTS) == PHASES
    text = shown(profiles.stored(), 200)
    for name, meaning in drawn.phase_legend():
        assert (
            len(
                re.findall(
                    rf"^{re.escape(name)} +{re.escape(meaning)}$", text, re.MULTILINE
                )
            )
            == 1
        )
    assert ledger.ROWS[0].summary not in text
    full = shown(profiles.stored(), 200, full=True)
    for row in ledger.ROWS:
        assert row.summary in full
    assert full.count("phases of a request, percentiles") == 2


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200])
@pytest.mark.parametrize("full", [False, True])
def test_nothing_is_cut_at_any_width(width: int, full: bool) -> None:
    """No line is longer than the screen, and every number is on it."""
    stored = profiles.stored(ONE)
    lines = shown(stored, width, full=full).splitlines()
    assert max(map(cell_len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    for one in drawn.page(stored, full=full).cells[0].tables:
        for row in one.rows:
            for value in row[2:]:
                assert value in text


def test_phases_are_one_table_of_rows_at_100_columns() -> None:
    """Contenders by number; their phases beside each other, the sum at the end."""
    line = "2  7.00 µs  4.00 µs    196 µs   65.0 µs  13.0 µs  76.0 µs  25.0 µs   113 µs   281 µs   780 µs"
    assert line in shown(profiles.stored(ONE), 100).splitlines()
    narrow = shown(profiles.stored(ONE), 80).splitlines()
    assert "server busy             555 µs  4.00 µs   445 µs  1.70 µs" in narrow


@pytest.mark.parametrize("width", [60, 80, 100])
def test_many_contenders_stand_in_columns_still(width: int) -> None:
    """Closer to each other, or some below the others; never as words."""
    stored = _many(9)
    text = shown(stored, width)
    assert max(map(cell_len, text.splitlines())) <= width
    row = ledger.BY_NAME["cpu_server_s"].title
    lines = [line.split()[5:] for line in text.splitlines() if line.startswith(f"  {row}")]
    found = [" ".join(line).replace("µs", "").split() for line in lines]
    assert [number for line in found for number in line] == ["18.0"] * 9
    assert "1 18.0 µs" not in text


def _many(number: int) -> StoredProfile:
    """So many contenders, each as slot is."""
    one = profiles.stored(ONE, labels=("slot",))
    scenario = one.profile.scenario
    labels = [f"slot[x={n}]" for n in range(number)]
    contenders = tuple(
        dataclasses.replace(
            scenario.contenders[0], label=label, baseline=label == labels[0]
        )
        for label in labels
    )
    trials = tuple(
        dataclasses.replace(
            found,
            trial=dataclasses.replace(
                found.trial, contender=label, trial_id=f"{found.trial.trial_id}{label}"
            ),
        )
        for label in labels
        for found in one.trials
    )
    scenario = dataclasses.replace(scenario, contenders=contenders)
    return dataclasses.replace(
        one, profile=dataclasses.replace(one.profile, scenario=scenario), trials=trials
    )


def test_claims_of_many_contenders_are_said_together() -> None:
    """In one sentence where they are alike."""
    text = said(_many(3))
    assert text.count("Claims about") == 1
    assert "Claims about slot[x=0], slot[x=1] and slot[x=2] hold here: submitting" in text


@pytest.mark.parametrize("width", [60, 100, 140])
def test_labels_are_texts_of_any_length(width: int) -> None:
    """Brackets are no markup of rich's; a long label is folded, and never cut."""
    label = f"mine.module:factory[a=[bold]x[/bold],b=<b>&amp;,c={'0123456789' * 12}]"
    stored = altered.renamed(profiles.stored(ONE), {"slot": label})
    text = shown(stored, width)
    assert "".join(label.split()) in "".join(text.split())
    assert max(map(cell_len, text.splitlines())) <= width
    assert json.loads(drawn.as_json(stored))["cells"][0]["difference"]["second"] == label
    (cell, found) = drawn.explained(stored)[0]
    assert found is not None
    page = drawn.fragment(cell, found)
    assert "&lt;b&gt;&amp;amp;" in page
    assert "<b>" not in page


def test_colours_are_the_terminals_to_have() -> None:
    """Escape codes where they are understood, and nowhere else."""
    assert "\x1b[" in drawn.show(profiles.stored(ONE), Screen(100, color=True))
    assert "\x1b[" not in shown(profiles.stored(ONE))


def test_json_holds_every_number_unrounded() -> None:
    """As `slotbench.compute.profile` gives it; what is missing is null, what differs is sorted."""
    stored = profiles.stored()
    found = json.loads(drawn.as_json(stored))
    assert (found["schema"], found["schema_version"]) == ("slotbench.profile", 1)
    assert found["profile_id"] == stored.profile.profile_id
    assert (found["rounds"], found["num_trials_recorded"]) == (3, 120)
    assert [phase["name"] for phase in found["phases"]] == list(PHASES)
    assert [row["name"] for row in found["ledger"]] == [row.name for row in ledger.ROWS]
    expected = profile.cells(stored.profile, stored.trials)
    assert [cell["name"] for cell in found["cells"]] == [one.cell.name for one in expected]
    for cell, wanted in zip(found["cells"], expected, strict=True):
        for one, contender in zip(cell["contenders"], wanted.contenders, strict=True):
            assert one["label"] == contender.contender.label
            assert one["round_trip"]["time_s"]["mean"] == contender.round_trip.time_s.mean
            assert [x["time_s"]["low"] for x in one["phases"]] == [
                x.time_s.low for x in contender.phases
            ]
            assert one["ledger"].keys() == contender.ledger.keys()
            assert one["probe_ratio"]["ratio"] == contender.probe_ratio.point
            assert one["locks"] == [dataclasses.asdict(use) for use in contender.locks]
            assert [claim["holds"] for claim in one["claims"]] == [
                claim.holds for claim in contender.claims
            ]
        first = cell["difference"]["phases"][0]
        assert first["name"] == "server busy"
        assert first["share"] == pytest.approx(551 / 1380)
        assert cell["difference"]["ratio"]["ratio"] == pytest.approx(2160 / 780)
        assert "explains 40 %" in cell["opening"]
    again = drawn.document(stored)
    assert json.loads(json.dumps(again)) == found


def test_contenders_between_which_nothing_lies_are_refused() -> None:
    """Before a profile is made, too."""
    with pytest.raises(
        SlotbenchError, match="no contender 'x' in this profile: it has a, b"
    ):
        drawn.check_between(("a", "x"), ["a", "b"])
    with pytest.raises(SlotbenchError, match="nothing lies between 'a' and itself"):
        drawn.check_between(("a", "a"), ["a", "b"])
    drawn.check_between(("a", "b"), ["a", "b"])
    drawn.check_between(None, [])
    with pytest.raises(
        SlotbenchError, match="no cell 'x' in this profile: it has 'num_slots"
    ):
        drawn.page(profiles.stored(), cells=("x",))
    with pytest.raises(SlotbenchError, match="no contender 'x'"):
        drawn.page(profiles.stored(), baseline="x")


def test_a_profile_explains_what_it_was_made_for() -> None:
    """Shown again without saying so, and by reports."""
    asked = ("slot", "torchrl.slot[collate=lazy_stack]")
    stored = profiles.stored(ONE, between=asked)
    assert "from slot to torchrl.slot[collate=lazy_stack]: phases" in shown(stored)
    other = shown(stored, between=("threading", "slot"))
    assert "from threading to slot: phases" in other
    gone = profiles.stored(ONE, between=("slot", "torchrl.slot"))
    assert "from threading to slot: phases" in shown(gone)


def test_what_disturbed_a_profile_is_said() -> None:
    """How many trials a rule spoke of, with one of them."""
    stored = profiles.stored(ONE)
    busy = Finding("foreign_load", "DISTURBED", "others used 35 % of the CPUs", "wait")
    first, *rest = stored.trials
    trial = dataclasses.replace(first.trial, findings=(busy,))
    found = dataclasses.replace(
        stored, trials=(dataclasses.replace(first, trial=trial), *rest)
    )
    text = " ".join(shown(found).split())
    assert "DISTURBED: foreign_load spoke of 1 of 60 trials, such as: others used" in text
    assert "foreign_load" not in shown(stored)


def test_tools_that_were_asked_for_and_not_run_are_named() -> None:
    """After Ctrl-C, say."""
    ran = ToolFinding("flame", ONE[0].name, "slot", ("a.svg",), "")
    stored = profiles.stored(ONE, tools=[ran], asked_tools=("flame", "memory"))
    assert "not run: memory" in shown(stored)


def test_round_trips_that_contradict_throughput_are_not_to_be_relied_on() -> None:
    """Slot's stamped round trips are four times as long as its throughput allows."""
    stored = profiles.stored(ONE)
    slow = {n: 4 * us for n, us in zip(PHASES, profiles.TIMES_US["slot"], strict=True)}
    assert "do not agree" in said(altered.with_phases(stored, "slot", slow))
    assert "do not agree" not in said(stored)
