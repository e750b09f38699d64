"""docs/conformance.md shows the checks that there are, what was recorded, and code that runs.

``python tests/test_conformance_docs.py`` prints its tables.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from slotbench.draw import findings
from slotbench.records import CheckedContender, CheckFinding, CheckPlan, Conformance
from transports import conformance

ROOT = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs/conformance.md"
RECORD: Final = ROOT / "results/reference/conformance.json"
PROCESSES: Final = ROOT / "results/reference/conformance_processes.json"
"""Of TorchRL's transports between processes."""


def test_the_checks_shown_are_those_that_there_are() -> None:
    """Guarantees and promises, as ``slotbench check --list --format md`` prints them."""
    assert _between("checks") == checks_table()


def test_the_table_comes_from_the_record() -> None:
    """As ``slotbench check … --format md`` prints it, without the reasons."""
    assert _between("conformance") == findings_table()


def test_the_table_of_processes_comes_from_its_record() -> None:
    """As the other does from the other."""
    assert _between("processes") == findings_table(PROCESSES)


@pytest.mark.parametrize(
    ("file", "labels"),
    [
        (
            RECORD,
            [
                *("slot", "slot[preallocate]", "slot[inline]", "threading"),
                *("torchrl.slot", "torchrl.slot[preallocate]", "torchrl.threading"),
            ],
        ),
        (PROCESSES, ["torchrl.process_slot", "torchrl.shared_memory", "torchrl.mp"]),
    ],
)
def test_the_record_holds_every_check_of_every_contender(
    file: Path, labels: list[str]
) -> None:
    """And nothing of the machine that has a name or a place."""
    record = _record(file)
    names = sorted(check.name for check in conformance.CHECKS)

    assert sorted(check.name for check in record.checks) == names
    assert [contender.label for contender in record.contenders] == labels
    for contender in record.contenders:
        assert sorted(finding.check for finding in contender.findings) == names
    assert {"torch_version", "tensordict_version", "torchrl_version"} <= set(
        record.environment
    )
    assert not re.search(r"(?<![\w./])/\w", file.read_text())


def test_what_fails_at_torchrls_is_explained() -> None:
    """Every such check, and no other, is named among the defects."""
    failing = {
        finding.check
        for contender in _record().contenders
        for finding in contender.findings
        if contender.label.startswith("torchrl.") and finding.outcome == "fail"
    }
    named = set(re.findall(r"`([a-z-]+)`", _between("defects"))) - {"preallocate"}

    assert named == failing


def test_what_fails_between_processes_is_explained() -> None:
    """Every check that fails there and not in TorchRL's own threads, and no other."""
    failing, known = (
        {
            finding.check
            for contender in _record(file).contenders
            for finding in contender.findings
            if contender.label.startswith("torchrl.") and finding.outcome == "fail"
        }
        for file in (PROCESSES, RECORD)
    )
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", _between("process-defects")))

    assert named == failing - known


def test_ours_keep_every_guarantee() -> None:
    """In the record, no contender of ours fails."""
    failing = [
        (contender.label, finding.check)
        for contender in _record().contenders
        for finding in contender.findings
        if not contender.label.startswith("torchrl.") and finding.outcome == "fail"
    ]

    assert failing == []


def test_the_example_prints_what_is_shown(tmp_path: Path) -> None:
    """The transport, saved where the command is run; a check that fails is exit code 1."""
    _save_example(tmp_path)
    command, shown = re.search(
        r"```console\n\$ slotbench (.*?)\n(.*?)```", PAGE.read_text(), re.DOTALL
    ).groups()  # type: ignore[union-attr]
    done = subprocess.run(
        [sys.executable, "-m", "slotbench", *command.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, shown)
    assert "slotbench: " not in done.stderr  # nothing but progress


def test_the_example_can_be_checked_from_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loop over the checks runs as it stands; here on one of them."""
    _save_example(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    chosen = [c for c in conformance.CHECKS if c.name == "requests-served-once"]
    monkeypatch.setattr(conformance, "CHECKS", tuple(chosen))
    (code,) = [block for block in _python_blocks() if block.startswith("from my_tr")]
    exec(compile(code, "example", "exec"), {})

    assert capsys.readouterr().out == "requests-served-once pass \n"


def test_the_example_can_be_checked_in_pytest(tmp_path: Path) -> None:
    """The test module runs as it stands; here one of its tests."""
    _save_example(tmp_path)
    name = "test_my_transport.py"
    (code,) = [block for block in _python_blocks() if block.startswith(f"# {name}")]
    (tmp_path / name).write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "requests-served-once", name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "1 passed" in done.stdout, done.stdout


def checks_table() -> str:
    """The guarantees, each with its checks and what they promise."""
    plans = [CheckPlan(c.name, c.guarantee, c.promise) for c in conformance.CHECKS]
    plans.sort(key=lambda plan: plan.guarantee)
    guarantees = dict(conformance.GUARANTEES)
    return findings.render(
        Conformance(1, "", {}, guarantees, tuple(plans), ()), "md"
    ).strip()


def findings_table(file: Path = RECORD) -> str:
    """What was recorded, without the reasons."""
    return findings.render(_record(file), "md").partition("\n\n")[0]


def _record(file: Path = RECORD) -> Conformance:
    document: dict[str, Any] = json.loads(file.read_text())
    assert document.pop("schema") == findings.SCHEMA
    contenders = tuple(
        CheckedContender(one["label"], tuple(CheckFinding(**f) for f in one["findings"]))
        for one in document.pop("contenders")
    )
    checks = tuple(CheckPlan(**check) for check in document.pop("checks"))
    guarantees = {int(n): text for n, text in document.pop("guarantees").items()}
    return Conformance(
        **document, guarantees=guarantees, checks=checks, contenders=contenders
    )


def _between(name: str) -> str:
    text = PAGE.read_text().partition(f"<!-- {name}:begin -->")[2]
    return text.partition(f"<!-- {name}:end -->")[0].strip()


def _python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def _save_example(folder: Path) -> None:
    name = "my_transport.py"
    (code,) = [block for block in _python_blocks() if block.startswith(f"# {name}")]
    (folder / name).write_text(code)


if __name__ == "__main__":
    tables = (checks_table(), findings_table(), findings_table(PROCESSES))
    sys.stdout.write("\n\n".join(tables) + "\n")
