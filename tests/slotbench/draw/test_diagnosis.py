"""A diagnosis as text and as HTML says what its record holds."""

import dataclasses
import html
import re

import pytest
from rich.cells import cell_len

from slotbench.draw import diagnosis as drawn
from slotbench.draw.screen import Screen
from tests.slotbench.support import diagnoses


def test_the_first_lines_say_what_rounds_tell_apart() -> None:
    """The numbers are those of the record, rounded to two digits, with the ends of their range."""
    made = diagnoses.diagnosis()
    five, _, twenty = (one for one in made.resolvable if one.metric == "throughput")
    (cell,) = (one for one in made.noise.cells if one.metric == "throughput")
    first = drawn.show(made, Screen(200)).splitlines()[0]

    found = re.fullmatch(
        r"num_slots=8, 8 actors: 5 rounds show differences of about ([\d.]+) % "
        r"\(([\d.]+) to ([\d.]+) %\) in throughput, 20 rounds of about ([\d.]+) % "
        r"\(([\d.]+) to ([\d.]+) %\); about ([\d ]+) rounds \(([\d ]+) to "
        r"([\d ]+)\) would be needed for 3 %\.",
        first,
    )
    assert found is not None, first
    *shares, rounds, least, most = (float(x.replace(" ", "")) for x in found.groups())
    expected = [
        *(five.effect, five.effect_low, five.effect_high),
        *(twenty.effect, twenty.effect_low, twenty.effect_high),
    ]
    assert shares == pytest.approx([100 * share for share in expected], rel=0.05)
    assert rounds == pytest.approx(cell.rounds_needed, rel=0.05)
    assert least < rounds < most


def test_advice_stands_between_opening_and_tables() -> None:
    """What was seen, why, and what to do; without any, a line says so."""
    text = drawn.show(diagnoses.diagnosis())
    assert (
        text.index("in throughput")
        < text.index("- <busy>")
        < text.index("noise floor (A/A)")
    )
    assert "Why: it <matters>." in text
    assert "Do: wait & see." in text

    assert "nothing to do" in drawn.show(diagnoses.diagnosis(advice=()))


def test_the_tables_hold_every_part() -> None:
    """Waits, the recorder's parts and primitives, with their units and switches."""
    lines = [" ".join(x.split()) for x in drawn.show(diagnoses.diagnosis()).splitlines()]

    assert "time.sleep 1.00 ms 80.0 µs n/a" in lines
    assert "stamps and loop, in the actor 400 ns" in lines
    assert "id leaf, echo and batch stamps, in the server (slot) 4.00 µs 6.00 µs" in lines
    assert "raw lock 12.0 µs [6.00, 24.0] µs 7.50 µs 2.25 0.500" in lines


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_nothing_is_cut_or_too_wide(width: int) -> None:
    """Every sentence and every cell of every table is there, on lines no wider than the screen."""
    made = diagnoses.diagnosis()
    text = drawn.show(made, Screen(width))
    words = " ".join(text.split())

    assert max(map(cell_len, text.splitlines())) <= width
    assert all(" ".join(line.split()) in words for line in drawn.opening(made))
    for table in drawn.tables(made):
        assert all(" ".join(note.split()) in words for note in table.notes)
        assert all(cell.strip() in words for row in table.rows for cell in row)


def test_a_rough_diagnosis_says_so() -> None:
    """Quick, from one worker, with disturbed trials, and of a cell whose spread is not known."""
    floor = diagnoses.floor()
    blind = [
        dataclasses.replace(cell, log_sd=None, rounds_needed=None) for cell in floor.cells
    ]
    noise = dataclasses.replace(
        floor, num_workers=1, num_disturbed=3, remarks=("DISTURBED: x",), cells=tuple(blind)
    )
    text = drawn.show(
        diagnoses.diagnosis(is_quick=True, noise=noise, resolvable=()), Screen(200)
    )

    assert "quick: few rounds and processes" in text
    assert "All trials came from one worker process" in text
    assert "Of 10 trials 3 were DISTURBED, 0 INVALID, 0 failed:" in text
    assert "DISTURBED: x" in text
    assert "too few trials gave a number" in text.splitlines()[0]


def test_html_says_the_same_and_escapes_it() -> None:
    """Every table and number of the text; what could be markup is none."""
    made = diagnoses.diagnosis()
    page = drawn.fragment(made)
    text = html.unescape(re.sub(r"<[^>]*>", " ", page))

    assert "&lt;busy&gt;" in page
    assert "<busy>" not in page
    for table in drawn.tables(made):
        assert table.title in text
        for row in table.rows:
            assert all(cell in text for cell in row)
