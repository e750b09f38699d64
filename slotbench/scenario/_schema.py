"""Every field of a scenario with its limits, as pydantic models that become records.

Strict: true is no number and "8" is no integer, but 1 is a fine float. Limits on one
field are on the field; what ties two fields together stands in the validators.
"""

import dataclasses
import math
import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from slotbench import records
from slotbench.compute import workloads
from slotbench.scenario._table import Table

MAX_CELL_BYTES: Final = 4 * 2**30
RESERVED_LEAVES: Final = ("request_id", "action", "reply_id")
RESERVED_OUTPUTS: Final = ("request_id", "reply_id")
MAX_EPISODE: Final = 10_000
"""Steps; an actor's think times are drawn before the trial, whole episodes of them."""

MIN_PER_ACTOR_PER_S: Final = 0.001
"""One request in a quarter of an hour."""

_SET_BY_US: Final = {
    "gymnasium": (),
    "atari": ("frameskip",),
    "envpool": ("env_type", "num_envs", "batch_size", "num_threads", "seed"),
}
"""Options of an environment that a scenario cannot set: an actor has one environment."""

_KEY: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_POLICY: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_KINDS: Final = {
    "output_activation": ("mlp", "cnn"),
    "channels": ("cnn",),
    "kernel_sizes": ("cnn",),
    "strides": ("cnn",),
    "policy": ("custom",),
}
"""Field of a model → the kinds that have it."""

