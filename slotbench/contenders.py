"""The grammar of contenders, ``name[option=value,…]@server``, and what each one needs.

Turns text, or a scenario's keys, into `records.Contender` with its canonical label.
Knows names and options only: it imports no transport, no torch and no torchrl, so that
a misspelt contender costs a line and not a minute. Two texts that mean the same give
equal contenders: options are sorted, and one at its default is not kept.
"""

import difflib
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal, cast, get_args

from slotbench.errors import ContenderError
from slotbench.records import Contender, Scalar
from slotbench.records.contender import Server

ENTRY_POINT_GROUP: Final = "slotbench.transports"
COLLATES: Final = ("default", "maybe_dense_stack", "lazy_stack")
CHECKOUT: Final = "from"
"""Option that every contender with a package of its own has: the folder to import it from."""

ACTORS: Final = "actors"
"""Option of every contender whose clients may be used by other processes: where actors run."""

COLLECTOR_OPTIONS: Final = ("env_backend", "frames_per_batch")
"""Options of TorchRL's collector, by its own names."""

HARNESS_OPTIONS: Final = frozenset({"collate", CHECKOUT, ACTORS, *COLLECTOR_OPTIONS})
"""Options that are not the transport's."""

FRAMES_PER_BATCH: Final = 64
"""What a collector collects before it hands it on. TorchRL has no default; its benchmarks have 200
and 256, with which a window that is long against what is buffered takes several times as long."""

Actors = Literal["threads", "processes", "collector"]
"""Who asks: threads of the server's process, processes of their own, or TorchRL's collector."""

MAX_LABEL: Final = 1_000
"""Characters; a label is a line of every table, and part of many messages."""

_CHOICES: Final = {
    "collate": COLLATES,
    ACTORS: ("threads", "processes"),
    "env_backend": ("threading", "multiprocessing"),
}
"""Option of the harness → what it may be."""

_CONTRACT_VERSION: Final = 1
_SERVERS: Final = ("reference", "torchrl", "collector")
_FLAGS: Final[dict[str, dict[str, bool]]] = {
    "floor": {},
    "slot": {"preallocate": False, "inline": False},
    "threading": {},
    "torchrl.slot": {"preallocate": False},
    "torchrl.threading": {},
    "torchrl.process_slot": {"copy_result": True},
    "torchrl.shared_memory": {"copy_result": True},
    "torchrl.mp": {},
    "torchrl.ray": {},
}
"""Built-in contender → its own options, all of them flags, with their defaults."""

_TORCHRLS: Final = tuple(name for name in _FLAGS if name.startswith("torchrl."))

_BETWEEN_PROCESSES: Final = frozenset(
    {"torchrl.process_slot", "torchrl.shared_memory", "torchrl.mp"}
)
"""Built-in contenders whose actors are processes, unless ``actors=threads``."""

_COLLECTED: Final = frozenset(
    {"slot", "threading", "torchrl.slot", "torchrl.threading", "torchrl.process_slot"}
)
"""Built-in contenders that TorchRL's collector is given."""


_GRAMMAR: Final = re.compile(
    r"(?P<name>[^\[\]@=,\s]+)(?:\[(?P<options>.+)\])?(?:@(?P<server>[^\[\]@=,\s]+))?"
)
_OPTION: Final = re.compile(
    r'\s*(?P<key>[A-Za-z_]\w*)\s*(?:=\s*(?P<value>"(?:[^"\\]|\\.)*"|[^\s,\[\]="\\]+)\s*)?(?:,|$)',
    re.ASCII,
)
_NAME: Final = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
_FACTORY: Final = re.compile(
    r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.\w+)*", re.ASCII
)
_INT: Final = re.compile(r"[+-]?\d{1,4000}", re.ASCII)
_FLOAT: Final = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][+-]?\d+)?", re.ASCII)
_PLAIN: Final = re.compile(r'[^\s,\[\]="\\]+')


def parse(text: str, *, optional: bool = False, baseline: bool = False) -> Contender:
    """Reads one contender as written on a command line.

    Args:
        text: ``name[option=value,…]@server``; a bare option is true. Values are
            true/false, whole and decimal numbers, else text, in double quotes where it
            holds one of ``, [ ] = "`` or a space, or looks like a number.
        optional: see `records.Contender`.
        baseline: see `records.Contender`.

    Raises:
        ContenderError: bad syntax, or an unknown name, option, value or server.
    """
    name, options, server = split(text)
    return make(name, options, server, optional=optional, baseline=baseline)


