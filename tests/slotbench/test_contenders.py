"""`slotbench.contenders`: grammar, canonical labels, what is missing here."""

import importlib.metadata
import re
import sys
import types
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slotbench import contenders
from slotbench.contenders import _installed, available, make, missing_requirement, parse
from slotbench.errors import ContenderError
from slotbench.records import Contender


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for the package transports, which has tests of its own."""
    module = types.ModuleType("transports")
    module.CONTRACT_VERSION = 1  # type: ignore[attr-defined]
    module.available = lambda: ("slot", "threading")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transports", module)


def raises(message: str) -> pytest.RaisesExc[ContenderError]:
    """Expects exactly this line."""
    return pytest.raises(ContenderError, match=f"^{re.escape(message)}$")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("slot", "slot"),
        (" slot ", "slot"),
        ("slot[preallocate]", "slot[preallocate]"),
        ("slot[preallocate=true]@reference", "slot[preallocate]"),
        ("slot[preallocate=false]", "slot"),
        ("slot[inline=false,preallocate=true]", "slot[preallocate]"),
        ("slot[preallocate,inline]", "slot[inline,preallocate]"),
        ("slot[inline]@torchrl", "slot[inline]@torchrl"),
        ("slot@torchrl", "slot@torchrl"),
        ("threading[collate=default]", "threading"),
        ("slot[preallocate, collate=lazy_stack]", "slot[collate=lazy_stack,preallocate]"),
        ("torchrl.slot@torchrl", "torchrl.slot"),
        ("torchrl.threading@reference", "torchrl.threading@reference"),
        ("floor@none", "floor"),
        ("torchrl.process_slot[copy_result,actors=processes]", "torchrl.process_slot"),
        (
            "torchrl.mp[actors=threads]@torchrl",
            "torchrl.mp[actors=threads]",
        ),
        (
            "torchrl.shared_memory[copy_result=false]",
            "torchrl.shared_memory[copy_result=false]",
        ),
        ("m:f[actors=threads]", "m:f"),
        ("m:f[actors=processes]", "m:f[actors=processes]"),
        ("slot[env_backend=threading,frames_per_batch=64]@collector", "slot@collector"),
        (
            "slot[env_backend=multiprocessing]@collector",
            "slot[env_backend=multiprocessing]@collector",
        ),
        (
            "torchrl.process_slot[env_backend=multiprocessing]@collector",
            "torchrl.process_slot@collector",
        ),
        ("torchrl.parallel[frames_per_batch=64]@collector", "torchrl.parallel"),
        ("m:f[frames_per_batch=200]@collector", "m:f[frames_per_batch=200]@collector"),
        ("my.mod:make[b=false,a,n=3]", "my.mod:make[a,b=false,n=3]"),
        (
            "my.mod:Class.make[x=1.50,y=a/b:c]@torchrl",
            "my.mod:Class.make[x=1.5,y=a/b:c]@torchrl",
        ),
        ('m:f[x="a, b",y="3",z="plain"]', 'm:f[x="a, b",y="3",z=plain]'),
    ],
)
def test_a_label_is_canonical(text: str, label: str) -> None:
    """Texts that mean the same have one label, with nothing in it that is the default."""
    assert parse(text).label == label
    assert parse(label) == parse(text)


def test_parts_of_a_contender() -> None:
    """Values have their type, flags are passed on, and each has its default server."""
    assert parse(
        'm:f[a,b=false,c=-3,d=1e3,e=x,g="1"]', optional=True, baseline=True
    ) == Contender(
        label='m:f[a,b=false,c=-3,d=1000.0,e=x,g="1"]',
        name="m:f",
        options={"a": True, "b": False, "c": -3, "d": 1000.0, "e": "x", "g": "1"},
        server="reference",
        optional=True,
        baseline=True,
    )
    servers = [
        parse(name).server for name in ("slot", "torchrl.slot", "floor", "torchrl.x:f")
    ]
    assert servers == ["reference", "torchrl", "none", "reference"]


OPTIONS = st.dictionaries(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(
        lambda k: k not in contenders.HARNESS_OPTIONS
    ),
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(["true", "1e999", "-1", ".5", "1_0", "٣"]),
    max_size=4,
)


@settings(max_examples=300, deadline=None, database=None)
@given(options=OPTIONS, server=st.sampled_from([None, "reference", "torchrl"]))
def test_parsing_a_label_gives_the_contender_back(
    options: dict[str, object], server: str | None
) -> None:
    """Whatever the options, the label alone tells the contender, types included."""
    made = make("my.mod:factory", options, server)  # type: ignore[arg-type]
    again = parse(made.label)
    assert again == made
    assert [type(v) for v in again.options.values()] == [
        type(v) for v in made.options.values()
    ]
    assert "\n" not in made.label


@settings(max_examples=300, deadline=None, database=None)
@given(text=st.text(max_size=30) | st.text('slot[]=,@"\\ torchrl.:1', max_size=30))
def test_any_text_is_a_contender_or_a_clear_error(text: str) -> None:
    """No text raises anything but ContenderError, on one line."""
    try:
        contender = parse(text)
    except ContenderError as error:
        line = str(error)
    else:
        line = contender.label
        assert parse(line) == contender
    assert "\n" not in line


@pytest.mark.parametrize("text", ["", "[x]", "slot[", "slot[]", "slot]", "slot[a=]", "slot[a,]",
                                  "slot[a b]", "slot[,]", "slot@", "slot@a@b", "a b", 'm:f[x="a]',
                                  r'm:f[x="\q"]'])  # fmt: skip
def test_bad_syntax_is_shown_with_the_grammar(text: str) -> None:
    """The line quotes the text and says how to write it."""
    with pytest.raises(
        ContenderError,
        match=r"^contender \".*\": write it as name\[option=value,…\]@server$",
    ):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "slto",
            'unknown contender "slto"; did you mean slot? '
            f"({', '.join(available())}, or package.module:factory)",
        ),
        ("slot[a,a]", "contender slot[a,a]: a is given twice; keep one"),
        ("slot[prealocate]",
         "contender slot: unknown option prealocate; did you mean preallocate?"),
        ("threading[preallocate]",
         "contender threading: unknown option preallocate; it has collate and from and python"),
        ("slot[inlined]", "contender slot: unknown option inlined; did you mean inline?"),
        ("slot[nothing]",
         "contender slot: unknown option nothing; it has preallocate and inline and pin_memory and collate and from "
         "and python"),
        ("torchrl.slot[inline]",
         "contender torchrl.slot: unknown option inline; it has preallocate and collate and python"),
        ("slot[inline=1]", "contender slot: inline is true or false, not 1"),
        ("slot[preallocate=3]", "contender slot: preallocate is true or false, not 3"),
        ("torchrl.slot[preallocate=yes]",
         'contender torchrl.slot: preallocate is true or false, not "yes"'),
        ("m:f[collate=lazy]",
         'contender m:f: collate is default or maybe_dense_stack or lazy_stack, not "lazy"'),
        ("floor[collate=lazy_stack]", "contender floor: it takes no option but python; remove collate"),
        ("floor@torchrl", "contender floor: it brings its own server; remove @torchrl"),
        ("slot@none", 'contender slot: unknown server "none"; use one of these (reference, torchrl, collector)'),
        ("slot@refrence",
         'contender slot: unknown server "refrence"; did you mean reference? (reference, torchrl, collector)'),
        ("slot[actors=processes]",
         "contender slot: its actors are threads of the server's process; remove actors"),
        ("torchrl.mp[actors=fibers]",
         'contender torchrl.mp: actors is threads or processes, not "fibers"'),
        ("torchrl.mp[copy_result]",
         "contender torchrl.mp: unknown option copy_result; it has collate and actors and python"),
        ("slot[frames_per_batch=200]",
         "contender slot: frames_per_batch does not go with @reference: it is TorchRL's "
         "collector's; write …@collector"),
        ("slot[frames_per_batch=0]@collector",
         "contender slot: frames_per_batch is a whole number from 1 to 1000000, not 0"),
        ("slot[env_backend=fork]@collector",
         'contender slot: env_backend is threading or multiprocessing, not "fork"'),
        ("slot[collate=lazy_stack]@collector",
         "contender slot: collate does not go with @collector: TorchRL's collector has its own"),
        ("torchrl.mp@collector",
         "contender torchrl.mp: TorchRL's collector is given slot, threading, "
         "torchrl.process_slot, torchrl.slot, torchrl.threading or package.module:factory; "
         "remove @collector"),
        ("torchrl.process_slot[env_backend=threading]@collector",
         "contender torchrl.process_slot: its envs are processes; remove env_backend=threading"),
        ("torchrl.process_slot@reference",
         "contender torchrl.process_slot: TorchRL's server alone serves it; remove @reference"),
        ("slot[foo=1]@collector",
         "contender slot: unknown option foo; it has preallocate and inline and pin_memory and env_backend and "
         "frames_per_batch and python"),
        ("torchrl.parallel@torchrl",
         "contender torchrl.parallel: it brings its own server; remove @torchrl"),
        ("torchrl.parallel[collate=lazy_stack]",
         "contender torchrl.parallel: collate does not go with @collector: TorchRL's collector has "
         "its own"),
        ("floor@collector", "contender floor: it brings its own server; remove @collector"),
        ("slot[from=x]@collector",
         "contender slot: from and @collector do not go together: the adapter to TorchRL belongs "
         "to the installed slotbench"),
        ("m:", 'contender "m:": write a factory as package.module:factory'),
        ("m:f:g", 'contender "m:f:g": write a factory as package.module:factory'),
        ("m:f[n=9223372036854775808]",
         "contender m:f: n is a number of more than 64 bits; "
         "give true, false, a finite number of at most 64 bits, or text"),
        ("m:f[n=1e999]",
         "contender m:f: n is inf; give true, false, a finite number of at most 64 bits, or text"),
    ],
)  # fmt: skip
def test_errors_say_what_and_what_to_do(text: str, message: str) -> None:
    """Each mistake has its own line."""
    with raises(message):
        parse(text)


def test_option_names_are_checked_where_no_text_was_parsed() -> None:
    """A scenario's quoted key cannot smuggle in a name that a label cannot hold."""
    with raises("contender m:f: 'a b' is no option; use a Python name"):
        make("m:f", {"a b": 1})
    with pytest.raises(ContenderError, match=r"^contender m:f: x is \[1\]; give true"):
        make("m:f", {"x": [1]})  # type: ignore[dict-item]


