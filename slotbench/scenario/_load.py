"""From a scenario's name and the command line's changes to `records.Scenario`."""

from collections.abc import Sequence
from typing import Final

from slotbench.contenders import actors_of
from slotbench.errors import ScenarioError
from slotbench.records import Cell, Contender, Scenario
from slotbench.scenario._find import find, shown
from slotbench.scenario._text import parse_toml, read_text

MAX_TRIALS: Final = 1_000_000
"""Of a run: a week and more at half a second each, and its plan alone takes 100 MB."""


def load(
    reference: str,
    *,
    overrides: Sequence[str] = (),
    contenders: Sequence[str] = (),
    pythons: Sequence[str] = (),
    rounds: int | None = None,
    seed: int | None = None,
) -> Scenario:
    """Reads a scenario, applies changes, checks every field and expands the grid.

    Args:
        reference: path or name; see `find`.
        overrides: ``field=value`` fixes a field, ``field=value,value`` makes it an axis;
            a later one replaces an earlier one.
        contenders: in place of the scenario's, whose baseline stays and comes first.
        pythons: interpreters, as contenders' option ``python``, in each of which every contender is
            raced, in place of its own; the baseline is that of the first.
        rounds: in place of the scenario's.
        seed: in place of the scenario's.

    Raises:
        ScenarioError: the scenario or a change cannot be run; one line, with its place.
        ContenderError: a contender is misspelt.
    """
    path = find(reference)
    source = shown(path)
    return loads(
        read_text(path, source),
        name=path.stem,
        source=source,
        overrides=overrides,
        contenders=contenders,
        pythons=pythons,
        rounds=rounds,
        seed=seed,
    )


def loads(
    text: str,
    *,
    name: str,
    source: str = "",
    overrides: Sequence[str] = (),
    contenders: Sequence[str] = (),
    pythons: Sequence[str] = (),
    rounds: int | None = None,
    seed: int | None = None,
) -> Scenario:
    """Does the same as `load` with the text of a scenario.

    Args:
        text: TOML.
        name: of the scenario.
        source: the file the text is from, if any; messages begin with it.
        overrides: see `load`.
        contenders: see `load`.
        pythons: see `load`.
        rounds: see `load`.
        seed: see `load`.

    Raises:
        ScenarioError: see `load`.
        ContenderError: see `load`.
    """
    # pydantic costs 0.1 s, which `find` and `available` need not pay.
    from slotbench.scenario import _contenders
    from slotbench.scenario._grid import Fields

    where = source or name
    document = parse_toml(text, where)
    fields = Fields.from_document(document, where)
    for override in overrides:
        fields.change(override)
    for field, value in (("rounds", rounds), ("seed", seed)):
        if value is not None:
            fields.set(field, value, f"--{field}")
    head, cells = fields.head(), fields.cells()
    raced = _contenders.from_document(document, where)
    if contenders:
        raced = _contenders.replaced(raced, contenders, pythons)
    if pythons:
        raced = _contenders.in_each_python(raced, pythons)
    _check_floor(raced, cells, where)
    _check_open(raced, cells, where)
    _check_size(head.rounds, len(cells), len(raced), where)
    return Scenario(
        name=name,
        title=head.title,
        question=" ".join(head.question.split()),
        source=source,
        text=text,
        overrides=tuple(overrides),
        cells=cells,
        contenders=raced,
        rounds=head.rounds,
        seed=head.seed,
        threshold=head.threshold,
        citation=" ".join(head.citation.split()),
    )


def _check_floor(
    contenders: Sequence[Contender], cells: Sequence[Cell], where: str
) -> None:
    """Refuse the floor where it would have no service time: that of a network is not known."""
    if not any(contender.name == "floor" for contender in contenders):
        return
    for cell in cells:
        kind = cell.workload.model.kind
        if kind not in {"sleep", "spin"}:
            raise ScenarioError(
                f"{where}: contender floor has no service time for model.kind {kind} "
                f'(in cell "{cell.name}"); remove floor, or use sleep or spin'
            )


def _check_open(contenders: Sequence[Contender], cells: Sequence[Cell], where: str) -> None:
    """Refuse contenders whose actors cannot keep to a schedule: they are no threads of ours."""
    for cell in cells:
        load = cell.workload.load
        for contender in contenders:
            if load.is_open and actors_of(contender) != "threads":
                raise ScenarioError(
                    f'{where}: load.arrivals "{load.arrivals}" (in cell "{cell.name}") needs actors '
                    f"that are threads, and those of {contender.label} are not; remove it"
                )


def _check_size(rounds: int, num_cells: int, num_contenders: int, where: str) -> None:
    """Refuse a run that nobody could wait for."""
    num_trials = rounds * num_cells * (num_contenders + 1)
    if num_trials > MAX_TRIALS:
        raise ScenarioError(
            f"{where}: {num_trials} trials ({rounds} rounds of {num_cells} cells with "
            f"{num_contenders} contenders, the baseline twice); keep it to {MAX_TRIALS}"
        )
