"""Every field of a scenario and every way to get one wrong, with its message."""

import dataclasses
import re
from typing import Any

import pytest

from slotbench.errors import ScenarioError
from slotbench.records import (
    Batching,
    GymEnvironment,
    Leaf,
    Model,
    Observation,
    Scenario,
    ThinkTime,
    Window,
    Workload,
)
from slotbench.scenario import loads

HEAD = 'title = "t"\nquestion = "q"\n'
CONTENDERS = '\n[[contenders]]\nname = "torchrl.threading"\n'
CARTPOLE = 'environment.id = "CartPole-v1"\n'


def scenario(fields: str = "", **changes: Any) -> Scenario:
    """A scenario of 4 slots with these fields."""
    slots = "" if re.search(r"^\s*num_slots =", fields, re.MULTILINE) else "num_slots = 4\n"
    return loads(HEAD + slots + fields + CONTENDERS, name="x", source="x.toml", **changes)


def workload(fields: str) -> Workload:
    """The workload of a scenario without a grid."""
    (cell,) = scenario(fields).cells
    return cell.workload


def raises(message: str) -> pytest.RaisesExc[ScenarioError]:
    """Expects exactly this line."""
    return pytest.raises(ScenarioError, match=f"^{re.escape(message)}$")


def test_a_minimal_scenario_has_the_defaults_of_the_records() -> None:
    """Title, question, slots and a contender are enough; the rest is the records' default."""
    made = scenario()
    assert made.cells[0].name == "all"
    assert made.cells[0].coordinates == {}
    assert made.cells[0].workload == Workload(
        num_slots=4,
        observation=Observation((Leaf("observation", (8,), "float32"),)),
        think_time=ThinkTime(),
        model=Model(),
        batching=Batching(),
        window=Window(),
    )
    assert (made.name, made.title, made.question, made.source) == ("x", "t", "q", "x.toml")
    assert (made.rounds, made.seed, made.threshold, made.overrides) == (8, 1, 0.03, ())
    assert made.text == f"{HEAD}num_slots = 4\n{CONTENDERS}"


def test_every_field_of_the_workload_arrives() -> None:
    """What is written is what the record has, as floats and tuples where it has those."""
    made = workload("""
        num_slots = 36
        torch_threads = 2
        switch_interval_s = 0.001
        think_time = { distribution = "lognormal", mean_ms = 2, sigma = 0.5, mode = "busy" }
        batching = { min_batch_size = 2, max_batch_size = "num_slots", timeout_ms = 5 }
        [observation]
        shape = [84, 84, 4]
        dtype = "uint8"
        num_leaves = 2
        device_metadata = true
        reuse_request = true
        [model]
        kind = "spin"
        latency_ms = 1
        latency_per_item_ms = 0.01
        hold_gil = true
        hidden = [32]
        num_outputs = 6
        [window]
        warmup_s = 1
        measure_s = 2
        min_requests = 9
        max_measure_s = 3
        max_requests = 99
    """)
    assert made == Workload(
        num_slots=36,
        observation=Observation(
            (Leaf("leaf_0", (84, 84, 4), "uint8"), Leaf("leaf_1", (84, 84, 4), "uint8")),
            device_metadata=True,
            reuse_request=True,
        ),
        think_time=ThinkTime("lognormal", 2.0, 0.5, "busy"),
        model=Model("spin", 1.0, 0.01, True, (32,), 6),
        batching=Batching(2, 36, 5.0),
        window=Window(1.0, 2.0, 9, 3.0, 99),
        environment=None,
        torch_threads=2,
        switch_interval_s=0.001,
    )
    assert isinstance(made.model.latency_ms, float)


