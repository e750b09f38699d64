"""``slotbench report`` and ``slotbench plot`` write what they say, and nothing else."""

from pathlib import Path
from typing import Any

import pytest


def test_a_report_is_written_and_named(slotbench: Any, record: Any, tmp_path: Path) -> None:
    """The newest run's, named after it, in the current folder."""
    path = record()
    outcome = slotbench("report")

    assert (outcome.code, outcome.stdout) == (0, f"{path.name}.html\n")
    text = (tmp_path / f"{path.name}.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert (
        "slot: the other contender is not shown to be more than 3 % faster."
        in text.replace("<code>", "").replace("</code>", "")
    )


def test_markdown_goes_where_it_is_wanted(
    slotbench: Any, record: Any, tmp_path: Path
) -> None:
    """To stdout for "-", into a file of a new folder otherwise."""
    record()
    said = slotbench("report", "newest", "--format", "md", "-o", "-")
    assert said.stdout.startswith("# Synthetic")
    assert slotbench("report", "-o", "new/report.md").code == 0
    assert (tmp_path / "new/report.md").read_text(encoding="utf-8") == said.stdout


def test_several_runs_make_one_report(slotbench: Any, record: Any, tmp_path: Path) -> None:
    """Named after the first."""
    path = record()
    outcome = slotbench("report", path, path, "--baseline", "slot", "--threshold", "5%")
    assert outcome.stdout == f"{path.name}-and-1-more.html\n"
    assert "nothing can have changed" not in outcome.stderr