def test_an_unrelated_transports_package_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PyPI's package of that name is reported with its place; TorchRL's contenders parse."""
    stranger = types.ModuleType("transports")
    stranger.__file__ = "site-packages/transports/__init__.py"
    monkeypatch.setitem(sys.modules, "transports", stranger)
    with raises(
        "an unrelated package called 'transports' is being imported, from "
        "site-packages/transports/__init__.py; install slotbench in an environment without it"
    ):
        parse("slot")
    assert parse("torchrl.slot").name == "torchrl.slot"


def test_a_missing_transports_package_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation is a line, not a traceback."""
    monkeypatch.setitem(sys.modules, "transports", None)
    with pytest.raises(
        ContenderError, match=r"^slotbench's package 'transports' cannot be"
    ):
        parse("slot")


def test_a_new_file_in_transports_is_a_contender(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transport that only `transports.available` knows takes any option."""
    monkeypatch.setattr(sys.modules["transports"], "available", lambda: ("null", "slot"))
    assert parse("null[x=1]").options == {"x": 1}


def test_an_entry_point_is_a_contender(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package adds a name; its module is looked for like any factory's."""
    entry = importlib.metadata.EntryPoint(
        "ring", "no_such_ring.mod:make", "slotbench.transports"
    )
    installed = {"slotbench.transports": [entry]}
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda *, group: installed[group]
    )
    contender = parse("ring[depth=4]")
    assert (contender.label, contender.server) == ("ring[depth=4]", "reference")
    assert "no_such_ring.mod" in (missing_requirement(contender) or "")


