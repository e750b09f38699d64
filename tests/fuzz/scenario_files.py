"""Scenario files from valid ones outwards, and the options of the command that takes them."""

import json
import string
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

SHIPPED = sorted((Path(__file__).parents[2] / "scenarios").glob("*.toml"))

_SMALL_MS = st.sampled_from([0, 0.1, 0.5, 1])
_DTYPES = [
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "bool",
]
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "num_slots": st.integers(1, 8),
    "torch_threads": st.just(1),
    "switch_interval_s": st.sampled_from([0.001, 0.005]),
    "observation.shape": st.lists(st.integers(1, 8), max_size=3),
    "observation.dtype": st.sampled_from(_DTYPES),
    "observation.num_leaves": st.integers(1, 4),
    "observation.device_metadata": st.booleans(),
    "observation.reuse_request": st.booleans(),
    "think_time": st.sampled_from(
        [
            {"distribution": "none"},
            {"distribution": "constant", "mean_ms": 0.5},
            {"distribution": "exponential", "mean_ms": 0.5, "mode": "busy"},
            {"distribution": "lognormal", "mean_ms": 0.5, "sigma": 2, "mode": "busy_nogil"},
            {"reset_every": 5, "reset_ms": 1},
            {"reset_every": 5, "reset_ms": 0, "reset_max_ms": 2, "reset_actors": 1},
        ]
    ),
    "model.kind": st.sampled_from(["sleep", "spin"]),
    "model.latency_ms": _SMALL_MS,
    "model.latency_per_item_ms": _SMALL_MS,
    "model.num_outputs": st.integers(1, 4),
    "batching.max_batch_size": st.sampled_from([4, 64, "num_slots"]),
    "batching.timeout_ms": st.sampled_from([0.5, 2]),
    "window.min_requests": st.integers(1, 100),
}
"""Field → values that are allowed whatever the others are."""

FIELDS = [
    *GOOD,
    *[
        "title",
        "question",
        "rounds",
        "seed",
        "threshold",
        "contenders",
        "grid",
        "model",
        "environment",
        "window",
    ],
    *[
        "think_time.distribution",
        "think_time.mean_ms",
        "think_time.sigma",
        "think_time.mode",
        "think_time.reset_every",
        "think_time.reset_ms",
        "think_time.reset_max_ms",
        "think_time.reset_actors",
    ],
    *[
        "model.hold_gil",
        "model.hidden",
        "model.outputs",
        "model.outputs.action.shape",
        "model.output_activation",
        "model.channels",
        "model.kernel_sizes",
        "model.strides",
        "model.policy",
        "citation",
        "batching",
        "batching.min_batch_size",
        "observation",
    ],
    *["environment.id", "environment.options", "environment.options.gravity"],
    *["window.warmup_s", "window.measure_s", "window.max_measure_s", "window.max_requests"],
    *["observation.leaves", "observation.leaves.a", "observation.leaves.a.shape"],
    *["observation.leaves.a.b.dtype", "observation.leaves.request_id"],
]
"""Every field of the schema, and the tables they are in."""

OPTIONS = [
    "name",
    "server",
    "baseline",
    "optional",
    "collate",
    "preallocate",
    "inline",
    "from",
    "depth",
]

GOOD_CONTENDERS = [
    {"name": "threading"},
    {"name": "slot"},
    {"name": "slot", "preallocate": [False, True]},
    {"name": "slot[inline]"},
    {"name": "slot", "server": ["reference", "torchrl"], "optional": True},
    {"name": "torchrl.slot", "collate": ["default", "lazy_stack"], "optional": True},
    {"name": "floor"},
]

NAMES = [
    *[
        "slot",
        "threading",
        "floor",
        "torchrl.slot",
        "torchrl.threading",
        "slot@torchrl",
        "slot@none",
    ],
    *[
        "slot[preallocate]",
        "slot[collate=lazy_stack]",
        "slot[",
        "slot[from=.]",
        "m:f",
        "m:f[x=1]",
    ],
    *[
        "json:loads",
        "os.path:join",
        "no.such:f",
        "a.b.c:d",
        ".:.",
        ":f",
        "m:",
        "slots",
        "thread",
        "[]",
        "@",
        "=",
        "''",
    ],
    *('slot[from="\\u0000"]', "m:f[from=/]", "m:f[x=1e999]", "é", "\ud800", "\n", ""),
    "x" * 5000,
    "slot[" + "x" * 5000 + "]",
]
"""Contenders, right, wrong and misspelt."""

