"""What is known of each contender before anything is imported: options, defaults, servers, actors.

The tables here are all that tells one built-in contender from another.
"""

import json
import re
from collections.abc import Mapping
from typing import Final, Literal, cast, get_args

from slotbench.contenders._pythons import PYTHON, words
from slotbench.contenders._values import did_you_mean, is_scalar, shown
from slotbench.errors import ContenderError
from slotbench.records import Contender, Scalar
from slotbench.records.contender import Server

COLLATES: Final = ("default", "maybe_dense_stack", "lazy_stack")
CHECKOUT: Final = "from"
"""Option that every contender with a package of its own has: the folder to import it from."""

ACTORS: Final = "actors"
"""Option of every contender whose clients may be used by other processes: where actors run."""

COLLECTOR_OPTIONS: Final = ("env_backend", "frames_per_batch")
"""Options of TorchRL's collector, by its own names."""

HARNESS_OPTIONS: Final = frozenset(
    {"collate", CHECKOUT, ACTORS, PYTHON, *COLLECTOR_OPTIONS}
)
"""Options that are not the transport's."""

FRAMES_PER_BATCH: Final = 64
"""What a collector collects before it hands it on. TorchRL has no default; its benchmarks have 200
and 256, with which a window that is long against what is buffered takes several times as long."""

Actors = Literal["threads", "processes", "collector"]
"""Who asks: threads of the server's process, processes of their own, or TorchRL's collector."""

_CHOICES: Final = {
    "collate": COLLATES,
    ACTORS: ("threads", "processes"),
    "env_backend": ("threading", "multiprocessing"),
}
"""Option of the harness → what it may be."""

_SERVERS: Final = ("reference", "torchrl", "collector")
BUILT_IN: Final[dict[str, dict[str, bool]]] = {
    "floor": {},
    "slot": {"preallocate": False, "inline": False, "pin_memory": False},
    "threading": {},
    "torchrl.slot": {"preallocate": False},
    "torchrl.threading": {},
    "torchrl.process_slot": {"copy_result": True},
    "torchrl.shared_memory": {"copy_result": True},
    "torchrl.mp": {},
    "torchrl.ray": {},
    "torchrl.parallel": {},
}
"""Built-in contender → its own options, all of them flags, with their defaults."""

TORCHRLS: Final = tuple(name for name in BUILT_IN if name.startswith("torchrl."))

_BETWEEN_PROCESSES: Final = frozenset(
    {"torchrl.process_slot", "torchrl.shared_memory", "torchrl.mp"}
)
"""Built-in contenders whose actors are processes, unless ``actors=threads``."""

_COLLECTED: Final = frozenset(
    {"slot", "threading", "torchrl.slot", "torchrl.threading", "torchrl.process_slot"}
)
"""Built-in contenders that TorchRL's collector is given."""

_PARALLEL: Final = "torchrl.parallel"
"""A collection without a transport: no server is its own but the collector, its envs are processes."""

_OF_TORCHRLS_SERVER: Final = _BETWEEN_PROCESSES | {"torchrl.ray"}
"""Built-in contenders whose replies hold what TorchRL's server adds, or that need its liveness."""

_ENVS_IN_PROCESSES: Final = _BETWEEN_PROCESSES | {_PARALLEL}


def needs_torchrl(contender: Contender) -> bool:
    """Says whether the contender is TorchRL's, or runs in TorchRL's server or collector."""
    if contender.server in {"torchrl", "collector"}:
        return True
    return contender.name.startswith("torchrl.") and ":" not in contender.name


def actors_of(contender: Contender) -> Actors:
    """Says who asks."""
    if contender.server == "collector":
        return "collector"
    default = "processes" if contender.name in _BETWEEN_PROCESSES else "threads"
    return cast("Actors", contender.options.get(ACTORS, default))


def shares_gil(contender: Contender) -> bool:
    """Says whether its actors compute in one process, a thread at a time where that has a GIL.

    Whether it had one is for the trial to say (`records.TrialRecord.is_gil_enabled`).
    """
    actors = actors_of(contender)
    return actors == "threads" or (
        actors == "collector" and env_backend_of(contender) == "threading"
    )


def env_backend_of(contender: Contender) -> str:
    """Says where a collector's contender has its envs, in TorchRL's word for it."""
    chosen = contender.options.get("env_backend", _default_env_backend(contender.name))
    return str(chosen)


def check_option(name: str, key: str, value: Scalar, server: Server) -> None:
    if not re.fullmatch(r"[A-Za-z_]\w*", key, re.ASCII):
        raise ContenderError(f"contender {name}: {key!r} is no option; use a Python name")
    if key == PYTHON:
        _check_python(name, value)
    elif name == "floor":
        raise ContenderError(
            f"contender floor: it takes no option but {PYTHON}; remove {key}"
        )
    elif key == CHECKOUT:
        _check_checkout(name, value)
    elif key in _CHOICES and (key != ACTORS or _may_have_processes(name)):
        if value not in _CHOICES[key]:
            raise ContenderError(
                f"contender {name}: {key} is {' or '.join(_CHOICES[key])}, not {shown(value)}"
            )
    elif key == "frames_per_batch":
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**6:
            raise ContenderError(
                f"contender {name}: {key} is a whole number from 1 to 1000000, "
                f"not {shown(value)}"
            )
    elif name in BUILT_IN and key not in BUILT_IN[name]:
        raise ContenderError(f"contender {name}: {_unknown_option(name, key, server)}")
    elif name in BUILT_IN and not isinstance(value, bool):
        raise ContenderError(
            f"contender {name}: {key} is true or false, not {shown(value)}"
        )
    elif not is_scalar(value):
        raise ContenderError(
            f"contender {name}: {key} is {shown(value)}; "
            "give true, false, a finite number of at most 64 bits, or text"
        )


