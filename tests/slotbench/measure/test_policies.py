"""What the server runs: actions of the right shape, and the service time asked for."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tensordict import TensorDict, lazy_stack

from slotbench import contenders
from slotbench.measure import policies, systems
from slotbench.measure.identity import REPLY_ID, REQUEST_ID
from slotbench.measure.served import ServedModel
from slotbench.records import GymEnvironment, Leaf, Model, Observation, Workload
from tests.slotbench.support import trials

Workloads = Callable[..., Workload]


def batch(leaves: tuple[Leaf, ...], size: int) -> Any:
    rows = []
    for i in range(size):
        row: dict[str, Any] = {REQUEST_ID: torch.tensor(i)}
        for leaf in leaves:
            value = (torch.ones(leaf.shape) * i).to(getattr(torch, leaf.dtype))
            row[leaf.key] = value
        rows.append(TensorDict(row, batch_size=[]))
    return lazy_stack(rows)


VECTOR = (Leaf("observation", (8,), "float32"),)
SCALARS = (Leaf("a", (), "int64"), Leaf("b", (2, 2), "float32"))
PIXELS = (Leaf("pixels", (4, 84, 84), "uint8"),)


@pytest.mark.parametrize(
    ("model", "leaves"),
    [
        (Model("sleep", num_outputs=3), VECTOR),
        (Model("sleep", num_outputs=3), SCALARS),
        (Model("spin", latency_ms=0.1, num_outputs=3), VECTOR),
        (Model("spin", latency_ms=0.1, hold_gil=True, num_outputs=3), VECTOR),
        (Model("mlp", hidden=(16,), num_outputs=3), VECTOR),
        (Model("mlp", hidden=(), num_outputs=3), SCALARS),
        (Model("nature_cnn", num_outputs=3), PIXELS),
        (Model("cnn", channels=(16, 32, 32), hidden=(16,), num_outputs=3), PIXELS),
        (Model("cnn", hidden=(), num_outputs=3), (*SCALARS, *PIXELS)),
    ],
)
def test_every_policy_gives_an_action_per_row(
    model: Model, leaves: tuple[Leaf, ...], workload: Workloads
) -> None:
    """The action is float32 [n, num_outputs], and rows are not mixed up."""
    policy = policies.build(workload(model=model, observation=Observation(leaves)), seed=0)
    with torch.no_grad():
        together = policy(batch(leaves, 5)).get("action")
        alone = policy(batch(leaves, 5)[3:4]).get("action")

    assert (tuple(together.shape), together.dtype) == ((5, 3), torch.float32)
    torch.testing.assert_close(together[3:4], alone, rtol=1e-4, atol=1e-4)
    assert not torch.equal(together[0], together[4])


@pytest.mark.parametrize(
    ("leaf", "action"),
    [
        (torch.arange(8.0).view(2, 4), [[0, 1, 2], [4, 5, 6]]),
        (torch.arange(6.0).view(2, 3), [[0, 1, 2], [3, 4, 5]]),
        (torch.arange(4.0).view(2, 2), [[0, 1, 0], [2, 3, 0]]),
        (torch.arange(1.0, 3.0), [[1, 0, 0], [2, 0, 0]]),
        (torch.arange(16).view(2, 2, 2, 2), [[0, 1, 2], [8, 9, 10]]),
        (torch.full((2, 4), 255, dtype=torch.uint8), [[255] * 3] * 2),
        (torch.ones((2, 4), dtype=torch.bool), [[1] * 3] * 2),
        (torch.ones((2, 4), dtype=torch.float64), [[1] * 3] * 2),
    ],
    ids=["wider", "as-wide", "narrower", "scalar", "nested", "uint8", "bool", "float64"],
)
def test_the_synthetic_action_is_the_first_numbers_of_the_first_leaf(
    leaf: torch.Tensor, action: list[list[float]]
) -> None:
    """As float32, zeros where the leaf has too few; other leaves do not matter."""
    sizes: list[int] = []
    policy = policies.SyntheticPolicy(
        [("a",), ("b", "c")], policies.Head(3, is_discrete=False), sizes.append
    )
    given = TensorDict({"a": leaf, "b": {"c": torch.full((2, 9), 7.0)}}, [2])
    result = policy(given)

    assert result is given
    assert result["action"].dtype == torch.float32
    assert result["action"].tolist() == action
    assert sizes == [2]


@pytest.mark.parametrize(("width", "is_view"), [(4, True), (3, True), (2, False)])
def test_the_synthetic_action_is_a_view_where_it_can_be(width: int, is_view: bool) -> None:
    """A copy would be the policy's cost, and with no service time the transport is measured."""
    policy = policies.SyntheticPolicy(
        [("a",)], policies.Head(3, is_discrete=False), lambda size: None
    )
    leaf = torch.ones(2, width)
    action = policy(TensorDict({"a": leaf}, [2]))["action"]

    assert (action.data_ptr() == leaf.data_ptr()) is is_view


