"""What a run shows of its progress."""

import pytest

from slotbench.cli._progress import ProgressBar
from slotbench.measure.runner import Progress


@pytest.mark.parametrize("is_terminal", ["0", "1"])
def test_options_of_a_contender_are_no_markup(
    is_terminal: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They stand in brackets, as styles do where the bar is drawn."""
    monkeypatch.setenv("TTY_COMPATIBLE", is_terminal)
    monkeypatch.setenv("COLUMNS", "200")
    with ProgressBar(1.0) as bar:
        bar.update(Progress(0, 4, "round 1, all: slot[inline]"))
    assert "round 1, all: slot[inline]" in capsys.readouterr().err
