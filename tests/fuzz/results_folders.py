"""A recorded run with one of everything, and what can happen to its folder."""

import functools
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from slotbench.compute import histogram
from slotbench.measure import design
from slotbench.records import (
    Accounting,
    Cell,
    Finding,
    Resumption,
    RunRecord,
    Skipped,
    TrialRecord,
)
from slotbench.store import RunFolder
from tests.slotbench.conftest import build_run, build_trial, build_workload

RUN_ID = "20261123T064501Z-synthetic-3fa9c1"
LABELS = ("threading", "slot[preallocate]", "floor")
CELLS = (
    ("num_slots=8, model.latency_ms=1", {"num_slots": 8, "model.latency_ms": 1}),
    ("observation.shape=[3,4]", {"observation.shape": [3, 4]}),
)
FINDINGS = (
    Finding("counts", "INVALID", "12 replies too few", "do not use it"),
    Finding("steal", "DISTURBED", "20 % stolen", "run when the host is quieter"),
    Finding("unsteady", "warning", "two halves differ", "raise window.warmup_s"),
)


def _run() -> RunRecord:
    cells = [Cell(name, axes, build_workload()) for name, axes in CELLS]
    run = build_run(
        LABELS, cells=cells, rounds=3, skipped=[Skipped("m:f", "not installed")]
    )
    environment = {"cpu_count": 2, "cpu_model_name": "x86", "git_commit": "0" * 40}
    resumption = Resumption(
        "2026-11-23T07:00:00+00:00", 9, dict(environment), ("slotbench",)
    )
    return replace(
        run,
        run_id=RUN_ID,
        created_at="2026-11-23T06:45:01+00:00",
        scenario=replace(
            run.scenario, text='title = "Synthetic"\n', overrides=("rounds=3",)
        ),
        design=design.draw(run.scenario),
        environment={**environment, "load_avg_1min": 0.5, "gil_enabled": True},
        accounting=Accounting(60.0, 30.0, 5.0),
        resumptions=(resumption,),
    )


def _trials(run: RunRecord) -> Iterator[TrialRecord]:
    """Whole blocks, one measured twice, then one that was broken off."""
    blocks = [
        (number, cell, 0)
        for number, cells in enumerate(run.design.blocks)
        for cell, _ in cells
    ]
    blocks.insert(2, (*blocks[1][:2], 1))
    rates = {"threading": 1000.0, "slot[preallocate]": 1200.0, "floor": 9000.0}
    for place, (number, cell, attempt) in enumerate(blocks):
        for spec in design.block(run.scenario, run.design, number, cell, attempt):
            rate = rates[spec.contender.label] * (
                1 + (place * 7 + spec.position * 3) % 5 / 100
            )
            found = [FINDINGS[place % 3]] if spec.position == place % 4 else []
            is_failed = place == 4 and spec.position == 1
            trial = build_trial(
                spec.contender.label,
                None if is_failed else rate,
                cell=cell,
                round=number,
                attempt=attempt,
                arm=spec.arm,
                findings=found,
            )
            trial = replace(trial, trial_id=spec.trial_id, position=spec.position)
            if trial.measurement is not None:
                times = histogram.count(_latencies_ns(rate))
                measured = replace(
                    trial.measurement, latency=times, num_cpus=2, steal_s=0.0
                )
                trial = replace(trial, measurement=measured)
            else:
                trial = replace(trial, stacks="Thread 1:\n  File 'x'\n")
            yield trial


def _latencies_ns(rate: float) -> Any:
    import numpy as np

    return np.arange(1, 600) * int(1e7 / rate)


@functools.cache
def recorded() -> tuple[bytes, bytes]:
    """run.json and trials.jsonl of an interrupted run, as the store writes them."""
    run = replace(_run(), status="interrupted")
    with tempfile.TemporaryDirectory() as name:
        with RunFolder.create(Path(name), run) as folder:
            for trial in list(_trials(run))[:-2]:
                folder.append(trial)
        return tuple((folder.path / f).read_bytes() for f in ("run.json", "trials.jsonl"))