def test_leaves_nest_by_dots_or_by_tables() -> None:
    """A quoted dotted key and nested tables mean the same; dtype is float32 by default."""
    dotted = workload("""
        [observation.leaves]
        "state.joint" = { shape = [27], dtype = "float64" }
        pixels = { shape = [84, 84, 3], dtype = "uint8" }
        "state.shape" = { shape = [] }
    """)
    assert set(dotted.observation.leaves) == {
        Leaf("state.joint", (27,), "float64"),
        Leaf("pixels", (84, 84, 3), "uint8"),
        Leaf("state.shape", (), "float32"),
    }
    nested = workload("""
        [observation.leaves.state]
        joint = { shape = [27], dtype = "float64" }
        shape.shape = []
        [observation.leaves.pixels]
        shape = [84, 84, 3]
        dtype = "uint8"
    """)
    assert set(nested.observation.leaves) == set(dotted.observation.leaves)


def test_an_environment_decides_the_leaves() -> None:
    """With an environment the record has no leaves, but keeps how requests are sent."""
    made = workload(
        CARTPOLE
        + "environment.options = { a = 1, b = true, c = 0.5, d = 'x' }\n"
        + "model.kind = 'mlp'\nobservation.device_metadata = true\n"
    )
    options = {"a": 1, "b": True, "c": 0.5, "d": "x"}
    assert made.environment == GymEnvironment("CartPole-v1", options)
    assert made.observation == Observation((), device_metadata=True)
    pong = "environment = { id = 'ALE/Pong-v5', preprocessing = 'atari' }\n"
    made = workload(pong + "model.kind = 'nature_cnn'")
    assert made.environment == GymEnvironment("ALE/Pong-v5", preprocessing="atari")
    made = workload("environment = { id = 'Pong-v5', library = 'envpool' }")
    assert made.environment == GymEnvironment("Pong-v5", library="envpool")


def test_the_longest_window_follows_the_window() -> None:
    """A window longer than the default maximum needs no second field."""
    assert workload("window.measure_s = 20").window.max_measure_s == 20
    assert workload("window.measure_s = 2").window.max_measure_s == 10


def test_head_fields_arrive_and_give_way_to_arguments() -> None:
    """Rounds and seed of the caller replace the file's; a question is one paragraph."""
    text = "rounds = 3\nseed = 5\nthreshold = 0.1\n"
    made = scenario(text)
    assert (made.rounds, made.seed, made.threshold) == (3, 5, 0.1)
    made = scenario(text, rounds=4, seed=0, overrides=["rounds=9", "threshold=0.2"])
    assert (made.rounds, made.seed, made.threshold) == (4, 0, 0.2)
    lines = loads(
        HEAD.replace('"q"', '"""\n a\n b"""') + "num_slots=1" + CONTENDERS, name="x"
    )
    assert (lines.question, lines.source) == ("a b", "")


