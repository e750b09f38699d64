"""What `slotbench.predict` supposes: what was given, what a run says where nothing was, and defaults."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from slotbench.compute import advice, demands, predictions, transport_costs, twins, what_if
from slotbench.compute.what_if import (
    AXES,
    BALANCED,
    MEASURED_ENVS,
    NO_TRANSPORT,
    Axis,
    Basis,
)
from slotbench.draw import units
from slotbench.errors import SlotbenchError
from slotbench.records import Cell
from slotbench.scenario import advised

if TYPE_CHECKING:
    from slotbench.api._run import Run

_DEFAULTS: Final[Mapping[str, tuple[Any, ...]]] = {
    "step_ms": (0.0,),
    "step_distribution": ("lognormal",),
    # A coefficient of variation of advise's default.
    "step_sigma": (math.sqrt(math.log1p(advised.DEFAULT_CV**2)),),
    "reset_every": (0,),
    "reset_ms": (0.0,),
    "policy_ms": (0.0,),
    "policy_per_item_ms": (0.0,),
    "policy_distribution": ("constant",),
    "policy_sigma": (0.5,),
    "transport": (NO_TRANSPORT,),
    "queues": ("shared",),
    "num_servers": (1,),
    "max_batch_size": (advice.DEFAULT_RULE.max_batch_size,),
    "min_batch_size": (advice.DEFAULT_RULE.min_batch_size,),
    "timeout_ms": (advice.DEFAULT_RULE.timeout_ms,),
}
_MODES: Final = ("idle", "busy", "busy_nogil")
_MOSTLY: Final = 0.5
"""Share of a real environment's step, from which on computing it is called busy."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is supposed.

    Attributes:
        basis: what all rows have in common.
        values: what each field of a row may be.
        cell: of the run that times were taken from; "" without one.
        notes: what a reader must know, a sentence each.
    """

    basis: Basis
    values: what_if.Values
    cell: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a run says where nothing was given.

    Attributes:
        values: field of a row → its one value: times and the batching rule.
        step_mode: how its environments spend a step.
        pace: of its machine.
        num_cpus: that its trials could use; None where that is not known.
        cell: that all is of; its observation stands, too.
        notes: what a reader must know, a sentence each.
    """

    values: Mapping[str, tuple[Any, ...]]
    step_mode: str
    pace: predictions.Pace
    num_cpus: int | None
    cell: Cell
    notes: tuple[str, ...]


def plan(
    given: Mapping[str, Any],
    options: Mapping[str, Any],
    observation: Sequence[str],
    run: "Run | None",
    cell: str | None,
) -> Plan:
    """Put together what was given with what a run and the defaults say.

    Args:
        given: field of a row → a value, several, or None.
        options: "step_mode", "cpus" and "max_latency_ms", or None.
        observation: leaves, as text; () is none given.
        run: to take times from; None is none.
        cell: of it, by name; None where it has only one.

    Raises:
        SlotbenchError: a value that is none, or one that is missing.
    """
    fitted = transport_costs.load()
    taken = None if run is None else _taken(run, cell)
    values = {
        axis.field: _values(axis, given[axis.field])
        for axis in AXES
        if given[axis.field] is not None
    }
    own = set(values)
    values = {**_DEFAULTS, **({} if taken is None else taken.values), **values}
    _check_sense(values, own, set(fitted.costs))
    mode = options["step_mode"] or (taken.step_mode if taken else "idle")
    if mode not in _MODES:
        raise _unknown("--step-mode", mode, _MODES)
    cpus = options["cpus"]
    if cpus is not None and not 1 <= cpus <= what_if.MAX_ENVS:
        raise SlotbenchError(f"--cpus {cpus}: give a number from 1 to {what_if.MAX_ENVS}")
    latency_ms = options["max_latency_ms"]
    if latency_ms is not None and not 0 < latency_ms <= 60_000:
        raise SlotbenchError(
            f"--max-latency-ms {latency_ms:g}: give a number above 0, up to 60000"
        )
    leaves = advised.observation(observation or (advised.DEFAULT_OBSERVATION,))
    if taken is not None and not observation:
        leaves = taken.cell.workload.observation.leaves
    pace = predictions.Pace(fitted.assumed_pace, is_known=False)
    basis = Basis(
        step_mode=mode,
        leaves=leaves,
        num_cpus=cpus if cpus is not None or taken is None else taken.num_cpus,
        fitted=fitted,
        pace=(taken.pace if taken else pace).factor,
        is_pace_known=taken is not None and taken.pace.is_known,
        max_latency_s=None if latency_ms is None else latency_ms / 1e3,
    )
    return Plan(
        basis,
        values,
        "" if taken is None else taken.cell.name,
        (*(() if taken is None else taken.notes), *_warnings(basis, values)),
    )


