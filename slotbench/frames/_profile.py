"""What a profile found, contender by contender: phases, ledger, locks."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from slotbench.compute import ledger, profile
from slotbench.compute.phases import PHASES
from slotbench.compute.profile import ContenderProfile
from slotbench.compute.statistics import Mean, RatioEstimate
from slotbench.frames._place import tidy
from slotbench.records import PLACES

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.store import StoredProfile

_PHASES: Final = (
    *("contender", "phase", "position", "time_s", "time_low_s", "time_high_s"),
    *("p50_s", "p99_s", "num_rounds"),
    *("round_trip_s", "round_trip_low_s", "round_trip_high_s"),
    *("round_trip_p50_s", "round_trip_p99_s"),
    *("probe_ratio", "probe_ratio_low", "probe_ratio_high"),
    *("probe_cost_s", "probe_cost_low_s", "probe_cost_high_s"),
)
_LEDGER: Final = (
    *("contender", "row", "title", "group", "unit", "value", "value_low", "value_high"),
    *("num_rounds", "price_s"),
)

_LOCKS: Final = (
    *("contender", "where", "kind", "num_locks", "is_shared", "acquisitions"),
    *(f"acquisitions_{place}" for place in PLACES),
    *("waits", "waited_s"),
)


def phases_frame(stored: "StoredProfile", *, baseline: str | None = None) -> "pd.DataFrame":
    """One row per cell, contender and phase of a request, floors included.

    Columns: the place; contender; phase, and its position in a request's life from 1 on; time_s,
    mean over requests, then rounds, with time_low_s and time_high_s, its 95 % t interval; p50_s
    and p99_s, medians over rounds; num_rounds behind them. Then of the contender, alike in all
    its rows: round_trip_s, to which the phases' time_s sum, with its interval and percentiles;
    probe_ratio, throughput with the phases' stamps over that without, and probe_cost_s, what they
    add to the time between an actor's replies, with intervals. NaN where there is no such number
    (one round has no interval); no row where no pass saw the phases.
    """
    rows = [
        {"cell": cell, "contender": one.contender.label, **row}
        for cell, one in _contenders(stored)
        for row in _phase_rows(one)
    ]
    frame = tidy(stored, rows, ("cell", *_PHASES), baseline=baseline)
    numbers = [name for name in _PHASES if name.endswith("_s") or "ratio" in name]
    frame = frame.astype(dict.fromkeys(numbers, "float64"))
    frame.attrs["units"] = {name: "s" for name in _PHASES if name.endswith("_s")}
    return frame


def ledger_frame(stored: "StoredProfile", *, baseline: str | None = None) -> "pd.DataFrame":
    """One row per cell, contender and row of the ledger that was counted, floors included.

    Columns: the place; contender; row, with its title, group and unit ("" counts, "s", "B",
    "share", "threads") as in `slotbench.compute.ledger`; value, mean over rounds, per request
    but for shares and threads, with value_low and value_high, its 95 % t interval; num_rounds;
    price_s, CPU seconds that one costs by itself. NaN where there is no such number.
    """
    rows = [
        {
            "cell": cell,
            "contender": one.contender.label,
            "row": name,
            "title": ledger.BY_NAME[name].title,
            "group": ledger.BY_NAME[name].group,
            "unit": ledger.BY_NAME[name].unit,
            "value": found.mean,
            "value_low": found.low,
            "value_high": found.high,
            "num_rounds": found.num_trials,
            "price_s": one.prices_s.get(name),
        }
        for cell, one in _contenders(stored)
        for name, found in one.ledger.items()
    ]
    frame = tidy(stored, rows, ("cell", *_LEDGER), baseline=baseline)
    numbers = ("value", "value_low", "value_high", "price_s")
    frame = frame.astype(dict.fromkeys(numbers, "float64"))
    frame.attrs["units"] = {"price_s": "s"}
    return frame


def locks_frame(stored: "StoredProfile", *, baseline: str | None = None) -> "pd.DataFrame":
    """One row per cell, contender and place in its code that makes locks, the most acquired first.

    Columns: the place; contender; where, file, line and function; kind, "mutex" or "signal";
    num_locks; is_shared; acquisitions per request, and the part of them in each of `records.PLACES`, as
    acquisitions_submit and so on; waits, those that did not get the lock at once; waited_s,
    seconds per request. Of the first round: there is no interval.
    """
    rows = [
        {
            "cell": cell,
            "contender": one.contender.label,
            "where": use.where,
            "kind": use.kind,
            "num_locks": use.num_locks,
            "is_shared": use.is_shared,
            "acquisitions": sum(use.acquisitions.values()),
            **{
                f"acquisitions_{place}": use.acquisitions.get(place, 0.0)
                for place in PLACES
            },
            "waits": use.waits,
            "waited_s": use.waited_s,
        }
        for cell, one in _contenders(stored)
        for use in one.locks
    ]
    frame = tidy(stored, rows, ("cell", *_LOCKS), baseline=baseline)
    numbers = [name for name in _LOCKS if name.startswith(("acquisitions", "wait"))]
    frame = frame.astype(dict.fromkeys(numbers, "float64"))
    frame.attrs["units"] = {"waited_s": "s"}
    return frame


def _contenders(stored: "StoredProfile") -> Iterable[tuple[str, ContenderProfile]]:
    for cell in profile.cells(stored.profile, stored.trials):
        for one in cell.contenders:
            yield cell.cell.name, one


def _phase_rows(one: ContenderProfile) -> Iterable[dict[str, Any]]:
    whole = one.round_trip
    if whole is None:
        return
    of_contender = {
        **_mean("round_trip", whole.time_s),
        "round_trip_p50_s": whole.p50_s,
        "round_trip_p99_s": whole.p99_s,
        **_ratio("probe_ratio", one.probe_ratio),
        **_mean("probe_cost", one.probe_cost_s),
    }
    for found in one.phases:
        yield {
            "phase": found.name,
            "position": PHASES.index(found.name) + 1,
            **_mean("time", found.time_s),
            "p50_s": found.p50_s,
            "p99_s": found.p99_s,
            "num_rounds": found.time_s.num_trials,
            **of_contender,
        }


def _mean(name: str, found: Mean | None) -> dict[str, float | None]:
    return {
        f"{name}_s": None if found is None else found.mean,
        f"{name}_low_s": None if found is None else found.low,
        f"{name}_high_s": None if found is None else found.high,
    }


def _ratio(name: str, found: RatioEstimate | None) -> dict[str, float | None]:
    return {
        name: None if found is None else found.point,
        f"{name}_low": None if found is None else found.low,
        f"{name}_high": None if found is None else found.high,
    }