FIELDS = [
    # field, a value on each side of its limits: (accepted …), (refused …)
    ("num_slots", (1, 16384), (0, -1, 16385, 1.5, "true", '"4"', "[4]", "1979-05-27")),
    ("rounds", (1, 10_000), (0, 10_001, "1.0", "true")),
    ("seed", (0, 2**63 - 1), (-1, "0.5")),
    ("threshold", (0.001, 0.999), (0, 1, "nan", "inf", "true")),
    ("torch_threads", (1, 1024), (0, 1025)),
    ("switch_interval_s", ("1e-6", 10), (0, -1, 11, "nan", "false")),
    ("device", ('"cpu"', '"cuda"', '"cuda:0"', '"cuda:12"'),
     ('"gpu"', '"cuda:"', '"cuda:01"', '"cuda:100"', '"cuda:-1"', '"CUDA"', '"cuda\\n"', '""', 0, "true")),
    ("observation.shape", ("[]", "[1]", "[1,1,1,1,1,1,1,1]"),
     ("[0]", "[-1]", "[1.5]", "[true]", "8", "[1,1,1,1,1,1,1,1,1]", "[16777217]")),
    ("observation.dtype", ('"bool"', '"bfloat16"'), ('"float8"', "1", "true")),
    ("observation.num_leaves", (1, 1024), (0, 1025, "true")),
    ("observation.device_metadata", ("true", "false"), (1, '"true"')),
    ("observation.reuse_request", ("true", "false"), (0, '"false"')),
    ("think_time.distribution", ('"none"',), ('"normal"', "true", "1")),
    ("think_time.mean_ms", (0,), (-1, "nan", "inf", 60_001)),
    ("think_time.sigma", (0.1, 5), (0, 5.1, "nan")),
    ("think_time.mode", ('"idle"', '"busy_nogil"'), ('"sleep"',)),
    ("think_time.reset_every", (0,), (-1, 10_001, 1.5)),
    ("think_time.reset_ms", (0,), (-1, 60_001, "nan")),
    ("think_time.reset_max_ms", (), (-1, 60_001)),
    ("think_time.reset_actors", (), (0, 16_385)),
    ("model.kind", ('"sleep"', '"spin"', '"mlp"'), ('"rnn"', "1")),
    ("model.latency_ms", (0, 60_000), (-0.1, "nan", "inf", "-inf", 60_001, "true", '"1"')),
    ("model.latency_per_item_ms", (0, 0.5), (-0.1, "nan")),
    ("model.hold_gil", ("false",), (1, '"false"')),
    ("model.hidden", ("[]", "[1]", "[65536]"), ("64", "[0]", "[65537]", "[true]", f"{[1] * 33}")),
    ("model.num_outputs", (1, 65_536), (0, 65_537)),
    ("model.outputs.a.shape", ("[]", "[1]"), ("[0]", "1")),
    ("model.output_activation", (), ('"relu"', "1")),
    ("model.channels", (), ("[]", "[0]", "[65537]", "1")),
    ("model.kernel_sizes", (), ("[]", "[0]")),
    ("model.strides", (), ("[]", "[0]")),
    ("citation", ('""', '"a paper"'), (1, "true")),
    ("batching.min_batch_size", (1, 64, '"num_slots"'), (0, -1, 1.5, '"all"', "true")),
    ("batching.max_batch_size", (1, 16_384, '"num_slots"'), (0, 16_385, '"all"', "true")),
    ("batching.timeout_ms", (0.1, 60_000), (0, -1, "nan", "inf")),
    ("environment.id", ('"ALE/Pong-v5"', '"my.mod:Env-v0"'), ('""', '"a b"', "1")),
    ("environment.options.x", (1, "true", '"s"'), ("[1]", "nan", "1979-05-27")),
    ("window.warmup_s", (0.001, 86_400), (0, -1, "nan", "inf", 86_401)),
    ("window.measure_s", (0.001, 86_400), (0, -1, "nan", "inf", 86_401)),
    ("window.min_requests", (1, 1_000_000), (0, 1.5)),
    ("window.max_measure_s", (1, 86_400), (0, "inf", 86_401)),
    ("window.max_requests", (500, 50_000_000), (0, 50_000_001)),
]  # fmt: skip
CASES = [(field, good, bad) for field, good, bad in FIELDS]


