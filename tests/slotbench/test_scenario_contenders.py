"""The contenders of a scenario: expansion, the baseline, ``--contender``."""

import re

import pytest

from slotbench.errors import ContenderError, ScenarioError, SlotbenchError
from slotbench.records import Contender, Scenario
from slotbench.scenario import loads

HEAD = 'title = "t"\nquestion = "q"\nnum_slots = 4\n'


def entry(name: str, **keys: object) -> str:
    """One [[contenders]] table."""
    lines = [f"{key} = {value}" for key, value in {"name": f"'{name}'", **keys}.items()]
    return "[[contenders]]\n" + "\n".join(lines) + "\n"


def scenario(*entries: str, named: tuple[str, ...] = ()) -> Scenario:
    """A scenario with these contenders."""
    return loads(HEAD + "".join(entries), name="x", source="x.toml", contenders=named)


def labels(*entries: str, named: tuple[str, ...] = ()) -> list[str]:
    """Labels in order, the baseline's in brackets."""
    return [
        f"<{one.label}>" if one.baseline else one.label
        for one in scenario(*entries, named=named).contenders
    ]


def raises(
    message: str, kind: type[SlotbenchError] = ScenarioError
) -> pytest.RaisesExc[SlotbenchError]:
    """Expects exactly this line."""
    return pytest.raises(kind, match=f"^{re.escape(message)}$")


def test_options_with_several_values_make_several_contenders() -> None:
    """Every combination of the lists is one, in order; the servers may be a list too."""
    assert labels(
        entry("m:f", x=1),
        entry(
            "torchrl.slot", preallocate="[false, true]", collate="['default', 'lazy_stack']"
        ),
        entry("torchrl.threading", server="['torchrl', 'reference']"),
    ) == [
        "<m:f[x=1]>",
        "torchrl.slot",
        "torchrl.slot[collate=lazy_stack]",
        "torchrl.slot[preallocate]",
        "torchrl.slot[collate=lazy_stack,preallocate]",
        "torchrl.threading",
        "torchrl.threading@reference",
    ]


def test_flags_and_typed_options_arrive() -> None:
    """Keys that are not name, server, optional or baseline are options, with their type."""
    made = scenario(
        entry("m:f", baseline="true", n=1, x=0.5, s="'text'", flag="true"),
        entry("torchrl.slot", optional="true"),
    )
    assert made.contenders == (
        Contender(
            "m:f[flag,n=1,s=text,x=0.5]",
            "m:f",
            {"flag": True, "n": 1, "s": "text", "x": 0.5},
            "reference",
            baseline=True,
        ),
        Contender("torchrl.slot", "torchrl.slot", {}, "torchrl", optional=True),
    )


def test_a_name_may_be_the_whole_text() -> None:
    """Options in the name and as keys add up; the same one twice is refused."""
    assert labels(entry("m:f[a]@torchrl", b=1)) == ["<m:f[a,b=1]@torchrl>"]
    with raises("x.toml: contenders[0]: a is given in the name as well; keep one"):
        scenario(entry("m:f[a]", a="true"))
    with raises("x.toml: contenders[0]: server is given in the name as well; keep one"):
        scenario(entry("m:f@torchrl", server="'torchrl'"))


