"""From what a user says of environments and policy to the scenario that races it, as text.

The text is a scenario like any other: it is validated by the same schema, recorded with the run,
and written to a file on request.
"""

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from slotbench.errors import SlotbenchError
from slotbench.records import Batching, Leaf, Scalar, ThinkTime

DTYPES: Final = (
    *("uint8", "int8", "int16", "int32", "int64"),
    *("float16", "bfloat16", "float32", "float64", "bool"),
)
DEFAULT_OBSERVATION: Final = "float32[8]"
DEFAULT_CV: Final = 0.3
"""Of step times whose spread nobody gave: no environment takes the same time every step, and equal
times would let actors march in step."""
_MAX_CV: Final = 50.0

_LEAF: Final = re.compile(
    r"\s*(?:(?P<key>[^=\[\]]+?)\s*=\s*)?(?P<dtype>[A-Za-z]\w*)\s*"
    r"\[(?P<shape>[\d\s,]*)\]\s*"
)

_POLICY: Final = re.compile(r"(?!.*\.py:)[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")
_IN_CELL: Final = re.compile(r' \(in cell "[^"]*"\)')
_ON_BATCH: Final = " on a batch of "
_STARTS: Final = (
    ("observation: ", "--observation: "),
    ("the observations of ", "--observation: those of "),
    ("environment ", "--environment "),
    ("model: ", "--policy: "),
)
"""How problems of what is asked begin, and of which option they are."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Environments and policy, as a user gives them.

    Attributes:
        num_envs: N, one actor each.
        leaves: of an observation; they do not matter with ``environment``.
        think_time: of a step; "none" where it takes no time, and with ``environment``.
        environment: a Gymnasium id; None is synthetic.
        model: fields of a scenario's ``[model]``.
    """

    num_envs: int
    leaves: tuple[Leaf, ...]
    think_time: ThinkTime
    environment: str | None
    model: Mapping[str, Scalar]


def observation(texts: Iterable[str]) -> tuple[Leaf, ...]:
    """Read leaves such as "float32[84,84,4]" and "pixels=uint8[3,84,84]".

    Raises:
        SlotbenchError: not of that form, an unknown dtype, a name given twice, or missing where
            there are several leaves.
    """
    texts = tuple(texts)
    leaves: dict[str, Leaf] = {}
    for text in texts:
        match = _LEAF.fullmatch(text)
        if match is None:
            raise SlotbenchError(
                f"observation {text!r}: write dtype[shape], such as float32[84,84,4], or "
                "name=dtype[shape]"
            )
        dtype = match["dtype"]
        if dtype not in DTYPES:
            near = difflib.get_close_matches(dtype, DTYPES, n=2, cutoff=0.5) or DTYPES
            raise SlotbenchError(
                f"observation {text!r}: unknown dtype {dtype!r}: did you mean "
                f"{' or '.join(near)}?"
            )
        if match["key"] is None and len(texts) > 1:
            raise SlotbenchError(
                f"observation {text!r}: several leaves need names: write pixels={text}"
            )
        key = (match["key"] or "observation").strip()
        if key in leaves:
            raise SlotbenchError(f"observation {text!r}: {key!r} is given twice")
        sizes = [size.strip() for size in match["shape"].split(",")]
        if not all(sizes) and sizes != [""]:
            raise SlotbenchError(f"observation {text!r}: a size is missing in its shape")
        leaves[key] = Leaf(key, tuple(int(size) for size in sizes if size), dtype)
    return tuple(leaves.values())


def think_time(
    step_ms: float | None, *, cv: float | None, distribution: str | None, mode: str
) -> ThinkTime:
    """A step's time from its mean and its spread.

    Args:
        step_ms: mean; None, or 0, takes no time.
        cv: standard deviation over mean; None is the distribution's own, or `DEFAULT_CV`.
        distribution: "constant", "exponential" or "lognormal"; None is what ``cv`` asks for.
        mode: "idle", "busy" or "busy_nogil".

    Raises:
        SlotbenchError: an unknown name, a number that is none, or two that contradict each other.
    """
    known = ("constant", "exponential", "lognormal")
    if distribution is not None:
        _check_name("--step-distribution", distribution, known)
    _check_name("--step-mode", mode, ("idle", "busy", "busy_nogil"))
    _check_number("--step-ms", step_ms, 60_000)
    _check_number("--step-cv", cv, _MAX_CV)
    if not step_ms:
        if cv or distribution is not None:
            raise SlotbenchError("a spread of step times needs their mean: give --step-ms")
        return ThinkTime()
    fixed = {"constant": 0.0, "exponential": 1.0}
    if cv is not None and distribution in fixed and cv != fixed[distribution]:
        raise SlotbenchError(
            f"--step-cv {cv:g} contradicts --step-distribution {distribution}, whose own is "
            f"{fixed[distribution]:g}: give one of the two, or lognormal"
        )
    spread = DEFAULT_CV if cv is None else cv
    if distribution is None:
        distribution = "lognormal" if spread > 0 else "constant"
    sigma = math.sqrt(math.log1p(spread**2)) if distribution == "lognormal" else 1.0
    if sigma <= 0.0:
        distribution, sigma = "constant", 1.0
    return ThinkTime(distribution, step_ms, sigma, mode)  # type: ignore[arg-type]  # checked above