def test_what_is_installed_misses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built-ins, standard modules, modules of packages and nested namespaces are there."""
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "pack" / "inner.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "spaced" / "deep").mkdir(parents=True)
    (tmp_path / "spaced" / "deep" / "mod.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for text in ("slot", "floor", "os.path:join", "pack:f", "pack.inner:f", "__main__:f",
                 "json.decoder:f", "spaced.deep.mod:f"):  # fmt: skip
        assert missing_requirement(parse(text)) is None, text
    assert "pack" not in sys.modules


@pytest.mark.parametrize("module", ["no_such_pack", "no_such_pack.mod", "json.no_such", "re.x.y",
                                    "this_is_not.there.either"])  # fmt: skip
def test_a_factory_that_is_not_there_is_named(module: str) -> None:
    """The reason names the module and says what to do; who shows it names the contender."""
    assert missing_requirement(parse(f"{module}:f")) == (
        f"module '{module}' is not found; install it or put its folder on PYTHONPATH"
    )


@pytest.mark.parametrize(
    "text", ["torchrl.slot", "torchrl.threading@reference", "slot@torchrl"]
)
def test_torchrl_is_missing_where_it_is_not_installed(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TorchRL's transports and TorchRL's server both need it."""
    monkeypatch.setattr(_installed, "_can_find", lambda module: module != "torchrl")
    assert missing_requirement(parse(text)) == (
        "torchrl is not installed; pip install 'slotbench[torchrl]'"
    )
    assert missing_requirement(parse("slot")) is None


