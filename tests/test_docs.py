"""What the documentation shows is what the code and the recorded runs say."""

from pathlib import Path

import slotbench
from slotbench.draw import render

ROOT = Path(__file__).parent.parent


def test_the_readmes_table_comes_from_the_reference_run() -> None:
    """It is what ``slotbench compare results/reference/quickstart --format md`` prints."""
    readme = (ROOT / "README.md").read_text()
    shown = readme.partition("<!-- quickstart:begin -->")[2].partition(
        "<!-- quickstart:end -->"
    )[0]
    run = slotbench.load(ROOT / "results/reference/quickstart")

    assert shown.strip() == render(run.compare(), "md").replace("## ", "### ", 1).strip()


def test_reference_runs_are_complete_and_small() -> None:
    """Every committed run is whole, valid, free of this machine's paths, and at most 5 MB."""
    folders = [path.parent for path in (ROOT / "results/reference").glob("*/run.json")]
    assert folders
    for folder in folders:
        run = slotbench.load(folder)
        assert run.record.status == "complete"
        assert run.notes == ()
        assert not run.trials["is_invalid"].any()
        assert (run.trials["status"] == "ok").all()
        assert sum(file.stat().st_size for file in folder.iterdir()) <= 5_000_000
        assert str(ROOT.parent) not in (folder / "run.json").read_text()


def test_a_trial_of_the_reference_run_starts_in_50_ms() -> None:
    """Once its worker is up, at 16 actors: median over all contenders."""
    run = slotbench.load(ROOT / "results/reference/quickstart")

    assert run.trials["startup_s"].median() < 0.050
