"""Rules that tie fields of a scenario to each other, with their messages."""

import re

import pytest

from slotbench.errors import ScenarioError
from slotbench.records import Leaf, Model, Scenario, Workload
from slotbench.scenario import loads

HEAD = 'title = "t"\nquestion = "q"\n'
CONTENDERS = '\n[[contenders]]\nname = "torchrl.threading"\n'
CARTPOLE = 'environment.id = "CartPole-v1"\n'


def scenario(fields: str) -> Scenario:
    """A scenario of 4 slots with these fields."""
    slots = "" if re.search(r"^\s*num_slots =", fields, re.MULTILINE) else "num_slots = 4\n"
    return loads(HEAD + slots + fields + CONTENDERS, name="x", source="x.toml")


def workload(fields: str) -> Workload:
    """The workload of a scenario without a grid."""
    (cell,) = scenario(fields).cells
    return cell.workload


def raises(message: str) -> pytest.RaisesExc[ScenarioError]:
    """Expects exactly this line."""
    return pytest.raises(ScenarioError, match=f"^{re.escape(message)}$")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("think_time.mean_ms = 1",
         'think_time: mean_ms must be 0 where distribution is "none"; set a distribution'),
        ("think_time.distribution = 'constant'",
         'think_time: mean_ms must be above 0 where distribution is "constant"; set it'),
        ("model.hold_gil = true", 'model: hold_gil is for kind "spin", not "sleep"; remove it'),
        ("model = { kind = 'mlp', latency_ms = 1 }",
         'model: a latency is for kinds "sleep" and "spin"; "mlp" takes what it takes'),
        ("think_time = { distribution = 'constant', mean_ms = 1, reset_ms = 1 }",
         "think_time: reset_ms needs reset_every, steps of an episode; set it"),
        ("think_time.reset_max_ms = 1",
         "think_time: reset_max_ms needs reset_every, steps of an episode; set it"),
        ("think_time.reset_actors = 1",
         "think_time: reset_actors needs reset_every, steps of an episode; set it"),
        ("think_time.reset_every = 16",
         "think_time: reset_every needs a reset that takes time; set reset_ms"),
        ("think_time = { reset_every = 16, reset_ms = 20, reset_max_ms = 10 }",
         "think_time: reset_max_ms 10 is below reset_ms 20; raise it"),
        ("think_time = { reset_every = 16, reset_ms = 20, reset_actors = 5 }",
         "think_time.reset_actors 5 is above num_slots 4; lower it"),
        ("model.channels = [16]", 'model: channels is for kind "cnn", not "sleep"; remove it'),
        ("model = { kind = 'nature_cnn', output_activation = 'tanh' }\nobservation.shape = [4, 84, 84]",
         'model: output_activation is for kind "mlp" or "cnn", not "nature_cnn"; remove it'),
        ("model.policy = 'm:f'", 'model: policy is for kind "custom", not "sleep"; remove it'),
        ("model = { kind = 'cnn', channels = [16, 32] }\nobservation.shape = [4, 84, 84]",
         "model: a number for each convolution: channels has 2, kernel_sizes has 3, strides has 3; make them as many"),
        ("model.kind = 'cnn'",
         'model.kind "cnn" needs one leaf of shape [C, H, W], its image; there are 0'),
        ("model.kind = 'cnn'\nobservation.shape = [4, 84, 19]",
         "convolution 1: a kernel of 4 is larger than what it reads, 20 × 3; lower model.kernel_sizes[1]"),
        ("model.kind = 'custom'",
         'model: kind "custom" needs policy = "package.module:name", not ""'),
        ("model = { kind = 'custom', policy = 'm' }",
         'model: kind "custom" needs policy = "package.module:name", not "m"'),
        ("model = { kind = 'custom', policy = 'm:f', outputs.a.shape = [] }",
         'model: outputs are what kind "custom" returns; remove them'),
        ("model = { kind = 'custom', policy = 'm:f', latency_ms = 1 }",
         'model: a latency is for kinds "sleep" and "spin"; "custom" takes what it takes'),
        ("model.outputs.reply_id.shape = [3]",
         "model: output 'reply_id' is reserved for the harness; rename it"),
        ("model.outputs.request_id.a.shape = [3]",
         "model: output 'request_id.a' is reserved for the harness; rename it"),
        ("model.outputs.'a b'.shape = [3]",
         "model: output 'a b': use Python names, joined by dots"),
        ("model = { num_outputs = 2, outputs.action.shape = [] }",
         'model: with outputs, num_outputs is how many an int64 scalar "action" is chosen of; remove it'),
        ("model.outputs.observation.a.shape = []",
         "model.outputs: 'observation.a' and 'observation' exclude each other; rename one"),
        ("batching.min_batch_size = 65",
         "batching: min_batch_size 65 is above max_batch_size 64; lower the one or raise the other"),
        ("batching = { min_batch_size = 5, max_batch_size = 'num_slots' }",
         "batching: min_batch_size 5 is above max_batch_size 4; lower the one or raise the other"),
        ("window.max_measure_s = 0.5",
         "window: max_measure_s 0.5 is below measure_s 1; raise it"),
        ("window.max_requests = 499",
         "window: max_requests 499 is below min_requests 500; raise it"),
        ("observation = { shape = [3], leaves.a.shape = [3] }",
         "observation: leaves excludes shape, dtype and num_leaves; remove the one or the others"),
        ("observation.leaves.request_id.shape = [3]",
         "observation: leaf 'request_id' is reserved for the harness; rename it"),
        ("observation.leaves.action.x.shape = [3]",
         "observation: leaf 'action.x' is reserved for the harness; rename it"),
        ("observation.leaves.reply_id.shape = [3]",
         "observation: leaf 'reply_id' is reserved for the harness; rename it"),
        ("observation.leaves.'a b'.shape = [3]",
         "observation: leaf 'a b': use Python names, joined by dots"),
        ("observation.shape = [1000000, 1000]",
         "the observations of 4 slots take 14.9 GiB; keep them below 4 GiB"),
        (f"{CARTPOLE}observation.shape = [4]",
         "environment decides the observation; remove observation.shape, dtype, num_leaves and leaves"),
        (f"{CARTPOLE}observation.leaves.a.shape = [4]",
         "environment decides the observation; remove observation.shape, dtype, num_leaves and leaves"),
        (f"{CARTPOLE}think_time.mode = 'idle'",
         "environment takes the place of think_time; remove think_time"),
        (f"{CARTPOLE}model.kind = 'nature_cnn'",
         'with an environment, model.kind is "sleep", "spin", "mlp" or "custom"'),
        (f"{CARTPOLE}model.outputs.action.shape = []",
         "environment decides the action; remove model.outputs"),
    ],
)  # fmt: skip
def test_fields_that_disagree_are_named_with_the_cell(fields: str, message: str) -> None:
    """Without a grid the file is enough; in a grid the line ends with the cell."""
    with raises(f"x.toml: {message}"):
        scenario(fields)
    with raises(f'x.toml: {message} (in cell "torch_threads=1")'):
        scenario(f"{fields}\n[grid]\ntorch_threads = [1, 2]\n")