def split(text: str) -> tuple[str, dict[str, Scalar], str | None]:
    """Reads the parts of ``name[option=value,…]@server`` without asking what they mean.

    Raises:
        ContenderError: the text is not of that form or too long, or gives an option twice.
    """
    _check_length(text)
    match = _GRAMMAR.fullmatch(text.strip())
    if match is None:
        raise _syntax_error(text)
    return match["name"], _split_options(match["options"] or "", text), match["server"]


def make(
    name: str,
    options: Mapping[str, Scalar],
    server: str | None = None,
    *,
    optional: bool = False,
    baseline: bool = False,
) -> Contender:
    """Builds a contender from its parts and gives it its canonical label.

    Args:
        name: "slot", "torchrl.slot", "floor", "package.module:factory", or the name of
            an entry point of the group "slotbench.transports".
        options: keyword arguments of the transport; ``collate`` of the server; and ``from``,
            the folder (of another checkout, say) that its package is imported from.
        server: "reference" or "torchrl"; None is the contender's own default.
        optional: see `records.Contender`.
        baseline: see `records.Contender`.

    Raises:
        ContenderError: an unknown name, option, value or server; or the package
            ``transports`` that Python finds is not slotbench's.
    """
    _check_name(name)
    for key, value in options.items():
        _check_option(name, key, value)
    chosen = _check_server(name, server)
    _check_together(name, options, chosen)
    kept = {
        key: options[key]
        for key in sorted(options)
        if not _is_default(name, key, options, chosen)
    }
    label = (
        name + _written(kept) + ("" if chosen == _default_server(name) else f"@{chosen}")
    )
    _check_length(label)
    return Contender(label, name, kept, chosen, optional, baseline)


def missing_requirement(contender: Contender) -> str | None:
    """Says why a contender cannot run here, or None; imports nothing to find out.

    A module that can only be found by running its package's code counts as present.
    """
    extras = {"torchrl": needs_torchrl(contender), "ray": contender.name == "torchrl.ray"}
    for package, is_needed in extras.items():
        if is_needed and not _can_find(package):
            return f"{package} is not installed; pip install 'slotbench[{package}]'"
    folder = checkout(contender)
    if folder is not None:
        package = package_of(contender)
        if not Path(folder).is_dir():
            return f"{CHECKOUT}={folder}: there is no such folder"
        if _find_below(package, [folder]) is None:
            return f"{CHECKOUT}={folder}: this folder holds no package {package!r}"
        return None
    module = factory_module(contender.name)
    if module and not _can_find(module):
        return f"module {module!r} is not found; install it or put its folder on PYTHONPATH"
    return None


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
    """Says whether its actors compute in one process, a thread at a time where there is a GIL."""
    actors = actors_of(contender)
    return actors == "threads" or (
        actors == "collector" and env_backend_of(contender) == "threading"
    )


def env_backend_of(contender: Contender) -> str:
    """Says where a collector's contender has its envs, in TorchRL's word for it."""
    chosen = contender.options.get("env_backend", _default_env_backend(contender.name))
    return str(chosen)


def factory_module(name: str) -> str | None:
    """Names the module that a contender from outside comes from; None for a built-in."""
    if ":" not in name:
        if name in _FLAGS:
            return None
        name = _entry_points().get(name, "")
    return name.partition(":")[0].strip() or None


def checkout(contender: Contender) -> str | None:
    """Names the folder that its package is to be imported from; None for the installed one."""
    folder = contender.options.get(CHECKOUT)
    return None if folder is None else str(folder)


def package_of(contender: Contender) -> str:
    """Names the top-level package that a contender comes from."""
    return (factory_module(contender.name) or "transports").partition(".")[0]


