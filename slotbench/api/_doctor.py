"""Diagnosing this machine from Python: `doctor`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slotbench.api._measure import progress
from slotbench.records import Advice, Diagnosis

if TYPE_CHECKING:
    from slotbench.measure.runner import Progress


@dataclass(frozen=True, repr=False)
class Doctor:
    """One diagnosis, which a notebook shows as tables and ``print`` as text.

    Attributes:
        record: all that was measured.
    """

    record: Diagnosis

    @property
    def advice(self) -> tuple[Advice, ...]:
        """What can be done about this machine, or must be known of it."""
        return self.record.advice

    def resolves(self, rounds: int, cell: str | None = None) -> float | None:
        """The true difference in throughput that 80 % of runs of so many rounds find here.

        Args:
            rounds: blocks of the cell.
            cell: name of one of the diagnosis's cells; None is the first.

        Returns:
            As a ratio less 1 (0.02 is 2 %); None where the spread is not known, or of one round.

        Raises:
            SlotbenchError: no such cell.
        """
        from slotbench.compute import power
        from slotbench.errors import SlotbenchError

        known = {
            one.cell: one for one in self.record.noise.cells if one.metric == "throughput"
        }
        name = next(iter(known)) if cell is None else cell
        if name not in known:
            raise SlotbenchError(
                f"no cell {name!r} in this diagnosis: it has {', '.join(known)}"
            )
        log_sd = known[name].log_sd
        return None if log_sd is None else power.smallest_effect(log_sd, rounds)

    def to_json(self, path: str | Path) -> Path:
        """Write the record, as ``slotbench doctor --json`` prints it; a file there is replaced.

        Raises:
            RecordError: it cannot be written.
        """
        from slotbench.store import document
        from slotbench.store.output import write_file

        write_file(Path(path), document(self.record), force=True)
        return Path(path)

    def to_pyperf(self, path: str | Path) -> Path:
        """Write the primitives as a pyperf suite; a file there is replaced.

        Raises:
            RecordError: it cannot be written.
        """
        from slotbench.exports import primitives
        from slotbench.store.output import write_file

        write_file(Path(path), primitives.render(self.record), force=True)
        return Path(path)

    def __str__(self) -> str:
        from slotbench.draw import diagnosis

        return diagnosis.show(self.record)

    def __repr__(self) -> str:
        from slotbench.draw import diagnosis

        return f"<Doctor {self.record.created_at}: {diagnosis.opening(self.record)[0]}>"

    def _repr_html_(self) -> str:
        from slotbench.draw import diagnosis

        return diagnosis.fragment(self.record)


def doctor(
    *,
    quick: bool = False,
    rounds: int | None = None,
    contender: str = "slot",
    on_progress: "Callable[[Progress], None] | None" = None,
) -> Doctor:
    """Diagnose this machine, as ``slotbench doctor`` does; a minute and a half.

    Args:
        quick: under 20 s: fewer rounds and processes, all of it rough.
        rounds: of the A/A run; None is 12, or 5 where it is quick.
        contender: whose noise floor is measured.
        on_progress: as for `slotbench.run`.

    Raises:
        SlotbenchError: too few rounds.
        ContenderError: the contender is misspelt, not installed, or cannot be made.
        WorkerError: no worker process comes up, or no trial gave a number.
    """
    from slotbench.diagnostics import diagnose

    plan = diagnose.planned(quick=quick, rounds=rounds)
    with progress(on_progress, diagnose.estimate_s(plan, contender)) as told:
        found = diagnose.diagnose(
            plan,
            contender=contender,
            command=_command(quick, rounds, contender),
            on_progress=told,
        )
    return Doctor(found)


def load_diagnosis(path: str | Path) -> Doctor:
    """Read what ``slotbench doctor --json`` wrote.

    Raises:
        RecordError: it cannot be read, is damaged, or is of a later slotbench.
    """
    from slotbench.store import read_diagnosis

    return Doctor(read_diagnosis(path))


def _command(quick: bool, rounds: int | None, contender: str) -> tuple[str, ...]:
    """The command line that does the same."""
    words = ["slotbench", "doctor"]
    if quick:
        words.append("--quick")
    if rounds is not None:
        words += ["--rounds", str(rounds)]
    if contender != "slot":
        words += ["--contender", contender]
    return tuple(words)