Dtype = Literal[
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "bool",
]
Shape = Annotated[list[Annotated[int, Field(ge=1, le=2**24)]], Field(max_length=8)]
Milliseconds = Annotated[float, Field(ge=0, le=60_000)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


def _size(value: object) -> object:
    if isinstance(value, str):
        raise ValueError('should be a whole number or "num_slots"')
    return value


def _device(value: str) -> str:
    if not re.fullmatch(r"cpu|cuda(:(0|[1-9]\d?))?", value):
        raise ValueError('should be "cpu", "cuda" or a numbered one such as "cuda:1"')
    return value


def _scalar(value: object) -> object:
    if isinstance(value, bool | int | str) or (
        isinstance(value, float) and math.isfinite(value)
    ):
        return value
    raise ValueError("should be true, false, a finite number or text")


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _dotted_leaves(value: object, prefix: str = "") -> object:
    """Nested tables of leaves as dotted keys; a table that holds a value is a leaf."""
    if not isinstance(value, dict):
        return value
    leaves: dict[str, object] = {}
    for key, inner in value.items():
        is_group = (
            isinstance(inner, dict)
            and inner
            and all(isinstance(field, dict) for field in inner.values())
        )
        found = (
            _dotted_leaves(inner, f"{prefix}{key}.") if is_group else {prefix + key: inner}
        )
        leaves.update(found)  # type: ignore[call-overload]
    return leaves


class Leaf(Table):
    """One tensor of a request or a reply; its name is the table's."""

    shape: Shape
    dtype: Dtype = "float32"


Leaves = Annotated[
    dict[str, Leaf],
    Field(min_length=1, max_length=1024),
    BeforeValidator(_dotted_leaves),
]
Sizes = Annotated[
    list[Annotated[int, Field(ge=1, le=65_536)]], Field(min_length=1, max_length=32)
]


def _check_names(leaves: dict[str, Leaf], what: str, reserved: tuple[str, ...]) -> None:
    """Refuse names that are no Python names, and the harness's own."""
    for key in leaves:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{what} {key!r}: use Python names, joined by dots")
        if key.split(".")[0] in reserved:
            raise ValueError(f"{what} {key!r} is reserved for the harness; rename it")


def _records(leaves: dict[str, Leaf]) -> tuple[records.Leaf, ...]:
    return tuple(
        records.Leaf(key, tuple(leaf.shape), leaf.dtype) for key, leaf in leaves.items()
    )


class Observation(Table):
    """``[observation]``: one shape, or many leaves."""

    record = records.Observation
    shape: Shape | None = None
    dtype: Dtype | None = None
    num_leaves: Annotated[int, Field(ge=1, le=1024)] | None = None
    leaves: Leaves | None = None
    device_metadata: bool = False
    reuse_request: bool = False

    @property
    def says_what(self) -> bool:
        """Whether the scenario itself says what is observed."""
        return any(
            value is not None
            for value in (self.shape, self.dtype, self.num_leaves, self.leaves)
        )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.leaves is None:
            return self
        if any(value is not None for value in (self.shape, self.dtype, self.num_leaves)):
            raise ValueError(
                "leaves excludes shape, dtype and num_leaves; remove the one or the others"
            )
        _check_names(self.leaves, "leaf", RESERVED_LEAVES)
        return self

    def tensors(self) -> tuple[records.Leaf, ...]:
        """The leaves of one request, however they were written."""
        if self.leaves is not None:
            return _records(self.leaves)
        shape = (8,) if self.shape is None else tuple(self.shape)
        names = ["observation"]
        if self.num_leaves is not None:
            names = [f"leaf_{index}" for index in range(self.num_leaves)]
        return tuple(records.Leaf(name, shape, self.dtype or "float32") for name in names)

    def to_record(self) -> records.Observation:
        """Builds the record."""
        return records.Observation(self.tensors(), self.device_metadata, self.reuse_request)


class ThinkTime(Table):
    """``[think_time]``: what an actor does between a reply and its next request."""

    record = records.ThinkTime
    distribution: Literal["none", "constant", "exponential", "lognormal"] = "none"
    mean_ms: Milliseconds = 0.0
    sigma: Annotated[float, Field(gt=0, le=5)] = 1.0
    mode: Literal["idle", "busy", "busy_nogil", "work"] = "idle"
    reset_every: Annotated[int, Field(ge=0, le=MAX_EPISODE)] = 0
    reset_ms: Milliseconds = 0.0
    reset_max_ms: Milliseconds | None = None
    reset_actors: Annotated[int, Field(ge=1, le=16_384)] | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.distribution == "none" and self.mean_ms != 0:
            raise ValueError(
                'mean_ms must be 0 where distribution is "none"; set a distribution'
            )
        if self.distribution != "none" and self.mean_ms == 0:
            raise ValueError(
                f'mean_ms must be above 0 where distribution is "{self.distribution}"; set it'
            )
        self._check_resets()
        return self

    def _check_resets(self) -> None:
        longest_ms = self.reset_ms if self.reset_max_ms is None else self.reset_max_ms
        if self.reset_every == 0:
            for name in ("reset_ms", "reset_max_ms", "reset_actors"):
                if getattr(self, name):
                    raise ValueError(
                        f"{name} needs reset_every, steps of an episode; set it"
                    )
        elif longest_ms == 0:
            raise ValueError("reset_every needs a reset that takes time; set reset_ms")
        if longest_ms < self.reset_ms:
            raise ValueError(
                f"reset_max_ms {longest_ms:g} is below reset_ms {self.reset_ms:g}; raise it"
            )


class Load(Table):
    """``[load]``: when an actor asks."""

    record = records.Load
    arrivals: Literal["closed", "constant", "poisson"] = "closed"
    per_actor_per_s: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.arrivals == "closed" and self.per_actor_per_s:
            raise ValueError(
                'per_actor_per_s is of an open loop; set arrivals to "constant" or "poisson"'
            )
        if self.arrivals != "closed" and self.per_actor_per_s < MIN_PER_ACTOR_PER_S:
            raise ValueError(
                f'arrivals "{self.arrivals}" needs per_actor_per_s, the offered load of an actor, of '
                f"{MIN_PER_ACTOR_PER_S:g} or more; set it"
            )
        return self


class Model(Table):
    """``[model]``: what the server runs on a batch."""

    record = records.Model
    kind: Literal["sleep", "spin", "mlp", "cnn", "nature_cnn", "custom"] = "sleep"
    latency_ms: Milliseconds = 0.0
    latency_per_item_ms: Milliseconds = 0.0
    hold_gil: bool = False
    hidden: Annotated[
        list[Annotated[int, Field(ge=1, le=65_536)]], Field(max_length=32)
    ] = Field(default=[64, 64])
    num_outputs: Annotated[int, Field(ge=1, le=65_536)] = 4
    outputs: Leaves | None = None
    output_activation: Literal["none", "tanh"] = "none"
    channels: Sizes = Field(default=[32, 64, 64])
    kernel_sizes: Sizes = Field(default=[8, 4, 3])
    strides: Sizes = Field(default=[4, 2, 1])
    policy: str = ""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.hold_gil and self.kind != "spin":
            raise ValueError(f'hold_gil is for kind "spin", not "{self.kind}"; remove it')
        if self.kind not in {"sleep", "spin"} and (
            self.latency_ms or self.latency_per_item_ms
        ):
            raise ValueError(
                f'a latency is for kinds "sleep" and "spin"; "{self.kind}" takes what it takes'
            )
        if self.kind == "cnn":
            self._check_convolutions()
        self._check_fields_of_other_kinds()
        self._check_outputs()
        if self.kind == "custom" and not _POLICY.fullmatch(self.policy):
            raise ValueError(
                f'kind "custom" needs policy = "package.module:name", not "{self.policy}"'
            )
        return self

    def _check_fields_of_other_kinds(self) -> None:
        """Refuse what would be read over."""
        for name, kinds in _KINDS.items():
            if name in self.model_fields_set and self.kind not in kinds:
                wanted = " or ".join(f'"{kind}"' for kind in kinds)
                raise ValueError(
                    f'{name} is for kind {wanted}, not "{self.kind}"; remove it'
                )

    def _check_convolutions(self) -> None:
        lengths = {
            name: len(getattr(self, name))
            for name in ("channels", "kernel_sizes", "strides")
        }
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise ValueError(f"a number for each convolution: {said}; make them as many")

    def _check_outputs(self) -> None:
        if self.outputs is None:
            return
        if self.kind == "custom":
            raise ValueError('outputs are what kind "custom" returns; remove them')
        _check_names(self.outputs, "output", RESERVED_OUTPUTS)
        if "num_outputs" in self.model_fields_set and not self._has_discrete_action:
            raise ValueError(
                'with outputs, num_outputs is how many an int64 scalar "action" is chosen of; '
                "remove it"
            )

    @property
    def _has_discrete_action(self) -> bool:
        action = (self.outputs or {}).get("action")
        return action is not None and not action.shape and action.dtype == "int64"

    def to_record(self) -> records.Model:
        """Builds the record."""
        model: records.Model = super().to_record()
        return dataclasses.replace(model, outputs=_records(self.outputs or {}))


class Batching(Table):
    """``[batching]``: the server's rule; "num_slots" has been replaced by the number."""

    record = records.Batching
    min_batch_size: Annotated[int, Field(ge=1, le=16_384), BeforeValidator(_size)] = 1
    max_batch_size: Annotated[int, Field(ge=1, le=16_384), BeforeValidator(_size)] = 64
    timeout_ms: Annotated[float, Field(gt=0, le=60_000)] = 10.0

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.min_batch_size > self.max_batch_size:
            raise ValueError(
                f"min_batch_size {self.min_batch_size} is above "
                f"max_batch_size {self.max_batch_size}; lower the one or raise the other"
            )
        return self


class GymEnvironment(Table):
    """``[environment]``: a real environment in every actor thread."""

    record = records.GymEnvironment
    id: Annotated[str, Field(pattern=r"^[\w./:-]+$")]
    options: dict[str, Annotated[Any, AfterValidator(_scalar)]] = Field(default={})
    library: Literal["gymnasium", "envpool"] = "gymnasium"
    preprocessing: Literal["none", "atari"] = "none"

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.preprocessing == "atari":
            if self.library == "envpool":
                raise ValueError(
                    'preprocessing is of library "gymnasium"; EnvPool\'s games need none, remove it'
                )
            if "ALE/" not in self.id:
                raise ValueError(
                    f'preprocessing "atari" is for ids such as "ALE/Pong-v5", not "{self.id}"'
                )
        own = _SET_BY_US["atari" if self.preprocessing == "atari" else self.library]
        for name in self.options:
            if name in own:
                raise ValueError(f"options.{name} is set by the harness; remove it")
        return self


class Window(Table):
    """``[window]``: how long a trial is observed."""

    record = records.Window
    warmup_s: Seconds = 0.3
    measure_s: Seconds = 1.0
    min_requests: Annotated[int, Field(ge=1, le=50_000_000)] = 500
    max_measure_s: Annotated[
        Seconds, Field(default_factory=lambda data: max(10.0, data.get("measure_s", 1.0)))
    ]
    max_requests: Annotated[int, Field(ge=1, le=50_000_000)] = 1_000_000

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.max_measure_s < self.measure_s:
            raise ValueError(
                f"max_measure_s {self.max_measure_s:g} is below measure_s {self.measure_s:g}; raise it"
            )
        if self.max_requests < self.min_requests:
            raise ValueError(
                f"max_requests {self.max_requests} is below min_requests {self.min_requests}; raise it"
            )
        return self


class Workload(Table):
    """All fields that a cell fixes; each can be an axis of the grid."""

    record = records.Workload
    num_slots: Annotated[int, Field(ge=1, le=16_384)]
    torch_threads: Annotated[int, Field(ge=1, le=1024)] = 1
    switch_interval_s: Annotated[float, Field(gt=0, le=10)] | None = None
    device: Annotated[str, AfterValidator(_device)] = "cpu"
    observation: Observation = Observation()
    think_time: ThinkTime = ThinkTime()
    model: Model = Model()
    batching: Batching = Batching()
    environment: GymEnvironment | None = None
    window: Window = Field(default_factory=lambda: Window.model_validate({}))
    load: Load = Load()

    @model_validator(mode="before")
    @classmethod
    def _resolve_num_slots(cls, data: Any) -> Any:
        """Puts the number where a batch size says "num_slots"."""
        batching = data.get("batching") if isinstance(data, dict) else None
        if not isinstance(batching, dict) or type(data.get("num_slots")) is not int:
            return data
        sizes = {
            key: data["num_slots"] if value == "num_slots" else value
            for key, value in batching.items()
        }
        return {**data, "batching": sizes}

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        leaves = self.observation.tensors()
        if self.environment is not None:
            self._check_environment()
        else:
            self._check_image(leaves)
            self._check_reply(leaves)
        self._check_load()
        of_first = self.think_time.reset_actors
        if of_first is not None and of_first > self.num_slots:
            raise ValueError(
                f"think_time.reset_actors {of_first} is above num_slots {self.num_slots}; lower it"
            )
        size = workloads.observation_bytes(leaves)
        if self.num_slots * size > MAX_CELL_BYTES:
            raise ValueError(
                f"the observations of {self.num_slots} slots take "
                f"{self.num_slots * size / 2**30:.1f} GiB; keep them below 4 GiB"
            )
        return self

    def _check_load(self) -> None:
        """Refuse a schedule beside something else that decides when an actor asks."""
        if self.load.arrivals == "closed":
            return
        if self.environment is not None or self.think_time.model_fields_set:
            what = "think_time" if self.environment is None else "environment"
            raise ValueError(
                f'with load.arrivals "{self.load.arrivals}" requests come by a schedule; remove {what}'
            )

    def _check_image(self, leaves: tuple[records.Leaf, ...]) -> None:
        """Refuse observations that a convolutional network cannot read."""
        images = [leaf for leaf in leaves if len(leaf.shape) == 3]
        if self.model.kind == "nature_cnn" and not (
            len(leaves) == len(images) == 1 and min(images[0].shape[1:]) >= 36
        ):
            raise ValueError(
                'model.kind "nature_cnn" needs one leaf of shape [C, H, W] with H and W of at least 36'
            )
        if self.model.kind != "cnn":
            return
        if len(images) != 1:
            raise ValueError(
                f'model.kind "cnn" needs one leaf of shape [C, H, W], its image; there are {len(images)}'
            )
        unfit = workloads.unfit_convolution(self.model.to_record(), images[0].shape[1:])
        if unfit is not None:
            layer, sides = unfit
            kernel = self.model.kernel_sizes[layer]
            raise ValueError(
                f"convolution {layer}: a kernel of {kernel} is larger than what it reads, "
                f"{sides[0]} × {sides[1]}; lower model.kernel_sizes[{layer}]"
            )

    def _check_reply(self, leaves: tuple[records.Leaf, ...]) -> None:
        """Refuse a name that would have to be a tensor and a table of tensors."""
        names = [*(self.model.outputs or {}), *(leaf.key for leaf in leaves)]
        for name in self.model.outputs or {}:
            for other in names:
                if other.startswith(f"{name}.") or name.startswith(f"{other}."):
                    raise ValueError(
                        f"model.outputs: {name!r} and {other!r} exclude each other; rename one"
                    )

    def _check_environment(self) -> None:
        if self.observation.says_what:
            raise ValueError(
                "environment decides the observation; remove observation.shape, dtype, "
                "num_leaves and leaves"
            )
        if self.think_time.model_fields_set:
            raise ValueError("environment takes the place of think_time; remove think_time")
        if self.model.outputs is not None:
            raise ValueError("environment decides the action; remove model.outputs")

    def to_record(self) -> records.Workload:
        """Builds the record; an environment decides its own leaves."""
        workload: records.Workload = super().to_record()
        if self.environment is None:
            return workload
        observation = dataclasses.replace(workload.observation, leaves=())
        return dataclasses.replace(workload, observation=observation)


class Head(Table):
    """The fields of a scenario that are the same for all its cells."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    question: Annotated[str, Field(min_length=1, max_length=5000)]
    rounds: Annotated[int, Field(ge=1, le=10_000)] = 8
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.03
    citation: Annotated[str, Field(max_length=2000)] = ""


class Entry(Table):
    """One ``[[contenders]]`` table; keys that are not here are options."""

    model_config = ConfigDict(extra="allow")
    name: Annotated[str, Field(min_length=1)]
    server: Annotated[list[str], Field(min_length=1), BeforeValidator(_listed)] | None = (
        None
    )
    optional: bool = False
    baseline: bool = False