def test_a_contender_may_come_from_another_checkout(tmp_path: Path) -> None:
    """The folder is part of its name, and where its package is looked for."""
    (tmp_path / "base" / "transports").mkdir(parents=True)
    (tmp_path / "base" / "transports" / "__init__.py").touch()
    made = contenders.parse(f"slot[from={tmp_path}/base,preallocate]")

    assert made.label == f"slot[from={tmp_path}/base,preallocate]"
    assert contenders.checkout(made) == f"{tmp_path}/base"
    assert contenders.package_of(made) == "transports"
    assert contenders.missing_requirement(made) is None
    assert contenders.checkout(contenders.parse("slot")) is None
    theirs = contenders.parse(f"my.module:factory[from={tmp_path}/base]")
    assert contenders.package_of(theirs) == "my"
    assert contenders.missing_requirement(theirs) == (
        f"from={tmp_path}/base: this folder holds no package 'my'"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slot[from]", "contender slot: from is the path of a folder, not true"),
        ("slot[from=3]", "contender slot: from is the path of a folder, not 3"),
        ('slot[from=""]', 'contender slot: from is the path of a folder, not ""'),
        (
            "torchrl.slot[from=x]",
            "contender torchrl.slot: it is TorchRL's, as installed; remove",
        ),
        (
            "slot[from=x]@torchrl",
            "contender slot: from and @torchrl do not go together: the",
        ),
        ("floor[from=x]", "contender floor: it takes no option but python; remove from"),
    ],
)
def test_what_cannot_come_from_a_checkout(text: str, message: str) -> None:
    """One line that says why."""
    with pytest.raises(ContenderError) as caught:
        contenders.parse(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "actors", "env_backend"),
    [
        ("slot", "threads", "threading"),
        ("floor", "threads", "threading"),
        ("torchrl.ray", "threads", "threading"),
        ("torchrl.mp", "processes", "multiprocessing"),
        ("torchrl.mp[actors=threads]", "threads", "multiprocessing"),
        ("m:f[actors=processes]", "processes", "threading"),
        ("slot@collector", "collector", "threading"),
        ("slot[env_backend=multiprocessing]@collector", "collector", "multiprocessing"),
        ("torchrl.process_slot@collector", "collector", "multiprocessing"),
        ("torchrl.parallel", "collector", "multiprocessing"),
    ],
)
def test_who_asks_and_where_envs_are(text: str, actors: str, env_backend: str) -> None:
    """Of the contender alone, before anything is imported."""
    contender = parse(text)
    assert contenders.actors_of(contender) == actors
    assert contenders.env_backend_of(contender) == env_backend
