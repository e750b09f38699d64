"""Fixed fields, axes and the command line's changes to both, expanded into cells."""

import itertools
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from slotbench.errors import ScenarioError
from slotbench.records import Cell
from slotbench.scenario._problems import Problem, first_problem, unknown
from slotbench.scenario._schema import Head, Workload
from slotbench.scenario._table import field_names
from slotbench.scenario._text import (
    Table,
    check_name,
    compact,
    flatten,
    freeze,
    nest,
    parse_values,
    show,
)

MAX_CELLS: Final = 10_000
MAX_FIELDS: Final = 4_000
"""Fixed or varied; 1 024 leaves with a shape and a dtype each are some 2 000."""

MAX_CELL_NAME: Final = 1_000
"""Characters; the name is a line of every table."""

_MAX_SHOWN: Final = 10**15

_HEAD: Final = field_names(Head)
_WORKLOAD: Final = field_names(Workload)
_KNOWN: Final = tuple(_HEAD) + tuple(
    name for name, is_table in _WORKLOAD.items() if not is_table
)
_OPEN: Final = ("environment.options.", "observation.leaves.", "model.outputs.")
_ALL: Final = "all"
"""Name of the cell of a grid without axes."""

_PLAIN: Final = re.compile(r"[\w./:+-]+")


@dataclass
class Grid:
    """One table of axes, whose product are cells.

    Attributes:
        place: what messages call it: "grid", or "grid[1]" where the file has a list of them.
        axes: field → its values, in the order of the cells' names.
    """

    place: str
    axes: dict[str, list[Any]]

    def num_cells(self) -> int:
        """How many cells it makes: one where it has no axis."""
        return math.prod(len(values) for values in self.axes.values())

    def points(self) -> Iterator[dict[str, Any]]:
        """Coordinates of its cells; the last axis runs fastest."""
        for point in itertools.product(*self.axes.values()):
            yield dict(zip(self.axes, point, strict=True))