def _values(axis: Axis, given: Any) -> tuple[Any, ...]:
    """One value or several, each checked, none twice; NumPy's and pandas' are as good."""
    if hasattr(given, "tolist"):
        given = given.tolist()
    some = given if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    if not some:
        raise SlotbenchError(f"{axis.option}: give at least one value")
    return tuple(dict.fromkeys(_value(axis, one) for one in some))


def _value(axis: Axis, given: Any) -> Any:
    if axis.field == "min_batch_size" and given == BALANCED:
        return BALANCED
    if axis.kind is str:
        if axis.names and given not in axis.names:
            raise _unknown(axis.option, str(given), axis.names)
        return str(given)
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if is_number and axis.least <= given <= axis.most and axis.kind(given) == given:
        return axis.kind(given)
    what = "a whole number" if axis.kind is int else "a number"
    more = f", or {BALANCED}" if axis.field == "min_batch_size" else ""
    shown = f"{given:g}" if is_number else repr(given)
    raise SlotbenchError(
        f"{axis.option} {shown}: give {what} from {axis.least:g} to {axis.most:g}{more}"
    )


def _check_sense(
    values: Mapping[str, tuple[Any, ...]], given: set[str], known: set[str]
) -> None:
    """Refuse what is missing, unknown, or says nothing without something else.

    Args:
        values: of every field, but what has no default.
        given: fields that the user gave.
        known: contenders whose costs were fitted.
    """
    if "num_envs" not in values:
        raise SlotbenchError("how many environments? give --num-envs")
    for one in values["transport"]:
        if one != NO_TRANSPORT and one not in known:
            raise _unknown("--transport", one, (NO_TRANSPORT, *sorted(known)))
    if {"step_distribution", "step_sigma"} & given and not any(values["step_ms"]):
        raise SlotbenchError("a spread of step times needs their mean: give --step-ms")
    if any(values["reset_every"]) != any(values["reset_ms"]):
        raise SlotbenchError("--reset-every and --reset-ms belong together: give both")
    for spread, sigma, option in (
        ("step_distribution", "step_sigma", "--step"),
        ("policy_distribution", "policy_sigma", "--policy"),
    ):
        if sigma in given and "lognormal" not in values[spread]:
            raise SlotbenchError(
                f"{option}-sigma is of lognormal times: give {option}-distribution lognormal"
            )
        if sigma not in given and "lognormal" in values[spread] and not any(values[sigma]):
            raise SlotbenchError(f"lognormal times need a width: give {option}-sigma")


def _unknown(option: str, value: str, names: Sequence[str]) -> SlotbenchError:
    near = difflib.get_close_matches(value, names, n=2, cutoff=0.4) or names
    return SlotbenchError(f"{option} {value!r}: did you mean {' or '.join(near)}?")


def _taken(run: "Run", name: str | None) -> _Taken:
    """Times, batching rule, processors and pace as a run has them."""
    stored, fitted = run.stored, transport_costs.load()
    cell = _cell(run, name)
    workload, think = cell.workload, cell.workload.think_time
    if workload.load.is_open:
        raise SlotbenchError(
            f"{stored.run.run_id}: {cell.name!r} is an open loop, and a prediction is of a closed one; "
            "take another cell, or give --step-ms and --policy-ms"
        )
    pace = predictions.pace_of(stored.run, stored.trials, stored.calibrations, fitted)
    found = predictions.known_of(
        stored.run, stored.trials, stored.calibrations, fitted, pace
    ).get(cell.name)
    if found is None:
        raise SlotbenchError(
            f"{stored.run.run_id}: the times of {cell.name!r} are not known: it has no calibration; "
            "give --step-ms and --policy-ms"
        )
    known, notes = found.demands, []
    where = "as calibrated there" if found.is_calibrated else "as asked for there"
    distribution, sigma = think.distribution, think.sigma
    # The model takes computing at its word: the two are one to it.
    mode: str = "busy" if think.mode == "work" else think.mode
    # Resets are in a calibrated mean; here they are of their own.
    mean_s = known.think_s
    if think.reset_every:
        mean_s = think.mean_ms / 1e3 + known.excess_s
    if workload.environment is not None:
        by_cell = predictions.quiet(
            one
            for one in stored.calibrations
            if one.cell == cell.name and not one.python  # times are of the run's own
        )
        distribution, sigma = "lognormal", twins.sigma_of(one.think for one in by_cell)
        mode = "busy" if known.think_cpu_s >= _MOSTLY * known.think_s else "idle"
        notes.append(
            f"The steps of {workload.environment.id} are taken to be lognormal with their quartiles, "
            + (
                "and to hold the GIL: how much of their computing does is not known."
                if mode == "busy"
                else "and to wait, which they do most of the time."
            )
        )
    if known.service.misfit_ratio > demands.MAX_MISFIT_RATIO:
        notes.append(
            "The policy's time is no line in the batch size: off by up to "
            f"{units.percent(known.service.misfit_ratio)}."
        )
    rule = workload.batching
    values: dict[str, tuple[Any, ...]] = {
        "num_envs": (workload.num_slots,),
        "step_ms": (mean_s * 1e3,),
        "step_distribution": (distribution if distribution != "none" else "constant",),
        "step_sigma": (sigma if distribution == "lognormal" else 0.0,),
        "reset_every": (think.reset_every,),
        "reset_ms": (_reset_ms(cell),),
        "policy_ms": (known.service.batch_s * 1e3,),
        "policy_per_item_ms": (known.service.row_s * 1e3,),
        "min_batch_size": (rule.min_batch_size,),
        "max_batch_size": (rule.max_batch_size,),
        "timeout_ms": (rule.timeout_ms,),
    }
    if think.reset_actors is not None:
        notes.append(
            f"Only {think.reset_actors} of {workload.num_slots} actors have resets there; here all have."
        )
    step = units.seconds(mean_s) if mean_s else "none"
    notes.insert(
        0,
        f"From {stored.run.run_id}, {cell.name}, {where}: a step of {step}, a policy of "
        f"{units.seconds(known.service.batch_s)} a batch and {units.seconds(known.service.row_s)} "
        "a row; what was given stands before that.",
    )
    return _Taken(values, mode, pace, known.num_cpus, cell, tuple(notes))