def policy(text: str) -> str:
    """Check that a policy is named as "package.module:name".

    Raises:
        SlotbenchError: it is not; with what to write instead, where that can be guessed.
    """
    if _POLICY.fullmatch(text):
        return text
    module, colon, name = text.partition(":")
    path = module.removesuffix(".py").removeprefix("./")
    guess = f"{path.strip('/').replace('/', '.')}:{name or 'policy'}"
    if colon and not name:
        guess = f"{path}:NAME"
    if not _POLICY.fullmatch(guess):
        guess = "package.module:name"
    raise SlotbenchError(f"--policy {text!r} is no module:name: write {guess}")


def in_options(problem: str, asked: Asked, *, has_observation: bool) -> str:
    """Say of an option what was said of the scenario that was made of it.

    Args:
        problem: what is wrong with that scenario, or with what it names.
        asked: what it was made of.
        has_observation: whether the user gave one.
    """
    text = _IN_CELL.sub("", problem).removeprefix("advice: ")
    for start, option in _STARTS:
        if text.startswith(start):
            text = f"{option}{text.removeprefix(start)}"
            break
    text = text.replace("model.policy ", "--policy ")
    if "ModuleNotFoundError" in text:
        text += "; looked among the installed packages and in the working directory"
    is_assumed = not has_observation and asked.environment is None
    if is_assumed and asked.model["kind"] == "custom" and _ON_BATCH in text:
        leaves = ", ".join(f"{x.key}={x.dtype}{list(x.shape)}" for x in asked.leaves)
        text += f"; --observation was not given, so that it was called with {leaves}: give yours"
    return text


def compose(  # noqa: PLR0917
    asked: Asked,
    rules: Sequence[Batching],
    contenders: Sequence[str],
    baseline: str,
    rounds: int,
    measure_s: float,
) -> str:
    """Write the scenario that races contenders under several batching rules.

    Args:
        asked: what every cell is.
        rules: one cell each.
        contenders: labels; TorchRL's are optional.
        baseline: one of them.
        rounds: passes over all cells.
        measure_s: length of a window.
    """
    what = asked.environment or _steps(asked.think_time)
    lines = [
        f'title = "Advice for {asked.num_envs} environments"',
        f"question = {_toml(_question(asked, what))}",
        f"rounds = {rounds}",
        f"num_slots = {asked.num_envs}",
        "",
    ]
    if asked.environment is not None:
        lines += ["[environment]", f"id = {_toml(asked.environment)}", ""]
    else:
        lines.append("[observation.leaves]")
        lines += [
            f"{json.dumps(leaf.key, ensure_ascii=False)} = "
            f"{{ shape = {list(leaf.shape)}, dtype = {_toml(leaf.dtype)} }}"
            for leaf in asked.leaves
        ]
        lines.append("")
        think = asked.think_time
        if think.distribution != "none":
            lines += [
                "[think_time]",
                f"distribution = {_toml(think.distribution)}",
                f"mean_ms = {think.mean_ms!r}",
                *([f"sigma = {think.sigma!r}"] * (think.distribution == "lognormal")),
                f"mode = {_toml(think.mode)}",
                "",
            ]
    lines += ["[model]", *(f"{key} = {_toml(x)}" for key, x in asked.model.items()), ""]
    lines += [
        "[window]",
        f"warmup_s = {min(0.3, measure_s):g}",
        f"measure_s = {measure_s:g}",
        f"max_measure_s = {max(3.0, 3 * measure_s):g}",
        "min_requests = 200",
        "",
    ]
    for rule in rules:
        lines += [
            "[[grid]]",
            f"batching.min_batch_size = [{rule.min_batch_size}]",
            f"batching.max_batch_size = [{rule.max_batch_size}]",
            f"batching.timeout_ms = [{rule.timeout_ms:g}]",
            "",
        ]
    for label in contenders:
        lines += ["[[contenders]]", f"name = {_toml(label)}"]
        lines += ["baseline = true"] if label == baseline else []
        lines += ["optional = true"] if label.startswith("torchrl.") else []
        lines.append("")
    return "\n".join(lines)


def _steps(think: ThinkTime) -> str:
    if think.distribution == "none":
        return "steps that take no time"
    return f"{think.distribution} steps of {think.mean_ms:g} ms ({think.mode})"


def _question(asked: Asked, what: str) -> str:
    model = ", ".join(f"{key} {value}" for key, value in asked.model.items())
    return (
        f"Which transport and which batching rule serve {asked.num_envs} environments best: {what}; "
        f"policy: {model}?"
    )


def _toml(value: Scalar) -> str:
    """A JSON text, number or bool is a TOML one; of DEL, where it is not, nothing here has any."""
    return json.dumps(value, ensure_ascii=False)


def _check_name(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        near = difflib.get_close_matches(value, known, n=1, cutoff=0.3) or known
        raise SlotbenchError(f"{option} {value!r}: did you mean {' or '.join(near)}?")


def _check_number(option: str, value: float | None, most: float) -> None:
    if value is not None and not 0 <= value <= most:
        raise SlotbenchError(f"{option} {value:g}: give a number from 0 to {most:g}")