@dataclass(frozen=True, repr=False)
class Folder:
    """What lies in a run's folder.

    Attributes:
        name: of the folder.
        run: run.json; None where it is missing.
        trials: trials.jsonl; likewise.
        oddity: something that is no plain file, in place of one of the two; or "".
    """

    name: str
    run: bytes | None
    trials: bytes | None
    oddity: str = ""

    def __repr__(self) -> str:
        """Where it differs from the sound one: whole, it is longer than Hypothesis prints."""
        files = map(_difference, recorded(), (self.run, self.trials))
        return f"Folder({self.name!r}, {', '.join(files)}, {self.oddity!r})"

    def write(self, results: Path) -> Path:
        """Make it below that folder; return its path."""
        path = results / self.name
        path.mkdir(parents=True)
        for name, data in (("run.json", self.run), ("trials.jsonl", self.trials)):
            if data is not None:
                (path / name).write_bytes(data)
        what, _, name = self.oddity.partition(" ")
        if what:
            _put(what, path / name)
        return path


def _difference(sound: bytes, data: bytes | None) -> str:
    if data is None or data == sound:
        return "missing" if data is None else "sound"
    pairs = enumerate(zip(sound, data, strict=False))
    common = next((at for at, (a, b) in pairs if a != b), min(len(sound), len(data)))
    shown = data[max(0, common - 40) : common + 200]
    return f"{len(data)} bytes, from {common} on another: {shown!r}"


ODDITIES = [
    f"{what} {name}"
    for what in (
        "folder",
        "loop",
        "fifo",
        "dangling",
        "endless",
        "unreadable",
        "other",
        "empty",
    )
    for name in ("run.json", "trials.jsonl")
]


def _put(what: str, place: Path) -> None:
    """Put something else in a file's place."""
    if what == "unreadable":
        place.chmod(0)
        return
    place.unlink(missing_ok=True)
    targets = {"loop": place.name, "dangling": "nowhere", "endless": "/dev/zero"}
    if what in targets:
        place.symlink_to(targets[what])
    elif what == "folder":
        place.mkdir()
    elif what == "fifo":
        os.mkfifo(place)
    elif what == "other":
        names = {"run.json": "trials.jsonl", "trials.jsonl": "run.json"}
        place.symlink_to(names[place.name])
    else:
        place.touch()


RAW = [
    *[
        "1e999",
        "-1e999",
        "NaN",
        "Infinity",
        "-0.0",
        "5e-324",
        "1e-300",
        "1e300",
        "1.7e308",
        "1e12",
        "0.5",
        "-1.5",
    ],
    *[
        "-1",
        "0",
        "1",
        "2",
        "3",
        "2147483648",
        "4611686018427387904",
        "9223372036854775807",
        "-9223372036854775808",
    ],
    *[
        "9223372036854775808",
        "18446744073709551616",
        "true",
        "false",
        "null",
        "{}",
        "[]",
        "[[]]",
        "[{}]",
        "[null]",
    ],
    *('""', '"\\n"', '"a\\nb"', '"\\u0000"', '"[/x]"', '"[red]"', '"\\ud800"', '"\\u2028"'),
    *(
        '"../../x"',
        '"-"',
        '"%s{}"',
        '"\\u001b[31m"',
        '"é"',
        '{"a": 1}',
        '{"": null}',
        "[1, 2]",
    ),
    *('"0001-01-01T00:00:00+23:59"', '"9999-12-31T23:59:59-23:59"', '"2025-01-02"', '"x"'),
    *('"floor"', '"slot[preallocate]"', '"threading#1"', '"ok"', '"failed"', '"complete"'),
    *(
        '"INVALID"',
        '"none"',
        '"nature_cnn"',
        "[[0, 1]]",
        "[[-1, 1]]",
        "[[1, -5]]",
        "[[99999, 1]]",
    ),
    *(
        "1" * 400,
        "1" * 5000,
        "[" * 300 + "]" * 300,
        "[" * 100_000,
        '"' + "x" * 100_000 + '"',
    ),
]
"""What a value may have become, as JSON text or nearly."""

Path_ = tuple[str | int, ...]