def _reset_ms(cell: Cell) -> float:
    think = cell.workload.think_time
    longest = think.reset_ms if think.reset_max_ms is None else think.reset_max_ms
    return (think.reset_ms + longest) / 2 if think.reset_every else 0.0


def _cell(run: "Run", name: str | None) -> Cell:
    cells = {one.name: one for one in run.record.scenario.cells}
    if name is None and len(cells) == 1:
        return next(iter(cells.values()))
    if name is None:
        raise SlotbenchError(
            f"{run.record.run_id} has {len(cells)} cells: name one with --cell, such as "
            f"{next(iter(cells))!r}"
        )
    if name not in cells:
        near = difflib.get_close_matches(name, cells, n=2, cutoff=0.3) or list(cells)[:2]
        shown = " or ".join(map(repr, near))
        raise SlotbenchError(f"--cell {name!r}: did you mean {shown}?")
    return cells[name]


def _warnings(basis: Basis, values: what_if.Values) -> list[str]:
    """What was cut, what no recorded run tried, and what the model has not."""
    return [*_cut(values), *_about_transports(basis, values)]


def _cut(values: what_if.Values) -> list[str]:
    """A minimum that no queue has environments for."""
    least = max((x for x in values["min_batch_size"] if x != BALANCED), default=1)
    fewest = min(
        what_if.fewest_envs(envs, servers, queues)
        for envs in values["num_envs"]
        for servers in values["num_servers"]
        for queues in values["queues"]
    )
    if least <= max(1, fewest):
        return []
    return [
        f"A least batch of {units.whole(least)} is more than the "
        f"{units.count(fewest, 'environment')} of a queue: there it is taken to be all of them."
    ]


def _about_transports(basis: Basis, values: what_if.Values) -> list[str]:
    named = [one for one in values["transport"] if one != NO_TRANSPORT]
    if not named:
        return [
            "No transport is in it: no wake-up, no copy, no Python of a server. What is left out costs the more, "
            "the less there is to wait for; --transport adds what recorded ones cost."
        ]
    said = [
        "Costs of transports were fitted to 1 to "
        f"{units.whole(round(basis.fitted.covered['num_slots'][1]))} threads of one process on 2 cores "
        "under a GIL"
        + (
            "."
            if basis.is_pace_known
            else f"; this machine's Python is taken to be as fast as those runs' mean (pace {basis.pace:.2f})."
        )
    ]
    if max(values["num_envs"]) > basis.fitted.covered["num_slots"][1]:
        most = units.whole(MEASURED_ENVS)
        said.append(
            "Beyond them what a transport costs is an extrapolation without an interval, and beyond "
            f"{most} threads no more than a lower bound of its cost: waking one of so many takes longer "
            "than any of these did (docs/predict.md)."
        )
    if max(values["num_servers"]) > 1:
        said.append(
            "No transport was ever measured with several servers: that is an extrapolation, too."
        )
    return said
