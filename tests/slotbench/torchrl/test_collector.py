"""TorchRL's AsyncBatchedCollector over our transports: whole, in order, and as the policy says."""

import threading
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictModuleBase
from tensordict.nn.probabilistic import InteractionType, interaction_type

from slotbench.torchrl import SlotTransport

inference_server = pytest.importorskip("torchrl.modules.inference_server")

NUM_ENVS = 4
STEPS = 5


def check(batch: Any) -> None:
    """The action of each step is the policy's for that step's observation, and episodes are whole."""
    observed = batch["agent", "observation"]
    assert batch["action"].squeeze(-1).tolist() == observed.sum(-1).tolist()
    assert batch["next", "agent", "observation"].tolist() == (observed + 1).tolist()
    is_last = observed[:, 0] == STEPS - 1
    assert batch["next", "done"].squeeze(-1).tolist() == is_last.tolist()


def test_steps_are_whole(transport: Any, collect: Any, nested_policy: Any) -> None:
    """Each env's steps come in order, over resets, with the action for each observation."""
    collector = collect(transport, nested_policy, max_batch_size=NUM_ENVS)
    steps: dict[int, list[float]] = {}
    for batch in collector:
        check(batch)
        assert batch.numel() == 20
        for env, observation in zip(
            batch["env_index"], batch["agent", "observation"], strict=True
        ):
            steps.setdefault(int(env), []).append(observation[0].item())

    assert sum(map(len, steps.values())) == 60
    assert set(steps) <= set(range(NUM_ENVS))
    for seen in steps.values():
        assert seen == [float(i % STEPS) for i in range(len(seen))]
    assert collector.server_stats()["requests"] >= 60
    assert collector.server_stats()["p50_queue_ms"] > 0.0


def test_data_has_the_leaves_it_has_with_torchrls_own(
    transport: Any, collect: Any, nested_policy: Any
) -> None:
    """Nothing is added to what is collected, and nothing is missing."""
    ours, theirs = (
        next(iter(collect(each, nested_policy)))
        for each in (transport, inference_server.SlotTransport(NUM_ENVS))
    )
    assert set(ours.keys(True, True)) == set(theirs.keys(True, True))


def test_devices_may_be_named(transport: Any, collect: Any, nested_policy: Any) -> None:
    """Envs, policy and storage on a named device: the metadata that this adds is no obstacle."""
    collector = collect(
        transport,
        nested_policy,
        device_config=inference_server.InferenceDeviceConfig(
            policy_device="cpu",
            output_device="cpu",
            env_device="cpu",
            storing_device="cpu",
        ),
    )
    for batch in collector:
        check(batch)
        assert batch.device == torch.device("cpu")