@pytest.mark.parametrize(("field", "good", "bad"), CASES, ids=[case[0] for case in CASES])
def test_limits_hold_in_a_file_in_a_grid_and_on_the_command_line(
    field: str, good: tuple[Any, ...], bad: tuple[Any, ...]
) -> None:
    """A good value loads; a bad one is one line that begins with its place."""
    rest = CARTPOLE if field.startswith("environment.options") else ""
    is_head = field in {"rounds", "seed", "threshold", "citation"}
    for value in good:
        scenario(f"{rest}{field} = {value}\n")
    for value in bad:
        places = [(f"{field} = {value}\n", (), f"x.toml: {field}")]
        if not is_head and field != "num_slots":
            places.append((f"[grid]\n{field} = [{value}]\n", (), f"x.toml: grid.{field}"))
        if not str(value).startswith("1979"):
            places.append(("", [f"{field}={value}"], f"--set {field}"))
        for text, overrides, place in places:
            with pytest.raises(
                ScenarioError,
                match=rf"^{re.escape(place)}(\[\d\])?: .+ is not allowed; .*(should|item)",
            ):
                scenario(rest + text, overrides=overrides)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("num_slots = 0", "num_slots: 0 is not allowed; it should be greater than or equal to 1"),
        ("num_slots = true", "num_slots: true is not allowed; it should be a valid integer"),
        ("model.latency_ms = nan",
         "model.latency_ms: nan is not allowed; it should be a finite number"),
        ("model.kind = 'rnn'",
         "model.kind: \"rnn\" is not allowed; it should be 'sleep', 'spin', 'mlp', 'cnn', 'nature_cnn' or 'custom'"),
        ("batching.max_batch_size = 'all'",
         'batching.max_batch_size: "all" is not allowed; it should be a whole number or "num_slots"'),
        ("model.hidden = [1, 0]",
         "model.hidden[1]: 0 is not allowed; it should be greater than or equal to 1"),
        ("modle.kind = 'mlp'", "modle.kind: unknown field; did you mean model.kind?"),
        ("num_slots = 1\nnumslots = 4", "numslots: unknown field; did you mean num_slots?"),
        ("zebra = 4", "zebra: unknown field; see scenarios/README.md"),
        ("model = 3", "model: 3 is not a table; write one"),
        ("observation.leaves = 3", "observation.leaves: 3 is not a table; write one"),
        ("observation.leaves = {}",
         "observation.leaves: {} is not allowed; table should have at least 1 item, not 0"),
        ("observation.leaves.a.b = 3", "observation.leaves.a.shape: is missing; add it (and 1 more)"),
        ("observation.leaves.a = { shape = [1], dtyp = 'bool' }",
         "observation.leaves.a.dtyp: unknown field; did you mean observation.leaves.a.dtype or observation.leaves.a.shape?"),
        ("[environment]", "environment.id: is missing; add it"),
        ("'model.kind' = 'mlp'\nmodel = { kind = 'mlp' }", "model.kind: given twice; keep one"),
        ("model = 3\n'model.kind' = 'mlp'", "model.kind: model is given as a whole as well; keep one"),
        ("torch_threads = 0\nmodel.num_outputs = 0\nmodel.hidden = 1",
         "torch_threads: 0 is not allowed; it should be greater than or equal to 1 (and 2 more)"),
        ("grid = 3", "grid: 3 is not a table; write [grid]"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_with_the_remedy(fields: str, message: str) -> None:
    """File, dotted field, what is wrong, what to do."""
    with raises(f"x.toml: {message}"):
        scenario(fields)


def test_one_wrong_field_is_one_problem() -> None:
    """A default that depends on a wrong field does not count as a second problem."""
    with raises("x.toml: window.warmup_s: 0 is not allowed; it should be greater than 0"):
        scenario("window.warmup_s = 0")
    size = 'it should be a whole number or "num_slots"'
    with raises(f'x.toml: grid.batching.min_batch_size: "all" is not allowed; {size}'):
        scenario("[grid]\nbatching.min_batch_size = ['all']")


def test_missing_head_fields_are_named() -> None:
    """A scenario without title, question or slots does not load."""
    with raises("x.toml: title: is missing; add it (and 1 more)"):
        loads("num_slots = 4\n" + CONTENDERS, name="x.toml")
    with raises("x.toml: num_slots: is missing; add it"):
        loads(HEAD + CONTENDERS, name="x.toml")
    with raises("x.toml: title: is missing; add it (and 1 more)"):
        loads("", name="x.toml")
    with pytest.raises(
        ScenarioError, match=r'^x: question: "" is not allowed; string should have'
    ):
        loads('title = "t"\nquestion = ""\nnum_slots = 1\n' + CONTENDERS, name="x")


def test_wrong_arguments_are_called_by_their_option() -> None:
    """--rounds and --seed are named, not the file."""
    with raises("--rounds: 0 is not allowed; it should be greater than or equal to 1"):
        scenario(rounds=0)
    with raises("--seed: -1 is not allowed; it should be greater than or equal to 0"):
        scenario(seed=-1)


def test_records_of_cells_are_plain_data() -> None:
    """No pydantic object gets past this package."""
    flat = repr(dataclasses.asdict(scenario(CARTPOLE + "environment.options.a = 1")))
    assert "Table" not in flat
    assert "FieldInfo" not in flat