def available() -> tuple[str, ...]:
    """Names every contender that has a name of its own, installed here or not.

    Ours first, then TorchRL's, then those of installed packages' entry points, then the
    floor.

    Raises:
        ContenderError: the package ``transports`` that Python finds is not slotbench's.
    """
    return tuple(
        dict.fromkeys((*_own_transports(), *_TORCHRLS, *sorted(_entry_points()), "floor"))
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Offers the nearest known names as "did you mean a or b?", or "" if none is near."""
    near = difflib.get_close_matches(name[:100], list(known), n=3, cutoff=0.7)
    return f"did you mean {' or '.join(near)}?" if near else ""


def _syntax_error(text: str) -> ContenderError:
    shown = json.dumps(text[:100], ensure_ascii=False)
    return ContenderError(f"contender {shown}: write it as name[option=value,…]@server")


def _check_length(text: str) -> None:
    if len(text) > MAX_LABEL:
        raise ContenderError(
            f"contender {_shown(text)}: {len(text)} characters; keep it to {MAX_LABEL}"
        )


def _split_options(text: str, whole: str) -> dict[str, Scalar]:
    options: dict[str, Scalar] = {}
    position = 0
    while position < len(text):
        match = _OPTION.match(text, position)
        if match is None or (match.end() == len(text) and text.endswith(",")):
            raise _syntax_error(whole)
        if match["key"] in options:
            raise ContenderError(
                f"contender {whole}: {match['key']} is given twice; keep one"
            )
        options[match["key"]] = (
            True if match["value"] is None else _read(match["value"], whole)
        )
        position = match.end()
    return options


def _read(text: str, whole: str) -> Scalar:
    if text.startswith('"'):
        try:
            return cast("str", json.loads(text))
        except ValueError:
            raise _syntax_error(whole) from None
    if text in {"true", "false"}:
        return text == "true"
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _written(options: Mapping[str, Scalar]) -> str:
    parts = [
        key if value is True else f"{key}={_text(value)}" for key, value in options.items()
    ]
    return f"[{','.join(parts)}]" if parts else ""


def _text(value: Scalar) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and _read(value, value) == value:
        return value
    return repr(value) if isinstance(value, float) else json.dumps(value)


def _own_transports() -> tuple[str, ...]:
    """Names of the transports that slotbench ships, from `transports.available`."""
    advice = "install slotbench in an environment without it"
    try:
        import transports
    except ImportError as error:
        raise ContenderError(
            f"slotbench's package 'transports' cannot be imported ({error}); {advice} "
            "and with its own"
        ) from None
    if getattr(transports, "CONTRACT_VERSION", None) != _CONTRACT_VERSION:
        place = getattr(transports, "__file__", None) or getattr(
            transports, "__path__", "?"
        )
        raise ContenderError(
            f"an unrelated package called 'transports' is being imported, from {place}; {advice}"
        )
    return tuple(transports.available())


def _entry_points() -> dict[str, str]:
    """Entry point name → "package.module:factory"; installed packages add transports so."""
    found = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    return {entry.name: entry.value for entry in found if _NAME.fullmatch(entry.name)}


def _check_name(name: str) -> None:
    if ":" in name:
        if not _FACTORY.fullmatch(name):
            raise ContenderError(
                f"contender {json.dumps(name[:100])}: write a factory as package.module:factory"
            )
    elif name == "floor" or name in _TORCHRLS:
        return
    elif name not in (known := available()):
        raise ContenderError(
            f"unknown contender {json.dumps(name[:100], ensure_ascii=False)}; "
            f"{did_you_mean(name, known) or 'known'} "
            f"({', '.join(known)}, or package.module:factory)"
        )


def _check_option(name: str, key: str, value: Scalar) -> None:
    if not re.fullmatch(r"[A-Za-z_]\w*", key, re.ASCII):
        raise ContenderError(f"contender {name}: {key!r} is no option; use a Python name")
    if name == "floor":
        raise ContenderError(f"contender floor: it takes no options; remove {key}")
    if key == CHECKOUT:
        if name.startswith("torchrl.") and ":" not in name:
            raise ContenderError(
                f"contender {name}: it is TorchRL's, as installed; remove {key}"
            )
        if not isinstance(value, str) or not value:
            raise ContenderError(
                f"contender {name}: {key} is the path of a folder, not {_shown(value)}"
            )
    elif key in _CHOICES and (key != ACTORS or _may_have_processes(name)):
        if value not in _CHOICES[key]:
            raise ContenderError(
                f"contender {name}: {key} is {' or '.join(_CHOICES[key])}, not {_shown(value)}"
            )
    elif key == "frames_per_batch":
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**6:
            raise ContenderError(
                f"contender {name}: {key} is a whole number from 1 to 1000000, "
                f"not {_shown(value)}"
            )
    elif name in _FLAGS and key not in _FLAGS[name]:
        raise ContenderError(f"contender {name}: {_unknown_option(name, key)}")
    elif name in _FLAGS and not isinstance(value, bool):
        raise ContenderError(
            f"contender {name}: {key} is true or false, not {_shown(value)}"
        )
    elif not _is_scalar(value):
        raise ContenderError(
            f"contender {name}: {key} is {_shown(value)}; "
            "give true, false, a finite number of at most 64 bits, or text"
        )


def _unknown_option(name: str, key: str) -> str:
    """What to do about an option that a built-in contender does not have."""
    if key == ACTORS:
        return (
            "its actors are threads of the server's process, which is all it connects; "
            f"remove {ACTORS}"
        )
    own = () if name in _TORCHRLS else (CHECKOUT,)
    own = (*own, ACTORS) if _may_have_processes(name) else own
    known = (*_FLAGS[name], "collate", *own)
    near = did_you_mean(key, known) or f"it has {' and '.join(known)}"
    return f"unknown option {key}; {near}"


def _may_have_processes(name: str) -> bool:
    """Whether actors may be processes: of built-in contenders few, of others who knows."""
    return name in _BETWEEN_PROCESSES or name not in _FLAGS


def _check_together(name: str, options: Mapping[str, Scalar], server: Server) -> None:
    """Refuse options that the server has no use for."""
    if CHECKOUT in options and server in {"torchrl", "collector"} and name in _FLAGS:
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
    if name in _FLAGS and name not in _COLLECTED:
        raise ContenderError(
            f"contender {name}: TorchRL's collector is given {', '.join(sorted(_COLLECTED))} "
            "or package.module:factory; remove @collector"
        )
    backend = options.get("env_backend")
    if name in _BETWEEN_PROCESSES and backend not in {None, "multiprocessing"}:
        raise ContenderError(
            f"contender {name}: its envs are processes; remove env_backend={backend}"
        )


def _shown(value: object) -> str:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "a number of more than 64 bits"
    text = repr(value) if isinstance(value, float) else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:59] + "…"


def _is_scalar(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, str)


def _is_default(name: str, key: str, options: Mapping[str, Scalar], server: Server) -> bool:
    value = options[key]
    if key == "collate":
        return value == "default"
    if key == ACTORS:
        return value == ("processes" if name in _BETWEEN_PROCESSES else "threads")
    if server == "collector" and key in COLLECTOR_OPTIONS:
        default = _default_env_backend(name) if key == "env_backend" else FRAMES_PER_BATCH
        return value == default
    return name in _FLAGS and value is _FLAGS[name].get(key)


def _default_env_backend(name: str) -> str:
    return "multiprocessing" if name in _BETWEEN_PROCESSES else "threading"


def _default_server(name: str) -> Server:
    if name == "floor":
        return "none"
    return "torchrl" if name in _TORCHRLS else "reference"


def _check_server(name: str, server: str | None) -> Server:
    default = _default_server(name)
    if server is None or server == default:
        return default
    if name == "floor":
        raise ContenderError(f"contender floor: it brings its own server; remove @{server}")
    if server not in _SERVERS or server not in get_args(Server):
        near = did_you_mean(server, _SERVERS) or "use one of these"
        raise ContenderError(
            f"contender {name}: unknown server {json.dumps(server[:60])}; {near} "
            f"({', '.join(_SERVERS)})"
        )
    return cast("Server", server)


def _can_find(module: str) -> bool:
    """Looks for a module from its top-level package down, without importing any of it."""
    top, *rest = module.split(".")
    name = top
    try:
        spec = importlib.util.find_spec(top)
        for part in rest:
            if spec is None or f"{name}.{part}" in sys.modules:
                break
            name = f"{name}.{part}"
            places = spec.submodule_search_locations
            spec = None if places is None else _find_below(name, list(places))
    except (ImportError, AttributeError, KeyError, ValueError):
        # A module without a spec, or a nested namespace package: only importing tells.
        return True
    return spec is not None


def _find_below(name: str, places: list[str]) -> importlib.machinery.ModuleSpec | None:
    return importlib.machinery.PathFinder.find_spec(name, places)
