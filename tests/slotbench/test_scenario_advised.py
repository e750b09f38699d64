"""What a user says of environments and policy, and the scenario that it becomes."""

import math

import pytest

from slotbench.errors import SlotbenchError
from slotbench.records import Batching, Leaf, ThinkTime
from slotbench.scenario import advised, loads
from slotbench.scenario.advised import Asked

RULES = (Batching(1, 8, 10.0), Batching(4, 6, 2.5))


def asked(**changes: object) -> Asked:
    fields: dict[str, object] = {
        "num_envs": 8,
        "leaves": (Leaf("observation", (8,), "float32"),),
        "think_time": ThinkTime(),
        "environment": None,
        "model": {"kind": "sleep"},
    }
    return Asked(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("texts", "leaves"),
    [
        (["float32[84,84,4]"], [("observation", (84, 84, 4), "float32")]),
        (["int64[]"], [("observation", (), "int64")]),
        ([" pixels = uint8 [3, 84,84] "], [("pixels", (3, 84, 84), "uint8")]),
        (
            ["state.joint=float32[27]", "pixels=uint8[3,84,84]"],
            [("state.joint", (27,), "float32"), ("pixels", (3, 84, 84), "uint8")],
        ),
    ],
)
def test_an_observation_is_read(texts: list[str], leaves: list[tuple[str, ...]]) -> None:
    """One leaf without a name, or several with theirs, in their order."""
    assert advised.observation(texts) == tuple(Leaf(*leaf) for leaf in leaves)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["float32"], "write dtype"),
        (["[8]"], "write dtype"),
        (["float32[8"], "write dtype"),
        (["float32[8,]"], "a size is missing"),
        (["float32[,]"], "a size is missing"),
        (["float32[-1]"], "write dtype"),
        (["flot32[8]"], "did you mean float32"),
        (["float32[8]", "uint8[3]"], r"need names: write pixels=float32\[8\]"),
        (["a=float32[8]", "a=uint8[3]"], "'a' is given twice"),
    ],
)
def test_what_is_no_observation_is_said_in_a_line(texts: list[str], message: str) -> None:
    """With what to write instead."""
    with pytest.raises(SlotbenchError, match=message):
        advised.observation(texts)


@pytest.mark.parametrize(
    ("cv", "distribution", "found"),
    [
        (None, None, ThinkTime("lognormal", 5.0, math.sqrt(math.log(1.09)))),
        (0.0, None, ThinkTime("constant", 5.0)),
        (2.0, None, ThinkTime("lognormal", 5.0, math.sqrt(math.log(5.0)))),
        (None, "constant", ThinkTime("constant", 5.0)),
        (None, "exponential", ThinkTime("exponential", 5.0)),
        (1.0, "exponential", ThinkTime("exponential", 5.0)),
        (0.0, "lognormal", ThinkTime("constant", 5.0)),
    ],
)
def test_a_spread_is_a_distribution(
    cv: float | None, distribution: str | None, found: ThinkTime
) -> None:
    """A lognormal's sigma is sqrt(ln(1 + cv²)); without spread it is always the same."""
    told = advised.think_time(5.0, cv=cv, distribution=distribution, mode="idle")
    assert (told.distribution, told.mean_ms, told.mode) == (
        *(found.distribution, found.mean_ms, found.mode),
    )
    assert told.sigma == pytest.approx(found.sigma)