@pytest.mark.parametrize("shape", ["[8]", "[4, 35, 84]", "[4, 84, 35]", "[1, 4, 84, 84]"])
def test_nature_cnn_needs_an_image(shape: str) -> None:
    """One leaf, three dimensions, 36 pixels a side; anything else is refused."""
    message = 'x.toml: model.kind "nature_cnn" needs one leaf of shape [C, H, W] with H and W of at least 36'
    with raises(message):
        scenario(f"model.kind = 'nature_cnn'\nobservation.shape = {shape}")
    with raises(message):
        scenario(
            "model.kind = 'nature_cnn'\nobservation = { shape = [4, 84, 84], num_leaves = 2 }"
        )
    made = workload("model.kind = 'nature_cnn'\nobservation.shape = [1, 36, 36]")
    assert made.model.kind == "nature_cnn"


def test_limits_between_fields_are_inclusive() -> None:
    """What is exactly at a limit loads."""
    made = workload(
        "batching = { min_batch_size = 'num_slots', max_batch_size = 'num_slots' }"
    )
    assert (made.batching.min_batch_size, made.batching.max_batch_size) == (4, 4)
    workload(
        "window = { measure_s = 2, max_measure_s = 2, min_requests = 7, max_requests = 7 }"
    )
    workload(
        "num_slots = 1\nobservation = { shape = [4, 1024, 1024, 1024], dtype = 'uint8' }"
    )
    with pytest.raises(ScenarioError, match=r"slots take 4\.0 GiB; keep"):
        workload("num_slots = 1\nobservation = { shape = [4294967297], dtype = 'uint8' }".replace(
            "4294967297", "65537, 65536"))  # fmt: skip


@pytest.mark.parametrize("kind", ["mlp", "nature_cnn", "cnn"])
def test_the_floor_needs_a_known_service_time(kind: str) -> None:
    """With a real network it would be a floor of nothing, and is refused."""
    leaves = 'observation.shape = [4, 84, 84]\n[[contenders]]\nname = "floor"\n'
    with raises(
        f"x.toml: contender floor has no service time for model.kind {kind} "
        '(in cell "all"); remove floor, or use sleep or spin'
    ):
        scenario(f'model.kind = "{kind}"\n{leaves}')
    assert scenario(f'model.kind = "sleep"\n{leaves}').cells


def test_the_floor_does_not_know_a_users_policy() -> None:
    """Nor what it takes."""
    with pytest.raises(ScenarioError, match=r"no service time for model\.kind custom"):
        scenario(
            "model = { kind = 'custom', policy = 'm:f' }\n[[contenders]]\nname = 'floor'\n"
        )


def test_outputs_are_leaves_of_the_reply() -> None:
    """Nested as observations are; one may have the name of a leaf it takes the place of."""
    made = workload(
        """
        observation.leaves.state.shape = [2]
        model.num_outputs = 6
        [model.outputs]
        action = { shape = [], dtype = "int64" }
        "policy.logits" = { shape = [6] }
        state = { shape = [2] }
        """
    )
    assert made.model.outputs == (
        Leaf("action", (), "int64"),
        Leaf("policy.logits", (6,), "float32"),
        Leaf("state", (2,), "float32"),
    )
    with raises(
        "x.toml: model.outputs.a.dtyp: unknown field; did you mean model.outputs.a.dtype or model.outputs.a.shape?"
    ):
        scenario("model.outputs.a = { shape = [1], dtyp = 'bool' }")


def test_the_convolutions_of_torchrls_benchmark() -> None:
    """benchmarks/bench_collectors.py: 16, 32, 32 channels, 256 hidden units, tanh at the end."""
    made = workload(
        """
        observation = { shape = [3, 84, 84], dtype = "uint8" }
        [model]
        kind = "cnn"
        channels = [16, 32, 32]
        hidden = [256]
        num_outputs = 6
        output_activation = "tanh"
        """
    )
    assert made.model == Model(
        kind="cnn",
        channels=(16, 32, 32),
        hidden=(256,),
        num_outputs=6,
        output_activation="tanh",
    )