@dataclass
class Fields:
    """The fields of a scenario by dotted name, while they are gathered and changed.

    Attributes:
        where: the file, for messages.
        fixed: field → its one value.
        grids: at least one; that of a scenario without a grid has no axes.
        may_replace: a grid may vary what is fixed as well. Of a list of grids each varies
            something else, so that what one of them varies is fixed for the others.
        is_merging: the command line changed axes, which may have made grids alike.
        origins: field → what to call it in messages, where it is not from the file.
    """

    where: str
    fixed: dict[str, Any]
    grids: list[Grid]
    may_replace: bool = False
    is_merging: bool = False
    origins: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_document(cls, document: Table, where: str) -> "Fields":
        """Takes all but the contenders out of a parsed file.

        Raises:
            ScenarioError: an unknown field, too many of them, or an axis that is not a list
                of values.
        """
        rest = {
            key: value
            for key, value in document.items()
            if key not in {"grid", "contenders"}
        }
        fixed = flatten(rest, where) if rest else {}
        written = document.get("grid", {})
        fields = cls(where, fixed, _grids(written, where), isinstance(written, list))
        count = len(fixed) + sum(len(grid.axes) for grid in fields.grids)
        if count > MAX_FIELDS:
            raise ScenarioError(
                f"{where}: {count} fields; keep it to {MAX_FIELDS} by splitting the scenario"
            )
        for name in fields.fixed:
            fields._check_known(name)
        for grid in fields.grids:
            for name in grid.axes:
                fields._check_known(name, grid)
                fields._check_axis(name, grid)
        return fields

    def change(self, override: str) -> None:
        """Applies one ``--set field=value`` or ``--set field=value,value``, to every grid.

        Raises:
            ScenarioError: bad syntax, an unknown field, or values that cannot be an axis.
        """
        name, equals, text = override.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ScenarioError(
                f"--set {override[:100]}: write field=value or field=value,value"
            )
        check_name(name, "--set")
        origin = f"--set {name}"
        self.origins[name] = origin
        self._check_known(name)
        values = parse_values(text, origin)
        _forget(name, self.fixed)
        for grid in self.grids:
            self.is_merging |= _forget(name, grid.axes, keep_place=len(values) > 1)
            if len(values) > 1:
                self.is_merging = True
                grid.axes[name] = values
                self._check_axis(name, grid)
        if len(values) == 1:
            self.set(name, values[0], origin)

    def set(self, name: str, value: Any, origin: str) -> None:
        """Fixes one field; a table sets each field in it."""
        flat = flatten(value, origin) if isinstance(value, dict) and value else {"": value}
        for key, inner in flat.items():
            full = f"{name}.{key}".removesuffix(".")
            check_name(full, origin)
            self.origins[full] = origin + full.removeprefix(name)
            self._check_known(full)
            self.fixed[full] = inner

    def head(self) -> Head:
        """Checks the fields that are the same for all cells.

        Raises:
            ScenarioError: one is missing, wrong, or varied.
        """
        for grid in self.grids:
            for name in _HEAD:
                if name in grid.axes:
                    raise ScenarioError(
                        f"{self._place(name, grid)}: cannot be varied; give one value"
                    )
        try:
            return Head.model_validate({k: v for k, v in self.fixed.items() if k in _HEAD})
        except ValidationError as error:
            raise self._error(first_problem(error)) from None

    def cells(self) -> tuple[Cell, ...]:
        """Expands the grids, one after the other, and checks every cell.

        Raises:
            ScenarioError: a field is wrong or given twice, fields disagree in a cell (which
                is named), two grids of the file make the same cell, or there are more than
                10 000 cells.
        """
        count = sum(grid.num_cells() for grid in self.grids)
        if count > MAX_CELLS:
            # Python refuses to write an integer of thousands of digits.
            number = str(count) if count < _MAX_SHOWN else f"over {_MAX_SHOWN:.0e}"
            raise ScenarioError(
                f"{self.where}: grid: {number} cells; keep it to {MAX_CELLS} by shorter axes"
            )
        for grid in self.grids:
            self._check_overlaps(grid)
        cells: list[Cell] = []
        makers: dict[object, Grid] = {}
        for grid in self.grids:
            for coordinates in grid.points():
                # Equal coordinates in another order are the same cell under another name.
                first = makers.setdefault(freeze(coordinates), grid)
                if first is grid:
                    cells.append(self._cell(coordinates, grid))
                elif not self.is_merging:
                    raise ScenarioError(
                        f'{self.where}: {grid.place}: cell "{_name(coordinates)}" is in '
                        f"{first.place} as well; keep one"
                    )
        if len({cell.name for cell in cells}) < len(cells):
            raise ScenarioError(
                f"{self.where}: grid: two cells have the same name; rename values"
            )
        return tuple(cells)

    def _cell(self, coordinates: dict[str, Any], grid: Grid) -> Cell:
        fixed = {
            key: value
            for key, value in self.fixed.items()
            if key not in _HEAD and coordinates.keys().isdisjoint(_starts(key))
        }
        name = _name(coordinates)
        if len(name) > MAX_CELL_NAME:
            raise ScenarioError(
                f"{self.where}: {grid.place}: the name of cell {show(name)} has {len(name)} "
                f"characters; keep it to {MAX_CELL_NAME} by shorter values"
            )
        try:
            workload = Workload.model_validate(nest(fixed | coordinates))
        except ValidationError as error:
            problem = first_problem(error, _KNOWN)
            # What one grid of several lacks, another may well have: the cell says which.
            known = {**self.fixed, **grid.axes}
            is_absent = not any(start in known for start in _starts(problem.field))
            is_of_cell = problem.ties_fields or (is_absent and len(self.grids) > 1)
            cell = f' (in cell "{name}")' if is_of_cell and coordinates else ""
            raise self._error(problem, grid, cell) from None
        return Cell(name, coordinates, workload.to_record())

    def _error(
        self, problem: Problem, grid: Grid | None = None, cell: str = ""
    ) -> ScenarioError:
        where = self._place(problem.field, grid) if problem.field else self.where
        return ScenarioError(f"{where}: {problem.text}{cell}")

    def _place(self, name: str, grid: Grid | None = None) -> str:
        """What to call a field: by the change it came from, or by file and place in it.

        Args:
            name: dotted.
            grid: in which the field was found; None if outside of all.
        """
        for start in _starts(name):
            if start in self.origins:
                return self.origins[start] + name.removeprefix(start)
            if grid is not None and start in grid.axes:
                return f"{self.where}: {grid.place}.{name}"
        return f"{self.where}: {name}"

    def _check_known(self, name: str, grid: Grid | None = None) -> None:
        if name in _HEAD or name in _WORKLOAD or name.startswith(_OPEN):
            return
        raise ScenarioError(f"{self._place(name, grid)}: {unknown(name, _KNOWN)}")

    def _check_axis(self, name: str, grid: Grid) -> None:
        values, place = grid.axes[name], self._place(name, grid)
        if not isinstance(values, list):
            raise ScenarioError(
                f"{place}: {show(values)} is not a list; write [{show(values)}]"
            )
        if not values:
            raise ScenarioError(f"{place}: the axis is empty; give at least one value")
        seen = set()
        for value in values:
            if (key := freeze(value)) in seen:
                raise ScenarioError(f"{place}: {show(value)} is there twice; keep one")
            seen.add(key)

    def _check_overlaps(self, grid: Grid) -> None:
        """Refuses a field given twice: fixed and varied, or with and as part of a table."""
        known = {**self.fixed, **grid.axes}
        for name in self.fixed:
            self._check_apart(name, self.fixed if self.may_replace else known)
        for name in grid.axes:
            if name in self.fixed and not self.may_replace:
                raise ScenarioError(
                    f"{self._place(name, grid)}: is fixed outside of the grid as well; "
                    "keep one"
                )
            self._check_apart(name, known, grid)

    def _check_apart(self, name: str, known: Table, grid: Grid | None = None) -> None:
        for start in _starts(name)[2:]:
            if start in known:
                raise ScenarioError(
                    f"{self._place(name, grid)}: {start} is given as a whole as well; "
                    "keep one"
                )