def test_a_step_that_takes_no_time_is_none() -> None:
    """Given or not."""
    for nothing in (None, 0.0):
        told = advised.think_time(nothing, cv=None, distribution=None, mode="idle")
        assert told == ThinkTime()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"cv": 0.5, "distribution": "exponential"},
            "contradicts .*exponential, whose own is 1",
        ),
        ({"cv": 0.5, "distribution": "constant"}, "whose own is 0"),
        ({"step_ms": None, "cv": 0.5}, "give --step-ms"),
        ({"step_ms": None, "distribution": "constant"}, "give --step-ms"),
        ({"distribution": "exponental"}, "did you mean exponential"),
        ({"mode": "busy_nogl"}, "did you mean busy_nogil"),
        ({"step_ms": -1.0}, "--step-ms -1: give a number from 0 to 60000"),
        ({"step_ms": math.nan}, "--step-ms nan"),
        ({"cv": math.inf}, "--step-cv inf"),
    ],
)
def test_steps_that_cannot_be_are_said_in_a_line(
    changes: dict[str, object], message: str
) -> None:
    """With what to give instead."""
    options = {"step_ms": 5.0, "cv": None, "distribution": None, "mode": "idle"} | changes
    with pytest.raises(SlotbenchError, match=message):
        advised.think_time(options.pop("step_ms"), **options)  # type: ignore[arg-type]


def test_the_scenario_is_what_was_asked() -> None:
    """Written and read back: a cell a rule, contenders with the baseline, TorchRL's optional."""
    leaves = (Leaf("state.joint", (27,), "float32"), Leaf("pixels", (3, 84, 84), "uint8"))
    think = ThinkTime("lognormal", 5.0, 0.3, "busy")
    model = {"kind": "sleep", "latency_ms": 2.5, "latency_per_item_ms": 0.1}
    text = advised.compose(
        asked(leaves=leaves, think_time=think, model=model),
        RULES,
        ("slot", "slot[preallocate]", "torchrl.slot[collate=lazy_stack]"),
        "slot",
        3,
        0.25,
    )
    found = loads(text, name="advice")

    assert found.rounds == 3
    assert [cell.workload.batching for cell in found.cells] == list(RULES)
    for cell in found.cells:
        workload = cell.workload
        assert workload.num_slots == 8
        assert workload.observation.leaves == leaves
        assert workload.think_time == think
        assert (workload.model.latency_ms, workload.model.latency_per_item_ms) == (2.5, 0.1)
        assert workload.window.measure_s == 0.25
    assert [(who.label, who.baseline, who.optional) for who in found.contenders] == [
        ("slot", True, False),
        ("slot[preallocate]", False, False),
        ("torchrl.slot[collate=lazy_stack]", False, True),
    ]


def test_an_environment_takes_the_place_of_steps_and_observation() -> None:
    """And a policy of one's own that of times."""
    model = {"kind": "custom", "policy": "my.module:policy"}
    text = advised.compose(
        asked(environment="CartPole-v1", model=model), RULES[:1], ("slot",), "slot", 1, 0.2
    )
    [cell] = loads(text, name="advice").cells
    assert cell.workload.environment is not None
    assert cell.workload.environment.id == "CartPole-v1"
    assert (cell.workload.model.kind, cell.workload.model.policy) == (
        *("custom", "my.module:policy"),
    )


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (
            'advice: observation: leaf "x" is odd (in cell "batching.min_batch_size=1")',
            '--observation: leaf "x" is odd',
        ),
        (
            "environment 'X-v0' cannot be made: no",
            "--environment 'X-v0' cannot be made: no",
        ),
        (
            "model.policy 'a:b' cannot be made: ModuleNotFoundError: No module named 'a'",
            "--policy 'a:b' cannot be made: ModuleNotFoundError: No module named 'a'; looked among "
            "the installed packages and in the working directory",
        ),
        (
            "model.policy 'a:b' raised on a batch of 1: E",
            "--policy 'a:b' raised on a batch of 1: E; --observation was not given, so that it was "
            "called with observation=float32[8]: give yours",
        ),
    ],
)
def test_a_problem_is_said_of_the_option(problem: str, said: str) -> None:
    """Nobody who gave options knows of cells and fields."""
    one = asked(model={"kind": "custom", "policy": "a:b"})
    assert advised.in_options(problem, one, has_observation=False) == said
    given = advised.in_options(problem, one, has_observation=True)
    assert "was not given" not in given