WORDS = st.sampled_from(
    [*FIELDS, *OPTIONS, *NAMES, "num_slots", "constant", "mlp", "nature_cnn", "CartPole-v1"]
)
RAW = st.sampled_from(
    [
        *[
            "nan",
            "inf",
            "-inf",
            "1e999",
            "-0.0",
            "5e-324",
            "1e308",
            "9223372036854775807",
            "9223372036854775808",
        ],
        *[
            "0x7fffffffffffffff",
            "0xffffffffffffffffffff",
            "1979-05-27T07:32:00Z",
            "1979-05-27",
        ],
        *[
            "07:32:00",
            "9999-12-31T23:59:59.999999-23:59",
            "[[]]",
            "[{}]",
            "{}",
            "[]",
            "''",
            "{a.b=1}",
            "1_000",
        ],
        *("1" * 5000, "[" * 60 + "]" * 60, "[" * 3000, "{a=" * 90 + "1" + "}" * 90),
        *('"\\u0000"', '"\\U0010ffff"', '"\\ud800"', '"""\n\n"""', "'''\n'''", '"\u2028"'),
        "[" + ",".join(map(str, range(2000))) + "]",
        "[" + ",".join(map(str, range(1, 40))) + "]",
    ]
)
"""Values as TOML text that JSON does not know."""

SCALARS = (
    st.booleans()
    | st.integers(-2, 100)
    | st.sampled_from([0, 2**31, 2**53, 2**63 - 1, 2**64, 16_384, 16_385, 10**9])
    | st.floats(width=32)
    | WORDS
    | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def toml(value: Any) -> str:
    """A value in TOML; tables inline, signs that it lacks escaped or left to be refused."""
    if isinstance(value, dict):
        inner = ", ".join(
            f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()
        )
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value)


ANY_VALUE = VALUES.map(toml) | RAW


@st.composite
def misspelt(draw: st.DrawFn) -> str:
    """A field with a letter too few, too many, or doubled; or a dotted part of its own."""
    name = draw(st.sampled_from(FIELDS))
    at = draw(st.integers(0, len(name)))
    sign = draw(st.sampled_from(string.ascii_lowercase + "_.\"' "))
    return draw(
        st.sampled_from([name[:at] + sign + name[at:], name[:at] + name[at + 1 :]])
        | st.just(f"{name}.{sign}")
    )


KEYS = st.sampled_from(FIELDS) | misspelt() | st.text(max_size=5).map(json.dumps)


@st.composite
def good_lines(draw: st.DrawFn) -> list[str]:
    """The lines of a scenario that can be run, and takes no more than a moment."""
    fields = draw(
        st.lists(st.sampled_from(sorted(GOOD)), unique=True, min_size=1, max_size=6)
    )
    varied = draw(st.lists(st.sampled_from(fields), unique=True, max_size=3))
    if "model.latency_ms" in fields or "model.latency_per_item_ms" in fields:
        varied = [name for name in varied if name != "model.kind"]
    lines = ['title = "Fuzzed"', 'question = "Does it hold?"']
    lines += [f"rounds = {draw(st.integers(1, 2))}"]
    lines += ["num_slots = 2"] if "num_slots" not in fields else []
    lines += [f"{name} = {toml(draw(GOOD[name]))}" for name in fields if name not in varied]
    is_list = draw(st.booleans())
    for _ in range(draw(st.integers(1, 2)) if is_list and len(varied) > 1 else 1):
        axes = varied if not is_list else [varied.pop()] if varied else []
        lines.append("[[grid]]" if is_list else "[grid]")
        lines += [
            f"{name} = {toml(draw(st.lists(GOOD[name], min_size=1, max_size=2, unique_by=repr)))}"
            for name in axes
        ]
    # By name: "slot" and "slot, preallocated and not" would be slot twice.
    others = st.sampled_from(GOOD_CONTENDERS[1:])
    chosen = draw(st.lists(others, unique_by=lambda entry: str(entry["name"]), max_size=2))
    for entry in [GOOD_CONTENDERS[0], *chosen]:
        lines.append("[[contenders]]")
        lines += [f"{key} = {toml(value)}" for key, value in entry.items()]
    return lines