def test_a_discrete_synthetic_action_is_the_greatest_of_the_first_numbers() -> None:
    """The fourth number of a row is beyond the three outputs."""
    policy = policies.SyntheticPolicy(
        [("a",)], policies.Head(3, is_discrete=True), lambda size: None
    )
    leaf = torch.tensor([[0.0, 2.0, 1.0, 9.0], [5.0, 2.0, 1.0, 9.0]])

    assert policy(TensorDict({"a": leaf}, [2]))["action"].tolist() == [1, 0]


def test_all_of_the_observation_is_read() -> None:
    """A lazily stacked batch is stacked leaf by leaf, also where the action needs only one."""
    policy = policies.SyntheticPolicy(
        [("a",), ("b",)], policies.Head(1, is_discrete=False), lambda size: None
    )
    read: list[Any] = []

    class Noting(TensorDict):
        def get(self, key: Any, *args: Any, **kwargs: Any) -> Any:
            read.append(key)
            return super().get(key, *args, **kwargs)

    policy(Noting({"a": torch.ones(2, 1), "b": torch.ones(2, 1)}, [2]))

    assert [key for key in read if key in {("a",), ("b",)}] == [("a",), ("b",)]


def test_weights_are_those_of_the_seed(workload: Workloads) -> None:
    """Contenders of a block serve the same network."""
    cell = workload(model=Model("mlp"))
    actions = [
        policies.build(cell, seed)(batch(VECTOR, 2)).get("action") for seed in (1, 1, 2)
    ]

    assert torch.equal(actions[0], actions[1])
    assert not torch.equal(actions[0], actions[2])


@pytest.mark.parametrize("kind", ["sleep", "spin"])
def test_service_time_grows_with_the_batch(kind: Any) -> None:
    """A batch of n is never served faster than a + b·n."""
    serve = policies.service_time(Model(kind, latency_ms=1.0, latency_per_item_ms=0.5))
    began = time.perf_counter()
    serve(8)

    assert time.perf_counter() - began >= 0.005


def test_discrete_actions_are_integers(workload: Workloads) -> None:
    """CartPole's policy gives one int64 index per row."""
    pytest.importorskip("gymnasium")
    cell = workload(environment=GymEnvironment("CartPole-v1"), model=Model("mlp"))
    action = policies.build(cell, 0)(batch((Leaf("observation", (4,), "float32"),), 6)).get(
        "action"
    )

    assert (tuple(action.shape), action.dtype) == ((6,), torch.int64)
    assert set(action.tolist()) <= {0, 1}


def test_the_served_model_echoes_ids_and_logs_batches(workload: Workloads) -> None:
    """Each row's reply id is its request's; every batch is counted and stamped."""
    policy = policies.build(workload(), 0)
    served = ServedModel(policy, lambda size: None, max_batches=2)

    result = served(batch(VECTOR, 3))
    served(batch(VECTOR, 2))
    served(batch(VECTOR, 4))  # beyond the log's room: served and counted

    assert result.get(REPLY_ID).tolist() == [0, 1, 2]
    begin_ns, end_ns, sizes = served.log()
    assert sizes.tolist() == [3, 2]
    assert (end_ns > begin_ns).all()
    assert served.num_served == 9


def test_the_echo_is_the_very_tensor_the_model_was_given(workload: Workloads) -> None:
    """A copy would hide a transport that hands out memory which the next batch overwrites."""
    served = ServedModel(policies.build(workload(), 0), lambda size: None, max_batches=1)
    given = batch(VECTOR, 3).contiguous()
    ids = given.get(REQUEST_ID)

    assert served(given).get(REPLY_ID) is ids


