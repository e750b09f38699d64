"""The guarantees as they are stated where a user reads them."""

from __future__ import annotations

import transports
from transports.conformance import GUARANTEES


def test_the_contract_states_each_guarantee():
    """In the words of the checks, in their order."""
    stated = " ".join((transports.Transport.__doc__ or "").split())
    assert [*GUARANTEES] == [1, 2, 3, 4, 5, 6, 7]
    for number, sentence in GUARANTEES.items():
        assert f"{number}. {sentence}" in stated
