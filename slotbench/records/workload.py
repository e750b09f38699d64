"""What one cell asks of a transport: actors, observations, think time, model, batching.

Every value is final: the grid is expanded, names such as ``"num_slots"`` are replaced
by numbers, defaults are filled in. A trial needs nothing else to run.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

Scalar = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Leaf:
    """One tensor of a request or a reply; ``key`` is dotted where nested ("state.joint")."""

    key: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What each actor sends.

    Attributes:
        leaves: the tensors of one request, without the harness's own id leaf.
        device_metadata: whether the request TensorDict says ``device="cpu"``; TorchRL's
            default collate is several times dearer where it does not.
        reuse_request: the actor sends the same TensorDict objects again and again
            instead of building one for every request.
    """

    leaves: tuple[Leaf, ...]
    device_metadata: bool = False
    reuse_request: bool = False


@dataclass(frozen=True, slots=True)
class ThinkTime:
    """What an actor does between a reply and its next request.

    Attributes:
        distribution: "lognormal" has mean ``mean_ms`` and shape ``sigma`` (the standard
            deviation of the logarithm).
        mode: "idle" sleeps; "busy" computes and holds the GIL; "busy_nogil" computes
            without it; "work" computes as "busy" does, but for so much CPU time, not until so much time
            has passed: who has to wait for the GIL or a processor has it all still to do.
        reset_every: steps of an episode: so often a reset adds to the think time; 0 is never.
        reset_ms: what a reset takes,
        reset_max_ms: or, uniformly from ``reset_ms`` to this; None is ``reset_ms``.
        reset_actors: only so many actors, the first, have resets; None is all.
    """

    distribution: Literal["none", "constant", "exponential", "lognormal"] = "none"
    mean_ms: float = 0.0
    sigma: float = 1.0
    mode: Literal["idle", "busy", "busy_nogil", "work"] = "idle"
    reset_every: int = 0
    reset_ms: float = 0.0
    reset_max_ms: float | None = None
    reset_actors: int | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """When an actor asks.

    Attributes:
        arrivals: "closed": once it has its reply, and has thought. "constant" and "poisson" are an
            open loop: by a schedule of its own, whether or not its last request has been answered;
            one in flight at a time, so that a request that is due while the slot is busy waits.
        per_actor_per_s: offered load of each actor, requests per second; 0 in the closed loop.
    """

    arrivals: Literal["closed", "constant", "poisson"] = "closed"
    per_actor_per_s: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether requests come by a schedule."""
        return self.arrivals != "closed"


@dataclass(frozen=True, slots=True)
class Model:
    """What the server runs on a batch of n.

    Attributes:
        kind: "sleep" waits S(n) = ``latency_ms`` + ``latency_per_item_ms``·n, as for a
            policy on an accelerator; "spin" computes that long; "mlp", "cnn" and
            "nature_cnn" are real networks, whose time is what it is; "custom" is the
            user's own policy.
        hold_gil: "spin" only: whether the computing holds the GIL.
        hidden: "mlp" and "cnn": width of each hidden layer.
        num_outputs: length of the float32 output "action", or of what an int64 scalar
            "action" is the greatest of; with an environment its action space decides.
        outputs: the tensors of one reply; () is "action" alone, as above.
        output_activation: "mlp" and "cnn": what the last layer's numbers go through.
        channels: "cnn" only: of each convolution's output,
        kernel_sizes: and the side of its square kernel,
        strides: and its stride.
        policy: "custom" only: "package.module:name".
    """

    kind: Literal["sleep", "spin", "mlp", "cnn", "nature_cnn", "custom"] = "sleep"
    latency_ms: float = 0.0
    latency_per_item_ms: float = 0.0
    hold_gil: bool = False
    hidden: tuple[int, ...] = (64, 64)
    num_outputs: int = 4
    outputs: tuple[Leaf, ...] = ()
    output_activation: Literal["none", "tanh"] = "none"
    channels: tuple[int, ...] = (32, 64, 64)
    kernel_sizes: tuple[int, ...] = (8, 4, 3)
    strides: tuple[int, ...] = (4, 2, 1)
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Batching:
    """The server's batching rule: at most max, at least min unless the timeout runs out."""

    min_batch_size: int = 1
    max_batch_size: int = 64
    timeout_ms: float = 10.0


@dataclass(frozen=True, slots=True)
class GymEnvironment:
    """A real environment stepped in every actor thread, instead of think time.

    Attributes:
        id: as its library names it.
        options: keyword arguments of the library's ``make``.
        library: "envpool" steps one environment an actor, in a thread of its own.
        preprocessing: "atari" is Gymnasium's: grey 84 by 84, every fourth frame, the last
            four of them stacked. EnvPool's games have the same without being asked.
    """

    id: str
    options: dict[str, Scalar] = field(default_factory=dict)
    library: Literal["gymnasium", "envpool"] = "gymnasium"
    preprocessing: Literal["none", "atari"] = "none"


@dataclass(frozen=True, slots=True)
class Window:
    """How long a trial is observed.

    Attributes:
        warmup_s: from the common start of all actors; recorded, not counted.
        measure_s: length of the window that counts.
        min_requests: the window is prolonged until it holds this many replies,
        max_measure_s: but to this length at most.
        max_requests: room for samples over all actors, at least 1 024 each; a full array ends the window.
    """

    warmup_s: float = 0.3
    measure_s: float = 1.0
    min_requests: int = 500
    max_measure_s: float = 10.0
    max_requests: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything about a cell but its contenders.

    Attributes:
        torch_threads: intra-op threads of torch; other libraries have one.
        switch_interval_s: CPython's GIL switch interval; None leaves it alone.
        device: where the policy computes, as torch names it: "cpu", "cuda" or "cuda:1". Actors, requests
            and replies stay on the host.
    """

    num_slots: int
    observation: Observation
    think_time: ThinkTime
    model: Model
    batching: Batching
    window: Window
    environment: GymEnvironment | None = None
    torch_threads: int = 1
    switch_interval_s: float | None = None
    load: Load = Load()
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of a scenario's grid, or of one of its grids.

    Attributes:
        name: "num_slots=8, model.latency_ms=1", in the order of the axes; "all" where
            its grid has none. Unique in its scenario.
        coordinates: axis (dotted field name) → value, as in the scenario file. Cells of
            different grids have different axes.
    """

    name: str
    coordinates: dict[str, Any]
    workload: Workload
