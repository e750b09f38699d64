"""The user's own policy: found, made, tried, served; and told what is wrong with it."""

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensordict import TensorDict

from slotbench.errors import ScenarioError
from slotbench.measure import policies
from slotbench.measure.executor import LocalExecutor
from slotbench.measure.trial import check
from slotbench.records import GymEnvironment, Model, Scenario, TrialSpec, Workload

Workloads = Callable[..., Workload]
BATCH = TensorDict({"observation": torch.arange(24.0).view(3, 8)}, [3])


def own(name: str) -> Model:
    """A model that is the policy of this name of `own_policies`."""
    return Model(kind="custom", policy=f"own_policies:{name}")


@pytest.mark.parametrize("name", ["doubling", "Doubling", "make_doubling"])
def test_a_policy_is_taken_or_made(name: str, workload: Workloads) -> None:
    """An instance is served; a class and a function without arguments are called for one."""
    policy = policies.build(workload(model=own(name)), seed=1)

    assert torch.equal(policy(BATCH.clone())["action"], 2 * BATCH["observation"])


def test_a_function_of_a_batch_is_the_policy(workload: Workloads) -> None:
    """It is tried on a batch like those that it will be given, without gradients."""
    import own_policies

    own_policies.BATCHES.clear()
    policy = policies.build(workload(model=own("noted")), seed=1)
    policies.build(workload(model=own("noted"), num_slots=1), seed=1)

    assert policy is own_policies.noted
    assert own_policies.BATCHES == [(2, False), (1, False)]


def test_weights_drawn_in_the_making_are_those_of_the_seed(workload: Workloads) -> None:
    """Contenders of a block serve the same network."""
    made = [policies.build(workload(model=own("Linear")), seed) for seed in (1, 1, 2)]
    first, again, other = (policy(BATCH.clone())["action"] for policy in made)

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("no_such_module:f",
         "cannot be made: ModuleNotFoundError: No module named 'no_such_module'"),
        ("own_policies:no_such",
         "cannot be made: AttributeError: module 'own_policies' has no attribute 'no_such'"),
        ("own_policies:needs_module",
         "cannot be made: RuntimeError: no weights (own_policies.py, line {line})"),
        ("own_policies:Scaled",
         "cannot be made: TypeError: Scaled.__init__() missing 1 required positional argument: 'factor'"),
        ("own_policies:make_none",
         "is a NoneType; name a policy, or what makes one when called"),
        ("own_policies:number", "is an int; name a policy, or what makes one when called"),
        ("own_policies:refuses",
         "raised on a batch of 1: ValueError: no weights for 1 rows (own_policies.py, line {line})"),
        ("own_policies:a_tensor",
         "returned a Tensor on a batch of 1; return a TensorDict of batch size [1]"),
        ("own_policies:a_row",
         "returned a TensorDict of batch size [] on a batch of 1; return a TensorDict of batch size [1]"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_line(
    policy: str, said: str, workload: Workloads
) -> None:
    """Before the run, with the place in the user's own file."""
    import own_policies

    model = Model(kind="custom", policy=policy)
    if "{line}" in said:  # the last of a function that does nothing but raise
        lines, first = inspect.getsourcelines(
            getattr(own_policies, policy.partition(":")[2])
        )
        said = said.format(line=first + len(lines) - 1)

    assert check(None, workload(model=model)) == f"model.policy {policy!r} {said}"


def test_what_raised_in_no_line_of_its_authors_is_said_where_it_is_defined(
    workload: Workloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network of the library's own modules, given rows of another width: the last of that name."""
    (tmp_path / "wrapped_policy.py").write_text(
        "import torch\nfrom tensordict.nn import TensorDictModule\nnet = None\n"
        "net = TensorDictModule(torch.nn.Linear(3, 2), ['observation'], ['action'])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    model = Model(kind="custom", policy="wrapped_policy:net")
    assert check(None, workload(model=model)).endswith(
        " (defined in wrapped_policy.py, line 4)"
    )


def test_a_batch_of_two_is_tried_where_there_may_be_one(workload: Workloads) -> None:
    """One that gives a row whatever it is given passes a check of one; a trial says so."""
    model = own("a_row")
    with pytest.raises(ScenarioError, match=r"batch of 2; return a TensorDict of batch"):
        policies.build(workload(model=model), seed=0)


def test_an_environment_needs_an_action(workload: Workloads) -> None:
    """It steps with what "action" says."""
    pytest.importorskip("gymnasium")
    environment = GymEnvironment("CartPole-v1")
    problem = check(None, workload(model=own("noted"), environment=environment))

    assert problem == (
        "model.policy 'own_policies:noted' returned no leaf 'action' on a batch of 1; "
        "return a TensorDict of batch size [1] with 'action'"
    )


def test_an_action_that_the_environment_cannot_take_is_said_before_the_run(
    workload: Workloads,
) -> None:
    """With the action's form, and what a discrete one is."""
    pytest.importorskip("gymnasium")
    environment = GymEnvironment("CartPole-v1")
    problem = check(None, workload(model=own("logits"), environment=environment))

    assert problem.startswith(
        "environment 'CartPole-v1' cannot take the policy's action (torch.float32 [2] a row): "
    )
    assert problem.endswith("; a discrete action is one integer a row, int64 []")
    assert "\n" not in problem


def test_a_worker_serves_it(
    spec: Callable[..., TrialSpec], scenario: Callable[..., Scenario], workload: Workloads
) -> None:
    """Its module is imported once, before trials are forked; replies are checked as ever."""
    made = scenario("slot")
    cell = dataclasses.replace(made.cells[0], workload=workload(model=own("make_doubling")))
    with LocalExecutor(dataclasses.replace(made, cells=(cell,))) as executor:
        assert "?own_policies" in executor._modules
        assert executor.check(None, cell.workload) == ""
        record = executor.run(spec("slot", model=own("make_doubling")))

    assert record.status == "ok", record.error
    assert record.measurement is not None
    assert [one for one in record.findings if one.severity == "INVALID"] == []