@st.composite
def mutated_lines(draw: st.DrawFn, lines: list[str]) -> list[str]:
    """The same with something wrong in a few lines: a value, a key, a line too many."""
    lines = list(lines)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(lines) - 1)))
        line = lines[at] if lines else ""
        kind = draw(
            st.sampled_from(["value", "key", "add", "option", "copy", "drop", "move"])
        )
        if kind == "value":
            lines[at : at + 1] = [f"{line.partition('=')[0]}= {draw(ANY_VALUE)}"]
        elif kind == "key":
            lines[at : at + 1] = [f"{draw(KEYS)} ={line.partition('=')[2]}"]
        elif kind == "add":
            lines.insert(at, f"{draw(KEYS)} = {draw(ANY_VALUE)}")
        elif kind == "option":
            lines.append(f"{draw(st.sampled_from(OPTIONS))} = {draw(ANY_VALUE)}")
        elif kind == "copy":
            lines.append(line)
        elif kind == "drop":
            lines[at : at + 1] = []
        else:
            table = draw(
                st.sampled_from(["[grid]", "[[grid]]", "[[contenders]]", "[model]"])
            )
            lines.insert(at, table)
    return lines


@st.composite
def mutated_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """The same with bytes flipped, put in, taken out or cut off."""
    pieces = [
        b"\xff",
        b"\x00",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\r",
        b"'''",
        b'"""',
        b"[[",
        b"=",
    ]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["flip", "insert", "drop", "cut", "repeat"]))
        if kind == "flip":
            data = data[:at] + draw(st.binary(min_size=1, max_size=1)) + data[at + 1 :]
        elif kind == "insert":
            data = data[:at] + draw(st.sampled_from(pieces)) + data[at:]
        elif kind == "drop":
            data = data[:at] + data[at + draw(st.integers(1, 20)) :]
        elif kind == "cut":
            data = data[:at]
        else:
            data = data[:at] * 2 + data[at:]
    return data


def _encoded(lines: list[str]) -> bytes:
    return "\n".join([*lines, ""]).encode("utf-8", "surrogatepass")


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A scenario file: seldom whole, mostly wrong in a line or two, sometimes in bytes."""
    lines = draw(good_lines())
    kind = draw(st.sampled_from(["whole", "lines", "lines", "lines", "lines", "bytes"]))
    if kind == "whole":
        return _encoded(lines)
    data = _encoded(draw(mutated_lines(lines)))
    return data if kind == "lines" else draw(mutated_bytes(data))


@st.composite
def shipped_files(draw: st.DrawFn) -> bytes:
    """One of the scenarios that slotbench ships, damaged."""
    data = draw(st.sampled_from(SHIPPED)).read_bytes()
    if draw(st.booleans()):
        data = _encoded(draw(mutated_lines(data.decode().splitlines())))
    return draw(mutated_bytes(data)) if draw(st.booleans()) else data


@st.composite
def options(draw: st.DrawFn) -> list[str]:
    """Options of ``slotbench run``, mostly none."""
    found: list[str] = []
    if draw(st.booleans()):
        return found
    for _ in range(draw(st.integers(1, 2))):
        name = draw(
            st.sampled_from(["--set", "--set", "--contender", "--rounds", "--seed"])
        )
        if name == "--set":
            values = draw(st.lists(ANY_VALUE | WORDS, min_size=1, max_size=3))
            text = f"{draw(KEYS)}={','.join(values)}"
            value = draw(st.just(text) | st.text(max_size=10))
        elif name == "--contender":
            value = draw(st.sampled_from(NAMES) | st.text(max_size=8))
        else:
            number = st.integers(-1, 20) | st.sampled_from([10_001, 2**63, 10**30])
            value = str(draw(number | st.sampled_from(["x", "", "1.5", "nan"])))
        found.append(f"{name}={value}".replace("\x00", ""))
    return found