def test_whole_trajectories(transport: Any, collect: Any, nested_policy: Any) -> None:
    """Each batch is one episode of five steps where that is asked for."""
    collector = collect(
        transport,
        nested_policy,
        frames_per_batch=1,
        total_frames=30,
        yield_completed_trajectories=True,
    )
    for batch in collector:
        check(batch)
        assert batch["agent", "observation"][:, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_policy_may_be_made_by_the_collector(
    transport: Any, collect: Any, nested_policy: Any
) -> None:
    """`policy_factory` is served as a policy is, and batches go through `postproc`."""
    collector = collect(
        transport,
        policy_factory=lambda: nested_policy,
        postproc=lambda td: td.set("seen", torch.ones(td.batch_size)),
        policy_version_key=None,
    )
    for batch in collector:
        check(batch)
        assert batch["seen"].all()
        assert "policy_version" not in batch.keys()  # noqa: SIM118 - a TensorDict is not iterated by key


@pytest.mark.parametrize("mode", [InteractionType.RANDOM, InteractionType.DETERMINISTIC])
def test_the_exploration_type_reaches_the_policy(
    transport: Any, collect: Any, mode: InteractionType
) -> None:
    """What the collector was told is how the policy samples, at resets and at steps."""

    class Policy(TensorDictModuleBase):  # type: ignore[misc]  # tensordict is untyped
        in_keys = (("agent", "observation"),)
        out_keys = ("action", "is_random")

        def forward(self, td: Any) -> Any:
            is_random = interaction_type() is InteractionType.RANDOM
            td["action"] = torch.zeros(*td.batch_size, 1)
            td["is_random"] = torch.full(td.batch_size, is_random)
            return td

    for batch in collect(transport, Policy(), exploration_type=mode):
        assert batch["is_random"].tolist() == [mode is InteractionType.RANDOM] * 20


def test_new_weights_are_collected_with(
    transport: Any, collect: Any, nested_policy: Any
) -> None:
    """Each step after `update_policy_weights_` is the new weights', and says so."""
    collector = collect(transport, nested_policy, total_frames=-1)
    batches = iter(collector)
    next(batches)
    new = TensorDictModule(torch.nn.Linear(2, 1, bias=False), in_keys=["x"], out_keys=["y"])
    with torch.no_grad():
        new.module.weight.fill_(-3.0)
    collector.update_policy_weights_(new)
    versions: set[int] = set()
    for batch in batches:
        observed = batch["agent", "observation"].sum(-1)
        version = batch["policy_version"]
        expected = torch.where(version == 0, observed, -3.0 * observed)
        assert batch["action"].squeeze(-1).tolist() == expected.tolist()
        versions |= set(version.tolist())
        if version.min() == 1:
            break

    assert collector.policy_version == 1
    assert versions <= {0, 1}


def test_a_pause_leaves_the_policy_alone(
    transport: Any, collect: Any, nested_policy: Any
) -> None:
    """In `pause` nobody asks the policy; afterwards collection goes on."""
    collector = collect(transport, nested_policy, total_frames=-1)
    batches = iter(collector)
    next(batches)
    with collector.pause():
        before = collector.server_stats()["requests"]
        collector.update_policy_weights_(TensorDict.from_module(nested_policy).data.clone())
        assert collector.server_stats()["requests"] == before
    for _ in range(3):
        check(next(batches))


def test_a_policys_error_ends_collection(transport: Any, collect: Any) -> None:
    """It reaches the loop, as the cause, instead of leaving it waiting."""

    def policy(td: Any) -> Any:
        raise ArithmeticError("no action")

    collector = collect(transport, policy)
    with pytest.raises(RuntimeError) as raised:
        next(iter(collector))

    causes = []
    error: BaseException | None = raised.value
    while error is not None:
        causes.append(type(error))
        error = error.__cause__
    assert ArithmeticError in causes


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_policy_that_exits_ends_collection(transport: Any, collect: Any) -> None:
    """TorchRL's server dies of SystemExit without a word; the actors notice, and the loop ends."""

    def policy(td: Any) -> Any:
        raise SystemExit

    collector = collect(transport, policy)
    outcome: list[BaseException] = []

    def run() -> None:
        try:
            next(iter(collector))
        except BaseException as exc:  # noqa: BLE001 - it is what is looked at
            outcome.append(exc)

    learner = threading.Thread(target=run, daemon=True)
    learner.start()
    learner.join(20)

    assert [type(exc) for exc in outcome] == [RuntimeError]


def test_a_collector_is_shut_down_twice(
    transport: Any, collect: Any, nested_policy: Any
) -> None:
    """In the middle of collection, and again: no thread is left, and nothing raised."""
    collector = collect(transport, nested_policy, total_frames=-1)
    next(iter(collector))
    collector.shutdown()
    collector.shutdown()


def test_envs_may_be_processes(collect: Any, nested_policy: Any) -> None:
    """Workers that are processes are driven by one thread here, which polls all the clients."""
    collector = collect(
        SlotTransport(2),
        nested_policy,
        num_envs=2,
        total_frames=40,
        env_backend="multiprocessing",
    )
    assert sum(batch.numel() for batch in collector) == 40
