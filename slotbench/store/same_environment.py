"""Whether a record may be gone on with where we are: two environments would be two experiments."""

from collections.abc import Mapping
from typing import Final

from slotbench.compute import environment_diff
from slotbench.errors import RecordError
from slotbench.records import Scalar

_MEASURED: Final = frozenset({"code_sha256", "tensordict_version", "torchrl_version"})
"""Facts of the environment that are part of what is measured."""


def check_same_environment(
    name: str, was: Mapping[str, Scalar], here: Mapping[str, Scalar]
) -> None:
    """Refuse to go on in another environment than a record was begun in.

    Another machine, Python or torch would mix two experiments; so would another state of what
    is measured, committed or not.

    Args:
        name: the record's id.
        was: the environment that it was begun in.
        here: the environment now.

    Raises:
        RecordError: it differs; what differs is named.
    """
    # Records of earlier versions know the commit only.
    measured = _MEASURED if "code_sha256" in was else _MEASURED | {"git_commit"}
    differ = [
        f"{found.name} was {found.base}, is {found.head}"
        for found in environment_diff.differences(was, here)
        if found.forbids or (_is_of(measured, found.name) and found.base is not None)
    ]
    if differ:
        raise RecordError(
            f"{name} was begun in another environment: {'; '.join(differ)}; go on "
            "there, or all the same with --allow-different"
        )


def _is_of(measured: frozenset[str], name: str) -> bool:
    """Whether a fact is one of these.

    Contenders have their own ``<place>.code_sha256``, interpreters their own ``<python>.tensordict_version``.
    """
    fact = environment_diff.fact_of(name)
    return name in measured or fact in measured - {"git_commit"}