def paths(value: Any, above: Path_ = ()) -> Iterator[Path_]:
    """Every place in a JSON document."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield (*above, key)
            yield from paths(inner, (*above, key))


@st.composite
def damaged_json(draw: st.DrawFn, text: bytes, *, times: int = 2) -> bytes:
    """A JSON document with another value, or none, or a second one, in a place or two."""
    document = json.loads(text)
    raw: dict[str, str] = {}
    for number in range(draw(st.integers(1, times))):
        places = list(paths(document))
        if not places:
            break
        # By depth and name first: most places are in long lists.
        kinds = sorted({tuple(part for part in p if isinstance(part, str)) for p in places})
        kind = draw(st.sampled_from(kinds))
        alike = [p for p in places if tuple(q for q in p if isinstance(q, str)) == kind]
        *above, last = draw(st.sampled_from(alike))
        node = document
        for part in above:
            node = node[part]
        what = draw(st.sampled_from(["raw", "raw", "raw", "raw", "swap", "drop", "double"]))
        if what == "raw":
            mark = f"@{number}@"
            raw[json.dumps(mark)] = draw(st.sampled_from(RAW))
            node[last] = mark
        elif what == "swap":
            other = draw(st.sampled_from(places))
            found = document
            try:
                for part in other:
                    found = found[part]
            except (LookupError, TypeError):
                continue
            node[last] = json.loads(json.dumps(found))
        elif what == "drop":
            del node[last]
        elif isinstance(node, list):
            node.insert(last, node[last])
        else:
            node[f"{last}_"] = node.pop(last)
    result = json.dumps(document, ensure_ascii=False)
    for mark, token in raw.items():
        result = result.replace(mark, token)
    return result.encode("utf-8", "surrogatepass")


@st.composite
def damaged_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes flipped, cut off, put in, taken out."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        what = draw(st.sampled_from(["flip", "cut", "insert", "drop", "double"]))
        if what == "flip":
            data = data[:at] + draw(st.binary(min_size=1, max_size=1)) + data[at + 1 :]
        elif what == "cut":
            data = data[:at]
        elif what == "insert":
            piece = draw(
                st.sampled_from([b"\x00", b"\xff", b"\n", b"\xef\xbb\xbf", b"0", b'"'])
            )
            data = data[:at] + piece + data[at:]
        elif what == "drop":
            data = data[:at] + data[at + draw(st.integers(1, 2000)) :]
        else:
            data = data[:at] + data[at // 2 :]
    return data


@st.composite
def damaged_lines(draw: st.DrawFn, data: bytes) -> bytes:
    """Lines left out, doubled, moved, glued, and values changed in a few."""
    lines = data.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 3))):
        if not lines:
            break
        at = draw(st.integers(0, len(lines) - 1))
        what = draw(
            st.sampled_from(
                ["json", "json", "json", "json", "drop", "copy", "move", "end", "glue"]
            )
        )
        if what == "json":
            line = lines[at]
            try:
                lines[at] = draw(damaged_json(line, times=3)) + b"\n"
            except ValueError:  # damaged already
                continue
        elif what == "drop":
            del lines[at]
        elif what == "copy":
            lines.append(lines[at])
        elif what == "move":
            lines.append(lines.pop(at))
        elif what == "end":
            lines[at] = lines[at].rstrip(b"\n") + draw(
                st.sampled_from([b"\r\n", b"\n\n", b" \n"])
            )
        else:
            lines[at] = lines[at].rstrip(b"\n")
    return b"".join(lines)


@st.composite
def folders(draw: st.DrawFn) -> Folder:
    """A run's folder after an accident."""
    run, trials = recorded()
    what = draw(
        st.sampled_from(
            [
                *(["run"] * 3 + ["trials"] * 3),
                *("both", "run bytes", "trials bytes", "odd", "missing", "swapped"),
            ]
        )
    )
    oddity = ""
    if what in {"run", "both"}:
        run = draw(damaged_json(run))
    if what in {"trials", "both"}:
        trials = draw(damaged_lines(trials))
    if what == "run bytes":
        run = draw(damaged_bytes(run))
    elif what == "trials bytes":
        trials = draw(damaged_bytes(trials))
    elif what == "odd":
        oddity = draw(st.sampled_from(ODDITIES))
    elif what == "swapped":
        run, trials = trials, run
    name = draw(st.sampled_from([RUN_ID, RUN_ID, "renamed"]))
    if what == "missing":
        return Folder(
            name, *draw(st.sampled_from([(None, trials), (run, None), (None, None)]))
        )
    return Folder(name, run, trials, oddity)
