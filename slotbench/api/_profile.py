"""One recorded profile."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from slotbench import store
from slotbench.api._shown import Plots, fields
from slotbench.api._shown import report as report_of
from slotbench.compute.profile import CellProfile, Difference
from slotbench.errors import SlotbenchError
from slotbench.records import ProfileRecord, ProfileTrial

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class ShownDifference(Difference):
    """A difference inside a profile that a notebook shows as tables.

    Attributes:
        of: the cell that it is in, with all contenders.
    """

    of: CellProfile

    def __repr__(self) -> str:
        from slotbench.draw.profile import explanation

        return f"<{self.cell.name}: {explanation(self.of, self)}>"

    def _repr_html_(self) -> str:
        from slotbench.draw.profile import fragment

        return fragment(self.of, self)


@dataclass(frozen=True, repr=False)
class Profile:
    """One recorded profile, read once; its frames are made when first asked for.

    Attributes:
        stored: the records as they lie on disk.
    """

    stored: store.StoredProfile

    @property
    def record(self) -> ProfileRecord:
        """The profile's plan, machine and end."""
        return self.stored.profile

    @property
    def path(self) -> Path:
        """The profile's folder."""
        return self.stored.path

    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing or was left out, in words; empty for a complete profile."""
        return self.stored.notes

    @property
    def trials(self) -> tuple[ProfileTrial, ...]:
        """Every pass over every contender, in the order recorded."""
        return self.stored.trials

    @cached_property
    def cells(self) -> tuple[CellProfile, ...]:
        """Every cell, with phases, ledger, locks and claims of each contender."""
        from slotbench.compute import profile

        return profile.cells(self.record, self.trials)

    @property
    def phases(self) -> "pd.DataFrame":
        """A row a phase of a request (`slotbench.frames.phases_frame`); yours to change."""
        return self._phases.copy(deep=False)

    @property
    def ledger(self) -> "pd.DataFrame":
        """A row a thing counted (`slotbench.frames.ledger_frame`); yours to change."""
        return self._ledger.copy(deep=False)

    @property
    def locks(self) -> "pd.DataFrame":
        """A row a place that makes locks (`slotbench.frames.locks_frame`); yours to change."""
        return self._locks.copy(deep=False)

    @cached_property
    def _phases(self) -> "pd.DataFrame":
        from slotbench.frames import phases_frame

        return phases_frame(self.stored)

    @cached_property
    def _ledger(self) -> "pd.DataFrame":
        from slotbench.frames import ledger_frame

        return ledger_frame(self.stored)

    @cached_property
    def _locks(self) -> "pd.DataFrame":
        from slotbench.frames import locks_frame

        return locks_frame(self.stored)

    @property
    def plot(self) -> "Plots":
        """Every plot by its name: ``profile.plot.phases()``; see `slotbench.plots`."""
        return Plots(self.stored)

    @property
    def answers(self) -> dict[str, str]:
        """Cell → what explains the difference there, in words, as its report says it."""
        return dict(self._answers)

    @cached_property
    def _answers(self) -> dict[str, str]:
        from slotbench.draw.profile import page

        return {
            cell.name: " ".join(one.text for one in cell.sentences)
            for cell in page(self.stored).cells
        }

    def difference(
        self, first: str | None = None, second: str | None = None, cell: str | None = None
    ) -> ShownDifference:
        """Say what lies between two contenders in a cell.

        Args:
            first: label of one; None is the baseline.
            second: label of the other; None is the fastest of the others but the floor.
            cell: name of the cell; None is the first.

        Raises:
            SlotbenchError: no such contender or cell, or no two contenders with numbers there.
        """
        from slotbench.compute import profile

        scenario = self.record.scenario
        known = {one.cell.name: one for one in self.cells}
        name = next(iter(known)) if cell is None else cell
        if name not in known:
            raise SlotbenchError(
                f"no cell {name!r} in this profile: it has {', '.join(known)}"
            )
        found = known[name]
        if first is not None:
            found.of(first)
        if second is None:
            base = first or next((c.label for c in scenario.contenders if c.baseline), None)
            pair = profile.pair_to_explain(found, base)
            if pair is None or first not in {None, pair[0]}:
                raise SlotbenchError(
                    f"in {name} there are no two contenders with numbers: name both"
                )
        else:
            found.of(second)
            pair = first or self._rival(found, second), second
        if pair[0] == pair[1]:
            raise SlotbenchError(
                f"nothing lies between {pair[0]!r} and itself: name two contenders"
            )
        lies = profile.difference(self.record, self.trials, name, *pair)
        return ShownDifference(**fields(lies), of=found)

    def _rival(self, cell: CellProfile, second: str) -> str:
        """The baseline, or else the first contender that is another."""
        labels = [one.contender.label for one in cell.contenders if one.contender.baseline]
        labels += [one.contender.label for one in cell.contenders]
        return next((label for label in labels if label != second), second)

    def report(
        self,
        path: str | Path | None = None,
        *,
        format: str = "html",  # noqa: A002  # as the command's option
    ) -> Path:
        """Write the profile's report; nothing is measured.

        Args:
            path: the file, replaced if it exists; None is named after the profile, in the
                current folder. Links to timelines begin there.
            format: "html" or "md".

        Returns:
            The file.

        Raises:
            SlotbenchError: no such format.
            RecordError: the profile holds no trials yet, or the file cannot be written.
        """
        return report_of(self.stored, self.record.profile_id, path, format)

    def __repr__(self) -> str:
        scenario = self.record.scenario
        return (
            f"<Profile {self.record.profile_id}: {self.stored.state}, "
            f"{len(scenario.cells)} cells, {len(scenario.contenders)} contenders, "
            f"{len(self.trials)} trials>"
        )

    def _repr_html_(self) -> str:
        from slotbench.draw import as_html

        return as_html.card(
            title=self.record.scenario.title,
            facts=repr(self).strip("<>"),
            lines=self.notes,
            terms=self.answers if self.trials else {},
        )


def load_profile(
    path: str | Path | None = None, *, results_dir: str | Path = "results"
) -> Profile:
    """Read a recorded profile.

    Args:
        path: a profile's folder, its id, or the beginning or end of one; None or "newest" is
            the newest profile.
        results_dir: the folder that holds the profiles.

    Raises:
        RecordError: there is no such profile, or it is damaged.
    """
    return Profile(store.read_profile(store.find(path, results_dir, ("profile",))))