def test_the_baseline_is_the_first_that_can_be_one() -> None:
    """Neither the floor nor an optional contender becomes it by itself."""
    assert labels(
        entry("floor"), entry("m:a", optional="true"), entry("m:b"), entry("m:c")
    ) == [
        "floor",
        "m:a",
        "<m:b>",
        "m:c",
    ]
    assert labels(entry("m:a"), entry("m:b", baseline="true")) == ["m:a", "<m:b>"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "contenders: nothing to compare with; add one that is neither floor nor optional"),
        ([entry("floor")],
         "contenders: nothing to compare with; add one that is neither floor nor optional"),
        ([entry("m:a", baseline="true"), entry("m:b", baseline="true")],
         "contenders: m:a and m:b are both baseline; mark one"),
        ([entry("m:a", baseline="true", x="[1, 2]")],
         "contenders[0]: a baseline is one contender, not 2; give one value"),
        ([entry("m:a", baseline="true", optional="true")],
         "contenders[0]: a baseline cannot be optional; remove one of the two"),
        ([entry("m:a"), entry("m:b", x="[true, true]")],
         "contenders: m:b[x] is there twice; keep one"),
        ([entry("torchrl.slot"), entry("torchrl.slot", preallocate="false")],
         "contenders: torchrl.slot is there twice; keep one"),
        ([entry("m:a", x="[]")], "contenders[0]: x: the list is empty; give at least one value"),
        ([entry("m:a", server="[]")],
         "contenders[0]: server: [] is not allowed; list should have at least 1 item, not 0"),
        ([entry("m:a", optional="1")],
         "contenders[0]: optional: 1 is not allowed; it should be a valid boolean"),
        (["[[contenders]]\n"], "contenders[0]: name: is missing; add it"),
        (["[[contenders]]\nname = 3\n"],
         "contenders[0]: name: 3 is not allowed; it should be a valid string"),
        (["contenders = 3\n"],
         "contenders: 3 is not a list of tables; write [[contenders]]"),
        (["contenders = ['slot']\n"],
         'contenders: ["slot"] is not a list of tables; write [[contenders]]'),
        (["[contenders]\nname = 'slot'\n"],
         'contenders: {"name":"slot"} is not a list of tables; write [[contenders]]'),
        ([entry("m:a", x=str(list(range(101))))],
         "contenders[0]: more than 100 contenders; give fewer values"),
        ([entry("m:a", x=str(list(range(99)))), entry("m:b", x="[1, 2]")],
         "contenders: more than 100; keep fewer in one block"),
    ],
)  # fmt: skip
def test_wrong_contenders_are_named_by_their_place(
    entries: list[str], message: str
) -> None:
    """Each mistake has its own line, with the number of the entry."""
    with raises(f"x.toml: {message}"):
        scenario(*entries)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (entry("torchrl.slot", prealocate="true"),
         "contender torchrl.slot: unknown option prealocate; did you mean preallocate?"),
        (entry("torchrl.slot", preallocate="[true, 3]"),
         "contender torchrl.slot: preallocate is true or false, not 3"),
        (entry("m:f", x="{ a = 1 }"),
         'contender m:f: x is {"a": 1}; '
         "give true, false, a finite number of at most 64 bits, or text"),
        (entry("m:f", x="nan"),
         "contender m:f: x is nan; give true, false, a finite number of at most 64 bits, or text"),
        (entry("m:f["), 'contender "m:f[": write it as name[option=value,…]@server'),
    ],
)  # fmt: skip
def test_misspelt_contenders_are_contender_errors(text: str, message: str) -> None:
    """The line of `slotbench.contenders`, after the place in the file."""
    with raises(f"x.toml: contenders[0]: {message}", ContenderError):
        scenario(text)


def test_named_contenders_replace_all_but_the_baseline() -> None:
    """The baseline stays, first and once; what a user names is not optional."""
    entries = (
        entry("floor"),
        entry("m:base", baseline="true"),
        entry("torchrl.slot", optional="true"),
    )
    assert labels(*entries, named=("m:new[x=2]", "torchrl.slot")) == [
        "<m:base>",
        "m:new[x=2]",
        "torchrl.slot",
    ]
    assert labels(*entries, named=("floor", "m:base")) == ["<m:base>", "floor"]
    made = scenario(*entries, named=("torchrl.slot",)).contenders
    assert [one.optional for one in made] == [False, False]


def test_wrong_named_contenders_are_called_by_their_option() -> None:
    """A mistake on the command line names --contender, not the file."""
    with raises("--contender: m:f is there twice; keep one"):
        scenario(entry("m:base"), named=("m:f", "m:f"))
    with raises(
        "--contender: contender torchrl.slot: unknown option x; it has preallocate and collate and python",
        ContenderError,
    ):
        scenario(entry("m:base"), named=("torchrl.slot[x]",))