def test_what_is_there_is_kept(slotbench: Any, record: Any, tmp_path: Path) -> None:
    """Unless told to replace it; a run's record even then."""
    path = record()
    (tmp_path / "mine.html").write_text("mine")
    refused = slotbench("report", "-o", "mine.html")
    assert refused.code == 2
    assert "mine.html exists already; --force replaces it" in refused.stderr
    assert (tmp_path / "mine.html").read_text() == "mine"
    assert slotbench("report", "-o", "mine.html", "--force").code == 0
    before = (path / "run.json").read_bytes()
    refused = slotbench("report", "--format", "md", "-o", path / "run.json", "--force")
    assert (refused.code, (path / "run.json").read_bytes()) == (2, before)
    assert "is a run's record" in refused.stderr
    assert "is a folder" in slotbench("report", "-o", tmp_path).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "--format", "pdf"], "unknown format 'pdf': it is html or md"),
        (["report", "nope"], "no run"),
        (
            ["report", "-o", "x.pdf"],
            "x.pdf: a report ends in .html, .htm, .md, or say which",
        ),
        (["report", "--baseline", "nope"], "no contender 'nope'"),
        (["report", "--threshold", "latency_p99=3%"], "a report has one threshold"),
        (
            ["plot", "newest", "troughput"],
            "unknown plot 'troughput': did you mean throughput",
        ),
        (["plot", "newest", "throughput", "-o", "x.gif"], "x.gif: a picture ends in .png"),
        (
            ["plot", "newest", "throughput", "--where", "num_slots"],
            "write --where num_slots=64",
        ),
        (["plot", "newest", "throughput", "--where", "a=1"], "no axis 'a' in this run"),
        (["plot", "newest", "throughput", "--where", "num_slots=9"], "there is 8"),
        (["plot", "newest", "throughput", "--metric", "speed"], "unknown metric 'speed'"),
        (
            ["plot", "newest", "fairness", "--metric", "throughput"],
            "plot fairness has no metric",
        ),
        (["plot", "newest", "throughput", "--contender", "x"], "no contender 'x' in plot"),
        (["plot", "newest", "preallocate"], "has nothing for plot preallocate"),
        (["plot", "newest"], "Missing argument 'NAME'"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], message: str, slotbench: Any, record: Any
) -> None:
    """Exit code 2, nothing on stdout, what to do."""
    record()
    outcome = slotbench(*arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_a_plot_is_written_by_its_ending(
    suffix: str, magic: bytes, slotbench: Any, record: Any, tmp_path: Path
) -> None:
    """And stdout names the file."""
    record()
    outcome = slotbench("plot", "newest", "throughput", "-o", f"a/b.{suffix}")
    assert (outcome.code, outcome.stdout) == (0, f"a/b.{suffix}\n")
    assert (tmp_path / f"a/b.{suffix}").read_bytes().startswith(magic)


def test_a_plot_has_a_name_of_its_own(slotbench: Any, record: Any, tmp_path: Path) -> None:
    """Of run and plot; a second one is not written over the first."""
    path = record()
    arguments = (
        "plot",
        "newest",
        "throughput",
        "--contender",
        "slot",
        "--where",
        "num_slots=8",
    )
    assert slotbench(*arguments).stdout == f"{path.name}-throughput.png\n"
    assert (tmp_path / f"{path.name}-throughput.png").stat().st_size > 1000
    assert slotbench(*arguments).code == 2
    assert slotbench(*arguments, "--force").code == 0


def test_a_report_of_a_profile_links_its_files(
    slotbench: Any, record: Any, record_profile: Any, tmp_path: Path
) -> None:
    """From where it is written; alone, or behind a run, with which nothing is compared."""
    run, path = record(), record_profile()
    assert slotbench("report").stdout == f"{path.name}.html\n"
    text = (tmp_path / f"{path.name}.html").read_text(encoding="utf-8")
    assert f'href="results/{path.name}/timeline-1.json"' in text

    outcome = slotbench("report", run, path, "-o", "deep/er/both.html")
    assert (outcome.code, outcome.stdout) == (0, "deep/er/both.html\n")
    text = (tmp_path / "deep/er/both.html").read_text(encoding="utf-8")
    assert f'href="../../results/{path.name}/timeline-1.json"' in text
    assert "Between the runs" not in text

    said = slotbench("report", path, "--format", "md", "-o", "-").stdout
    assert "[timeline-1.json](timeline-1.json)" in said


def test_a_profiles_record_is_kept(slotbench: Any, record_profile: Any) -> None:
    """As a run's is."""
    path = record_profile()
    for name in ("profile.json", "passes.jsonl"):
        before = (path / name).read_bytes()
        refused = slotbench("report", "--format", "md", "-o", path / name, "--force")
        assert (refused.code, (path / name).read_bytes()) == (2, before)
        assert "is a profile's record" in refused.stderr


def test_a_profile_is_drawn(
    slotbench: Any, record: Any, record_profile: Any, tmp_path: Path
) -> None:
    """The newest of what the plot is of, whatever else is newer."""
    run, path = record(), record_profile()
    assert slotbench("plot", "newest", "phases").stdout == f"{path.name}-phases.png\n"
    assert (tmp_path / f"{path.name}-phases.png").stat().st_size > 1000
    assert (
        slotbench("plot", "newest", "throughput").stdout == f"{run.name}-throughput.png\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["plot", "profile-abc123", "throughput"],
            "plot throughput is drawn of a run, and 20261128T000000Z-quickstart-profile-abc123 "
            "is a profile: make one with 'slotbench run quickstart'",
        ),
        (
            ["plot", "results/20261128T000000Z-quickstart-profile-abc123", "loss"],
            "plot loss is drawn of a run",
        ),
        (
            ["plot", "20250102T030405", "phases"],
            "plot phases is drawn of a profile, and 20250102T030405-synthetic-abc123 is a run: "
            "make one with 'slotbench profile synthetic'",
        ),
        (["plot", "nope", "phases"], "no run, profile or SLO search 'nope'"),
        (["plot", "newest", "phases", "--metric", "throughput"], "phases has no metric"),
        (["plot", "newest", "phases", "--baseline", "nope"], "no contender 'nope'"),
        (["report", "--threshold", "5%"], "a profile has no verdicts: leave it out"),
        (["report", "--baseline", "nope"], "no contender 'nope'"),
    ],
)
def test_a_mistake_with_a_profile_is_one_line(
    arguments: list[str], message: str, slotbench: Any, record: Any, record_profile: Any
) -> None:
    """A plot of the other kind, an option that a profile has no use for."""
    record()
    record_profile()
    outcome = slotbench(*arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_a_plot_of_no_profile_says_how_to_make_one(slotbench: Any, record: Any) -> None:
    """A run is no stand-in."""
    record()
    outcome = slotbench("plot", "newest", "phases")
    assert outcome.code == 2
    assert "there is no profile in results yet" in outcome.stderr


def test_a_run_without_trials_has_neither(slotbench: Any, record: Any) -> None:
    """One line each."""
    record(trials=[])
    for arguments in (["report"], ["plot", "newest", "throughput"]):
        outcome = slotbench(*arguments)
        assert outcome.code == 2
        assert "holds no trials yet" in outcome.stderr