def _check_checkout(name: str, value: Scalar) -> None:
    if name.startswith("torchrl.") and ":" not in name:
        raise ContenderError(
            f"contender {name}: it is TorchRL's, as installed; remove {CHECKOUT}"
        )
    if not isinstance(value, str) or not value:
        raise ContenderError(
            f"contender {name}: {CHECKOUT} is the path of a folder, not {shown(value)}"
        )


def _check_python(name: str, value: Scalar) -> None:
    if not isinstance(value, str):
        raise ContenderError(
            f"contender {name}: {PYTHON} is the command of an interpreter, not {shown(value)}"
        )
    try:
        words(value)
    except ContenderError as error:
        raise ContenderError(f"contender {name}: {error}") from None


def _unknown_option(name: str, key: str, server: Server) -> str:
    """What to do about an option that a built-in contender does not have."""
    if key == ACTORS:
        return f"its actors are threads of the server's process; remove {ACTORS}"
    if server == "collector":
        known = (*BUILT_IN[name], *COLLECTOR_OPTIONS)
    else:
        own = () if name in TORCHRLS else (CHECKOUT,)
        own = (*own, ACTORS) if _may_have_processes(name) else own
        known = (*BUILT_IN[name], "collate", *own)
    known = (*known, PYTHON)
    near = did_you_mean(key, known) or f"it has {' and '.join(known)}"
    return f"unknown option {key}; {near}"


def _may_have_processes(name: str) -> bool:
    """Whether actors may be processes: of built-in contenders few, of others who knows."""
    return name in _BETWEEN_PROCESSES or name not in BUILT_IN


def check_together(name: str, options: Mapping[str, Scalar], server: Server) -> None:
    """Refuse options that the server has no use for."""
    if CHECKOUT in options and server in {"torchrl", "collector"} and name in BUILT_IN:
        raise ContenderError(
            f"contender {name}: {CHECKOUT} and @{server} do not go together: the adapter to "
            "TorchRL belongs to the installed slotbench"
        )
    excluded = ("collate", ACTORS) if server == "collector" else COLLECTOR_OPTIONS
    for key in excluded:
        if key in options:
            reason = (
                "TorchRL's collector has its own"
                if server == "collector"
                else "it is TorchRL's collector's; write …@collector"
            )
            raise ContenderError(
                f"contender {name}: {key} does not go with @{server}: {reason}"
            )
    if server != "collector":
        return
    if name in BUILT_IN and name not in _COLLECTED and name != _PARALLEL:
        raise ContenderError(
            f"contender {name}: TorchRL's collector is given {', '.join(sorted(_COLLECTED))} "
            "or package.module:factory; remove @collector"
        )
    backend = options.get("env_backend")
    if name in _ENVS_IN_PROCESSES and backend not in {None, "multiprocessing"}:
        raise ContenderError(
            f"contender {name}: its envs are processes; remove env_backend={backend}"
        )


def is_default(name: str, key: str, options: Mapping[str, Scalar], server: Server) -> bool:
    value = options[key]
    if key == PYTHON:
        return not value
    if key == "collate":
        return value == "default"
    if key == ACTORS:
        return value == ("processes" if name in _BETWEEN_PROCESSES else "threads")
    if server == "collector" and key in COLLECTOR_OPTIONS:
        default = _default_env_backend(name) if key == "env_backend" else FRAMES_PER_BATCH
        return value == default
    return name in BUILT_IN and value is BUILT_IN[name].get(key)


def _default_env_backend(name: str) -> str:
    return "multiprocessing" if name in _ENVS_IN_PROCESSES else "threading"


def default_server(name: str) -> Server:
    if name == "floor":
        return "none"
    if name == _PARALLEL:
        return "collector"
    return "torchrl" if name in TORCHRLS else "reference"


def check_server(name: str, server: str | None) -> Server:
    default = default_server(name)
    if server is None or server == default:
        return default
    if server == "reference" and name in _OF_TORCHRLS_SERVER:
        raise ContenderError(
            f"contender {name}: TorchRL's server alone serves it; remove @reference"
        )
    if name in {"floor", _PARALLEL}:
        raise ContenderError(
            f"contender {name}: it brings its own server; remove @{server}"
        )
    if server not in _SERVERS or server not in get_args(Server):
        near = did_you_mean(server, _SERVERS) or "use one of these"
        raise ContenderError(
            f"contender {name}: unknown server {json.dumps(server[:60])}; {near} "
            f"({', '.join(_SERVERS)})"
        )
    return cast("Server", server)
