"""A check that fails on no system checks nothing: each must catch a system broken on purpose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import transports
from transports.conformance import CHECKS, MUTANTS

# In a process of its own: mutants leave hanging actors behind. Less patience than for an honest
# system, since waiting for those is most of the time.
RUN_ALL = """
import json, os, sys
import torch
from transports.conformance import MUTANTS, _actors, run_check
torch.set_num_threads(1)
for mutant in MUTANTS:
    # What that one takes is the scenario.
    is_timed = mutant.breaks == 'timeout-counts-from-oldest'
    _actors.PATIENCE_S = 3.0 if is_timed else 0.5
    finding = run_check(mutant.breaks, mutant.factory)
    print(json.dumps([mutant.name, finding.outcome, finding.reason]), flush=True)
os._exit(0)
"""


@pytest.fixture(scope="module")
def findings() -> dict[str, tuple[str, str]]:
    """What the check that each mutant breaks finds on it: outcome and reason."""
    root = str(Path(transports.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": root},
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {name: (outcome, reason) for name, outcome, reason in lines}


# What the reason must tell, where a check could fail for the wrong reason.
TELLING = {
    "rotates-rows": "in 'echo' of actor",
    "serves-twice": "2 times",
    "leaves-late-callers-alone:call-after-shutdown": "no answer and no error within 0.5 s",
    "forgets-who-waits:shutdown-under-load": "no answer and no error within 0.5 s",
    "wants-its-reply-read:model-raises-timeout-error": "next call: expected a reply",
    "checks-nothing:bad-client-shape": "call of the good client: expected a reply",
    "casts-to-the-first": "expected 2.7",
    "serves-newest-first": "batches later; expected at most 5",
    "hands-late-replies-on:late-reply-after-close": "expected [2, 0], got [7, 0]",
    "accepts-anything:refuses-min-above-max": "min_batch_size=4, max_batch_size=2 is accepted",
    "refuses-everything:refuses-min-above-max": "TypeError: got an unexpected argument",
    "ring-of-eight:result-survives-pass-through": "19 requests later it is [16.0",
    "reuses-memory-of-pairs": "'action' of result 0",
    "locks-the-request:request-is-not-mutated": "is_locked=True",
    "waits-for-the-model": "shutdown(): no answer and no error within",
    "looks-late": "no error within 1 s, in 3 tries",
    "speaks-of-a-deadline:call-after-shutdown": "that no server runs, got RuntimeError",
    "stumbles-over-its-end:call-before-start": "that no server runs, got AttributeError",
    "forgets-its-death": "call after that: no answer and no error",
    "never-answers-the-cancelled:cancelled-reply": "result() of the cancelled request: no",
    "tells-no-shapes": "expected a ValueError with obs, [3], [4]",
    "dies-of-bad-requests-openly:bad-client-at-first-contact": "are refused as well",
    "gives-back-twice": "call of an heir: no answer",
    "restarts-its-timer": "the first was served after",
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_is_caught(findings, mutant):
    """The check it breaks fails on it, in one line that tells what is wrong."""
    outcome, reason = findings[mutant.name]
    assert outcome == "fail"
    assert TELLING.get(mutant.name, "") in reason
    assert reason
    assert "\n" not in reason


def test_each_check_has_a_mutant():
    """And no mutant breaks a check that does not exist."""
    assert {mutant.breaks for mutant in MUTANTS} == {check.name for check in CHECKS}


def test_mutants_have_names_and_say_what_is_wrong():
    """Names are unique; each says in a sentence what it does."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    for mutant in MUTANTS:
        assert mutant.what.endswith(".")
        assert mutant.what[0].isupper()
    assert set(TELLING) <= {mutant.name for mutant in MUTANTS}
