"""Reads a run back: what was written comes back equal, or one line says what is damaged.

pydantic checks the plain dataclasses strictly, so 1 stays an int, 1.0 a float and true a
bool. Fields that this version does not know are ignored; an unknown schema is refused.
"""

from dataclasses import dataclass
from pathlib import Path

from slotbench.records import SCHEMA_VERSION, CalibrationRecord, RunRecord, TrialRecord
from slotbench.store._files import CALIBRATIONS_FILE, RUN_FILE, TRIALS_FILE, is_locked
from slotbench.store._reading import (
    check_is_kept,
    check_trials,
    parse_json,
    read_head,
    read_lines,
    refuse,
    state,
    validate,
)
from slotbench.store._sense import (
    ODD,
    calibration_problem,
    run_problem,
    trial_problem,
)


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as it lies on disk.

    Attributes:
        path: the run's folder.
        trials: in the order recorded; also failed and INVALID ones and older attempts.
        calibrations: in the order recorded; empty where none was made, as before schema version 3.
        notes: for people: what is missing or was left out. Empty for a complete run.
        is_open: a process is measuring it.
    """

    path: Path
    run: RunRecord
    trials: tuple[TrialRecord, ...]
    notes: tuple[str, ...] = ()
    is_open: bool = False
    calibrations: tuple[CalibrationRecord, ...] = ()

    @property
    def state(self) -> str:
        """Say "complete", "interrupted", "running", or "killed": begun, no end, and nobody at it."""
        return state(self.run.status, is_open=self.is_open)


def read(path: str | Path) -> StoredRun:
    """Read the run in a folder.

    Args:
        path: the folder, or its run.json.

    Raises:
        RecordError: it is no run, its schema is unknown, or a file is damaged. Only a last
            line of trials.jsonl or calibrations.jsonl that was cut short while being written
            is forgiven: it is left out, with a note.
    """
    folder = Path(path)
    if folder.name == RUN_FILE:
        folder = folder.parent
    check_is_kept(folder, RUN_FILE, TRIALS_FILE, "run")
    run = read_head(folder / RUN_FILE, RunRecord, SCHEMA_VERSION, run_problem)
    trials, notes = read_lines(folder / TRIALS_FILE, _read_trial)
    check_trials(run.scenario, trials, RUN_FILE, folder / TRIALS_FILE)
    calibrations, more_notes = _read_calibrations(run, folder / CALIBRATIONS_FILE)
    notes += more_notes
    is_open = run.status != "complete" and is_locked(folder / TRIALS_FILE)
    notes += _notes_on_status(folder, run, len(trials), is_open)
    return StoredRun(folder, run, trials, notes, is_open, calibrations)


def _read_trial(line: bytes, place: str) -> TrialRecord:
    # Parsed a second time only where a look is needed that pydantic does not give.
    data = parse_json(line, place) if ODD.search(line) else None
    trial = validate(TrialRecord, line, place)
    refuse(trial_problem(data, trial), place)
    return trial


def _read_calibrations(
    run: RunRecord, file: Path
) -> tuple[tuple[CalibrationRecord, ...], tuple[str, ...]]:
    """Read the calibrations; earlier versions made none."""
    if not file.exists():
        return (), ()
    calibrations, notes = read_lines(file, _read_calibration)
    cells = {cell.name for cell in run.scenario.cells}
    for number, one in enumerate(calibrations, start=1):
        if one.cell not in cells:
            refuse(f"{RUN_FILE} has no cell {one.cell!r}", f"{file} line {number}")
    return calibrations, notes


def _read_calibration(line: bytes, place: str) -> CalibrationRecord:
    data = parse_json(line, place) if ODD.search(line) else None
    calibration = validate(CalibrationRecord, line, place)
    refuse(calibration_problem(data, calibration), place)
    return calibration


def _notes_on_status(
    folder: Path, run: RunRecord, num_trials: int, is_open: bool
) -> tuple[str, ...]:
    if run.status == "complete":
        return ()
    count = f"{num_trials} trials recorded, {run.design.num_trials} planned"
    if is_open:
        return (f"{run.run_id} is being measured; {count}",)
    how = "was interrupted" if run.status == "interrupted" else "was killed"
    where = " --executor ray" if run.nodes else ""  # and its address, which no record holds
    advice = f"go on with 'slotbench run --resume {folder}{where}'"
    return (f"{run.run_id} {how}; {count}: {advice}",)
