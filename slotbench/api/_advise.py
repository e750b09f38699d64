"""Advice from Python: `advise`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from slotbench.api._measure import progress
from slotbench.api._run import Run, load
from slotbench.errors import SlotbenchError
from slotbench.records import Choice, Recommendation, Scalar

if TYPE_CHECKING:
    from slotbench.api._advising import Plan
    from slotbench.measure.runner import Progress


DEFAULT_SECONDS: Final = 90.0
"""Of a race."""


@dataclass(frozen=True, repr=False)
class Advised:
    """One recommendation, which a notebook shows as tables and ``print`` as text.

    Attributes:
        record: all that was asked, timed, forecast and raced.
    """

    record: Recommendation

    @property
    def choice(self) -> Choice:
        """The recommended contender with its batching rule, and what to expect of it."""
        return self.record.choices[self.record.chosen]

    @property
    def scenario(self) -> str:
        """TOML of the race: what `slotbench.run` takes, once it is in a file."""
        return self.record.scenario

    @property
    def run(self) -> Run | None:
        """The race as recorded; None where there was none."""
        return load(self.record.run) if self.record.run else None

    def to_json(self, path: str | Path) -> Path:
        """Write the record, as ``slotbench advise --format json`` prints it; a file there is replaced.

        Raises:
            RecordError: it cannot be written.
        """
        from slotbench.store import document
        from slotbench.store.output import write_file

        write_file(Path(path), document(self.record), force=True)
        return Path(path)

    def __str__(self) -> str:
        from slotbench.draw import recommendation

        return recommendation.show(self.record)

    def __repr__(self) -> str:
        from slotbench.draw import recommendation

        return f"<Advised: {recommendation.sentences(self.record)[0]}>"

    def _repr_html_(self) -> str:
        from slotbench.draw import recommendation

        return recommendation.fragment(self.record)


def advise(
    num_envs: int,
    *,
    step_ms: float | None = None,
    step_cv: float | None = None,
    step_distribution: str | None = None,
    step_mode: str = "idle",
    environment: str | None = None,
    observation: str | Sequence[str] = (),
    policy_ms: float | None = None,
    policy_per_item_ms: float | None = None,
    policy: str | None = None,
    max_latency_ms: float | None = None,
    measure: bool = True,
    rounds: int | None = None,
    seconds: float = DEFAULT_SECONDS,
    results_dir: str | Path = "results",
    command: Sequence[str] = (),
    on_progress: "Callable[[Progress], None] | None" = None,
) -> Advised:
    """Say which transport and settings to use, as ``slotbench advise`` does.

    Args:
        num_envs: environments, an actor thread each.
        step_ms: mean time of a step; None takes no time.
        step_cv: its standard deviation over its mean; None is 0.3.
        step_distribution: "constant", "exponential" or "lognormal"; None is what ``step_cv`` asks.
        step_mode: "idle" waits, or is another process; "busy" computes and holds the GIL;
            "busy_nogil" computes without it.
        environment: a Gymnasium id, which is timed; excludes the step's times and ``observation``.
        observation: a leaf, or several, as "float32[84,84,4]" or "pixels=uint8[3,84,84]"; none
            is float32[8].
        policy_ms: what a batch takes, whatever it holds,
        policy_per_item_ms: and what each row adds; None is 0.
        policy: "package.module:name", which is timed on this machine, instead of the two.
        max_latency_ms: limit on the 99th percentile of reply times.
        measure: check the forecast by a race; False takes no time, but for what must be timed.
        rounds: of the race; None is 5, or fewer where ``seconds`` are too few for these.
        seconds: that it may take, about; blocks that the machine disturbs and are measured again come
            to it. With the shortest windows five rounds of three rules take about a minute, and
            nothing takes less than about 15 s.
        results_dir: where it is recorded.
        command: the command line, for the record; () is the one that does the same.
        on_progress: as for `slotbench.run`.

    Raises:
        SlotbenchError: a number or a name is none that can be used, or two exclude each other.
        RecordError: the results folder cannot be written.
        WorkerError: no worker process comes up.
    """
    from slotbench.api import _advising

    plan = _plan(
        num_envs,
        {
            "--step-ms": step_ms,
            "--step-cv": step_cv,
            "--step-distribution": step_distribution,
            "--step-mode": None if step_mode == "idle" else step_mode,
            "--environment": environment,
            "--policy-ms": policy_ms,
            "--policy-per-item-ms": policy_per_item_ms,
            "--policy": policy,
            "--max-latency-ms": max_latency_ms,
        },
        (observation,) if isinstance(observation, str) else tuple(observation),
        is_raced=measure,
        rounds=rounds,
        seconds=seconds,
        results_dir=Path(results_dir),
        command=tuple(command),
    )
    with progress(on_progress, _advising.estimate_s(plan)) as told:
        return Advised(_advising.recommend(plan, told)[0])


def load_advice(path: str | Path) -> Advised:
    """Read what ``slotbench advise --format json`` wrote.

    Raises:
        RecordError: it cannot be read, is damaged, or is of a later slotbench.
    """
    from slotbench.store import read_recommendation

    return Advised(read_recommendation(path))


def _plan(
    num_envs: int,
    options: dict[str, float | str | None],
    observation: tuple[str, ...],
    *,
    is_raced: bool,
    rounds: int | None,
    seconds: float,
    results_dir: Path,
    command: tuple[str, ...],
) -> "Plan":
    """Check what was given, and put it together; options go by their names on the command line."""
    from slotbench.api._advising import Plan
    from slotbench.compute.advice import MAX_ENVS
    from slotbench.scenario import advised

    given = {name for name, value in options.items() if value is not None}
    _exclude(given, "--policy", {"--policy-ms", "--policy-per-item-ms"})
    real = given | ({"--observation"} if observation else set())
    steps = {"--step-ms", "--step-cv", "--step-distribution", "--step-mode"}
    _exclude(real, "--environment", {*steps, "--observation"})
    _within("--num-envs", num_envs, 1, MAX_ENVS)
    if rounds is not None:
        _within("--rounds", rounds, 1, 10_000)
    _within("--seconds", seconds, 1, 86_400)
    for name in ("--policy-ms", "--policy-per-item-ms", "--max-latency-ms"):
        value = options[name]
        if isinstance(value, int | float):
            _within(name, value, 0, 60_000)
    if options["--max-latency-ms"] == 0:
        raise SlotbenchError("--max-latency-ms 0: no reply takes no time; give more")
    think = advised.think_time(
        _number(options["--step-ms"]),
        cv=_number(options["--step-cv"]),
        distribution=_text(options["--step-distribution"]),
        mode=_text(options["--step-mode"]) or "idle",
    )
    asked = advised.Asked(
        num_envs=num_envs,
        leaves=advised.observation(observation or (advised.DEFAULT_OBSERVATION,)),
        think_time=think,
        environment=_text(options["--environment"]),
        model=_model(options),
    )
    latency_ms = _number(options["--max-latency-ms"])
    return Plan(
        asked=asked,
        has_observation=bool(observation),
        max_latency_s=None if latency_ms is None else latency_ms / 1e3,
        is_raced=is_raced,
        rounds=rounds,
        seconds=seconds,
        results_dir=results_dir,
        command=command
        or _command(num_envs, options, observation, is_raced, rounds, seconds),
    )


def _model(options: dict[str, float | str | None]) -> dict[str, Scalar]:
    from slotbench.scenario import advised

    policy = _text(options["--policy"])
    if policy is not None:
        return {"kind": "custom", "policy": advised.policy(policy)}
    model: dict[str, Scalar] = {"kind": "sleep"}
    for field, name in (
        ("latency_ms", "--policy-ms"),
        ("latency_per_item_ms", "--policy-per-item-ms"),
    ):
        value = _number(options[name])
        if value is not None:
            model[field] = value
    return model


def _command(  # noqa: PLR0917  # what `_plan` was given
    num_envs: int,
    options: dict[str, float | str | None],
    observation: tuple[str, ...],
    is_raced: bool,
    rounds: int | None,
    seconds: float,
) -> tuple[str, ...]:
    """The command line that does the same."""
    words = ["slotbench", "advise", "--num-envs", str(num_envs)]
    for name, value in options.items():
        if value is not None:
            words += [name, value if isinstance(value, str) else f"{value:g}"]
    for text in observation:
        words += ["--observation", text]
    if not is_raced:
        words.append("--no-measure")
        return tuple(words)
    if rounds is not None:
        words += ["--rounds", str(rounds)]
    if seconds != DEFAULT_SECONDS:
        words += ["--seconds", f"{seconds:g}"]
    return tuple(words)


def _exclude(given: set[str], name: str, others: set[str]) -> None:
    both = sorted(given & others)
    if name in given and both:
        raise SlotbenchError(f"{name} and {', '.join(both)} exclude each other: give one")


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise SlotbenchError(f"{name} {value:g}: give a number from {least:g} to {most:g}")


def _number(value: float | str | None) -> float | None:
    return None if value is None or isinstance(value, str) else float(value)


def _text(value: float | str | None) -> str | None:
    return value if isinstance(value, str) else None