def _grids(written: Any, where: str) -> list[Grid]:
    """The tables of axes below ``[grid]``, or below every ``[[grid]]``."""
    tables, remedy = {"grid": written}, "[grid]"
    if isinstance(written, list) and written:
        tables = {f"grid[{index}]": table for index, table in enumerate(written)}
        remedy = "[[grid]]"
    for place, table in tables.items():
        if not isinstance(table, dict):
            raise ScenarioError(
                f"{where}: {place}: {show(table)} is not a table; write {remedy}"
            )
    return [
        Grid(place, flatten(table, f"{where}: {place}")) for place, table in tables.items()
    ]


def _forget(name: str, known: Table, *, keep_place: bool = False) -> bool:
    """Removes what a new value of a field replaces: itself, below and above it.

    Args:
        name: of the field.
        known: fields with their values; changed.
        keep_place: leave the field itself, for its new value to stand in its place.

    Returns:
        Whether anything was removed.
    """
    above = set(_starts(name))
    gone = [
        other
        for other in known
        if (other in above or other.startswith(f"{name}."))
        and not (keep_place and other == name)
    ]
    for other in gone:
        del known[other]
    return bool(gone)


def _starts(name: str) -> list[str]:
    """A dotted name and everything above it, longest first."""
    parts = re.sub(r"\[\d+\]", "", name).split(".")
    return [name, *(".".join(parts[:count]) for count in range(len(parts), 0, -1))]


def _written(value: object) -> str:
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    return compact(value)


def _name(coordinates: dict[str, Any]) -> str:
    """What a cell is called: its coordinates in the order of the axes."""
    texts = (f"{axis}={_written(value)}" for axis, value in coordinates.items())
    return ", ".join(texts) or _ALL