OUTPUTS = (
    Leaf("action", (), "int64"),
    Leaf("policy.logits", (6,), "float32"),
    Leaf("state", (2, 3), "float16"),
    Leaf("done", (1,), "bool"),
)


@pytest.mark.parametrize("kind", ["sleep", "mlp"])
def test_a_reply_has_the_outputs_that_were_asked_for(
    kind: Any, workload: Workloads
) -> None:
    """Each of its shape and dtype, in memory that no other batch has."""
    model = Model(kind, outputs=OUTPUTS, num_outputs=6)
    policy = policies.build(workload(model=model), seed=0)
    with torch.no_grad():
        first, second = policy(batch(VECTOR, 5)), policy(batch(VECTOR, 5))

    for leaf in OUTPUTS:
        key = tuple(leaf.key.split("."))
        tensor, other = first.get(key), second.get(key)
        assert (tuple(tensor.shape), str(tensor.dtype)) == (
            (5, *leaf.shape),
            f"torch.{leaf.dtype}",
        )
        assert tensor.data_ptr() != other.data_ptr()


def test_a_networks_outputs_are_parts_of_its_last_layer(workload: Workloads) -> None:
    """The action is the greatest of numbers of its own; the others follow, in their order."""
    model = Model("mlp", hidden=(), outputs=OUTPUTS[:3], num_outputs=4)
    given = batch(VECTOR, 5).contiguous()
    policy = policies.build(workload(model=model), seed=1)
    torch.manual_seed(1)
    layer = torch.nn.Linear(8, 4 + 6 + 6)
    with torch.no_grad():
        numbers = layer(given["observation"])
        result = policy(given)

    assert torch.equal(result["action"], numbers[:, :4].argmax(-1))
    assert torch.equal(result["policy", "logits"], numbers[:, 4:10])
    assert torch.equal(result["state"], numbers[:, 10:].reshape(5, 2, 3).half())


def test_torchrls_benchmark_network_is_expressible(workload: Workloads) -> None:
    """benchmarks/bench_collectors.py: ConvNet, MLP, tanh; the same weights, the same actions."""
    torchrl_modules = pytest.importorskip("torchrl.modules")
    shape = (3, 84, 84)
    model = Model(
        "cnn",
        channels=(16, 32, 32),
        hidden=(256,),
        num_outputs=6,
        output_activation="tanh",
    )
    pixels = torch.randint(256, (4, *shape), dtype=torch.uint8)
    observation = Observation((Leaf("pixels", shape, "uint8"),))
    policy = policies.build(workload(model=model, observation=observation), seed=5)
    torch.manual_seed(5)
    convolutions = torchrl_modules.ConvNet(
        in_features=3,
        activation_class=torch.nn.ReLU,
        num_cells=[16, 32, 32],
        kernel_sizes=[8, 4, 3],
        strides=[4, 2, 1],
    )
    perceptron = torchrl_modules.MLP(
        in_features=32 * 7 * 7,
        out_features=6,
        num_cells=[256],
        activation_class=torch.nn.ReLU,
    )
    with torch.no_grad():
        action = policy(TensorDict({"pixels": pixels}, [4]))["action"]
        theirs = torch.tanh(perceptron(convolutions(pixels.float() / 255)))

    torch.testing.assert_close(action, theirs)


@pytest.mark.parametrize(
    "contender",
    ["slot", "slot[preallocate]", "threading", "torchrl.slot[collate=lazy_stack]"],
)
def test_every_output_comes_back(contender: str) -> None:
    """Nested ones too: an actor's reply has them all, its own row of them."""
    if contender.startswith("torchrl"):
        pytest.importorskip("torchrl")
    model = Model("mlp", outputs=OUTPUTS, num_outputs=6)
    one = trials.workload(model=model, num_slots=3)
    system = systems.build(
        contenders.parse(contender),
        3,
        one.batching,
        ServedModel(policies.build(one, 0), lambda size: None, max_batches=1),
    )
    client = system.client()
    system.start()
    request = batch(VECTOR, 3)[2].clone()
    try:
        reply = client(request)
    finally:
        assert system.shutdown(5.0)
    with torch.no_grad():
        alone = policies.build(one, 0)(batch(VECTOR, 3)[2:3])[0]

    for leaf in OUTPUTS:
        key = tuple(leaf.key.split("."))
        torch.testing.assert_close(reply.get(key), alone.get(key), rtol=1e-3, atol=1e-3)
