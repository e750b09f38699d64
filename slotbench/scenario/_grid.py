"""Fixed fields, axes and the command line's changes to both, expanded into cells."""

import itertools
import json
import math
import re
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
    compact,
    flatten,
    freeze,
    nest,
    parse_values,
    show,
)

MAX_CELLS: Final = 10_000

_HEAD: Final = field_names(Head)
_WORKLOAD: Final = field_names(Workload)
_KNOWN: Final = tuple(_HEAD) + tuple(
    name for name, is_table in _WORKLOAD.items() if not is_table
)
_OPEN: Final = ("environment.options.", "observation.leaves.")
_PLAIN: Final = re.compile(r"[\w./:+-]+")


@dataclass
class Fields:
    """The fields of a scenario by dotted name, while they are gathered and changed.

    Attributes:
        where: the file, for messages.
        fixed: field → its one value.
        axes: field → its values, in the order of the cells' names.
        origins: field → what to call it in messages, where it is not from the file.
    """

    where: str
    fixed: dict[str, Any]
    axes: dict[str, list[Any]]
    origins: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_document(cls, document: Table, where: str) -> "Fields":
        """Takes all but the contenders out of a parsed file.

        Raises:
            ScenarioError: an unknown field, or an axis that is not a list of values.
        """
        rest = {
            key: value
            for key, value in document.items()
            if key not in {"grid", "contenders"}
        }
        grid = document.get("grid", {})
        if not isinstance(grid, dict):
            raise ScenarioError(f"{where}: grid: {show(grid)} is not a table; write [grid]")
        axes = flatten(grid, f"{where}: grid") if grid else {}
        fields = cls(where, flatten(rest, where) if rest else {}, axes)
        for name in (*fields.fixed, *axes):
            fields._check_known(name)
        for name in axes:
            fields._check_axis(name)
        return fields

    def change(self, override: str) -> None:
        """Applies one ``--set field=value`` or ``--set field=value,value``.

        Raises:
            ScenarioError: bad syntax, an unknown field, or values that cannot be an axis.
        """
        name, equals, text = override.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ScenarioError(f"--set {override}: write field=value or field=value,value")
        origin = f"--set {name}"
        self.origins[name] = origin
        self._check_known(name)
        values = parse_values(text, origin)
        self._forget(name, keep_axis=len(values) > 1)
        if len(values) > 1:
            self.axes[name] = values
            self._check_axis(name)
        else:
            self.set(name, values[0], origin)

    def set(self, name: str, value: Any, origin: str) -> None:
        """Fixes one field; a table sets each field in it."""
        flat = flatten(value, origin) if isinstance(value, dict) and value else {"": value}
        for key, inner in flat.items():
            full = f"{name}.{key}".removesuffix(".")
            self.origins[full] = origin + full.removeprefix(name)
            self._check_known(full)
            self.fixed[full] = inner

    def head(self) -> Head:
        """Checks the fields that are the same for all cells.

        Raises:
            ScenarioError: one is missing, wrong, or varied.
        """
        for name in _HEAD:
            if name in self.axes:
                raise ScenarioError(
                    f"{self._place(name)}: cannot be varied; give one value"
                )
        try:
            return Head.model_validate({k: v for k, v in self.fixed.items() if k in _HEAD})
        except ValidationError as error:
            raise self._error(first_problem(error)) from None

    def cells(self) -> tuple[Cell, ...]:
        """Expands the grid and checks every cell.

        Raises:
            ScenarioError: a field is wrong or given twice, fields disagree in a cell (which
                is named), or there are more than 10 000 cells.
        """
        self._check_overlaps()
        count = math.prod(len(values) for values in self.axes.values())
        if count > MAX_CELLS:
            raise ScenarioError(
                f"{self.where}: grid: {count} cells; keep it to {MAX_CELLS} by shorter axes"
            )
        points = itertools.product(*self.axes.values())
        cells = tuple(
            self._cell(dict(zip(self.axes, point, strict=True))) for point in points
        )
        if len({cell.name for cell in cells}) < len(cells):
            raise ScenarioError(
                f"{self.where}: grid: two cells have the same name; rename values"
            )
        return cells

    def _cell(self, coordinates: dict[str, Any]) -> Cell:
        name = ", ".join(f"{axis}={_written(value)}" for axis, value in coordinates.items())
        fixed = {key: value for key, value in self.fixed.items() if key not in _HEAD}
        try:
            workload = Workload.model_validate(nest(fixed | coordinates))
        except ValidationError as error:
            raise self._error(first_problem(error, _KNOWN), name) from None
        return Cell(name or "all", coordinates, workload.to_record())

    def _error(self, problem: Problem, cell: str = "") -> ScenarioError:
        where = self._place(problem.field) if problem.field else self.where
        cell = f' (in cell "{cell}")' if cell and problem.ties_fields else ""
        return ScenarioError(f"{where}: {problem.text}{cell}")

    def _place(self, name: str) -> str:
        """What to call a field: by the change it came from, or by file and place in it."""
        for start in _starts(name):
            if start in self.origins:
                return self.origins[start] + name.removeprefix(start)
            if start in self.axes:
                return f"{self.where}: grid.{name}"
        return f"{self.where}: {name}"

    def _forget(self, name: str, *, keep_axis: bool) -> None:
        """Removes what a new value of a field replaces: itself, below and above it."""
        above = set(_starts(name))
        for known in (self.fixed, self.axes):
            for other in list(known):
                is_place = keep_axis and known is self.axes and other == name
                if (other in above or other.startswith(f"{name}.")) and not is_place:
                    del known[other]

    def _check_known(self, name: str) -> None:
        if name in _HEAD or name in _WORKLOAD or name.startswith(_OPEN):
            return
        raise ScenarioError(f"{self._place(name)}: {unknown(name, _KNOWN)}")

    def _check_axis(self, name: str) -> None:
        values, place = self.axes[name], self._place(name)
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

    def _check_overlaps(self) -> None:
        """Refuses a field given twice: fixed and varied, or with and as part of a table."""
        for name in self.fixed:
            self._check_apart(name, self.origins.get(name, f"{self.where}: {name}"))
        for name in self.axes:
            place = self.origins.get(name, f"{self.where}: grid.{name}")
            if name in self.fixed:
                raise ScenarioError(
                    f"{place}: is fixed outside of the grid as well; keep one"
                )
            self._check_apart(name, place)

    def _check_apart(self, name: str, place: str) -> None:
        for start in _starts(name)[2:]:
            if start in self.fixed or start in self.axes:
                raise ScenarioError(
                    f"{place}: {start} is given as a whole as well; keep one"
                )


def _starts(name: str) -> list[str]:
    """A dotted name and everything above it, longest first."""
    parts = re.sub(r"\[\d+\]", "", name).split(".")
    return [name, *(".".join(parts[:count]) for count in range(len(parts), 0, -1))]


def _written(value: object) -> str:
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    return compact(value)
