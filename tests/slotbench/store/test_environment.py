"""The environment is flat, says nothing of people or places, and never fails."""

import json
import os
import socket
import subprocess
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

import slotbench
from slotbench.store import environment


def test_it_is_flat_and_can_be_written() -> None:
    """Every value is a scalar that JSON holds."""
    found = environment.collect()
    assert all(type(value) in (bool, int, float, str) for value in found.values())
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_it_says_what_a_reader_of_numbers_asks_first() -> None:
    """CPU, memory, Python, GIL, scheduler settings and versions are there on Linux."""
    found = environment.collect()
    assert found["slotbench_version"] == slotbench.__version__
    assert found["gil_enabled"] is True or found["python_free_threaded_build"] is True
    assert found.keys() >= {
        "cpu_model_name",
        "cpu_count",
        "cpu_affinity_count",
        "memory_total_bytes",
        "load_avg_1min",
        "load_avg_15min",
        "platform",
        "machine_id",
        "python_version",
        "python_implementation",
        "python_build",
        "switch_interval_s",
        "torch_version",
        "tensordict_version",
        "numpy_version",
        "pyperf_version",
    }


def test_it_names_no_machine_no_user_and_no_path() -> None:
    """A record can be published: no host name, home, or path is in any value."""
    found = environment.collect()
    assert found.keys().isdisjoint({"hostname", "python_executable", "python_config_args"})
    assert found.keys().isdisjoint({"date", "duration", "uptime", "mem_max_rss", "command"})
    texts = [value for value in found.values() if isinstance(value, str)]
    assert socket.gethostname() not in texts
    home, checkout = str(Path.home()), str(Path(slotbench.__file__).parent.parent)
    assert not [
        text for text in texts if home in text or checkout in text or "/usr" in text
    ]


@pytest.mark.parametrize(
    ("text", "is_path"),
    [
        ("-O3 -fdebug-prefix-map=/build/python=.", True),
        ("'--prefix=/opt/x'", True),
        ("~/x", True),
        ("clock_gettime(CLOCK_MONOTONIC), resolution: 1.00 ns", False),
        ("Linux-6.18-x86_64-with-glibc2.36", False),
        ("tasks 3/4", False),
    ],
)
def test_a_path_is_recognised(text: str, is_path: bool) -> None:
    """Values of pyperf that hold a path are left out; a fraction is no path."""
    assert bool(environment._PATH.search(text)) is is_path


def test_a_machine_keeps_its_id() -> None:
    """Two runs on one machine can be told to be so."""
    first, second = environment.collect(), environment.collect()
    assert first["machine_id"] == second["machine_id"]
    assert len(str(first["machine_id"])) == 12


def test_what_cannot_be_read_is_absent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With nothing to read and every call failing, it is poorer and does not raise."""

    def fail(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.setattr(environment, "_SYS", tmp_path)
    monkeypatch.setattr(environment, "_PROC", tmp_path)
    for name in ("getloadavg", "sysconf", "sched_getaffinity", "uname"):
        monkeypatch.setattr(os, name, fail)
    monkeypatch.setattr(subprocess, "run", fail)
    found = environment.collect()
    assert found.keys().isdisjoint(
        {
            "machine_id",
            "memory_total_bytes",
            "git_commit",
            "cgroup_cpu_quota",
            "cpu_governor",
        }
    )
    assert "switch_interval_s" in found


@pytest.mark.parametrize(
    ("own", "parent", "expected"),
    [
        ("150000 100000", "max 100000", 1.5),
        ("300000 100000", "200000 100000", 2.0),
        ("max 100000", "max 100000", "max"),
        (None, None, "max"),
    ],
)
def test_the_tightest_quota_counts(
    own: str | None,
    parent: str | None,
    expected: float | str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A limit on a parent group binds its children; no limit is "max", not absence."""
    group = tmp_path / "fs/cgroup/a/b"
    group.mkdir(parents=True)
    (tmp_path / "fs/cgroup/cgroup.controllers").touch()
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("1:cpu:/x\n0::/a/b\n")
    for folder, text in ((group, own), (group.parent, parent)):
        if text:
            (folder / "cpu.max").write_text(text + "\n")
    monkeypatch.setattr(environment, "_SYS", tmp_path)
    monkeypatch.setattr(environment, "_PROC", tmp_path)
    assert environment.collect()["cgroup_cpu_quota"] == expected


def test_a_checkout_has_a_commit_and_a_state(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The commit of the code that ran, and whether it was that code; GIT_DIR is not asked."""
    package = tmp_path / "slotbench"
    package.mkdir()
    (package / "__init__.py").touch()
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *arguments], check=True)
    monkeypatch.setattr(slotbench, "__file__", str(package / "__init__.py"))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    clean = environment.collect()
    assert len(str(clean["git_commit"])) == 40
    assert clean["git_dirty"] is False
    (package / "new.py").touch()
    assert environment.collect()["git_dirty"] is True


def test_an_installed_package_has_no_commit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Outside a checkout there is no commit, rather than the commit of some other one."""
    monkeypatch.setattr(slotbench, "__file__", str(tmp_path / "slotbench" / "__init__.py"))
    assert "git_commit" not in environment.collect()


def fake_nvidia_smi(folder: Path, script: str) -> None:
    """Put a tool of that name on the path, which writes its arguments down."""
    tool = folder / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\necho "$@" > {folder}/arguments\n{script}\n')
    tool.chmod(0o755)


TWO_GPUS = "echo 'NVIDIA H200, 570.86.15, 143771'\necho 'NVIDIA H200, 570.86.15, 143771'"


def test_the_drivers_tool_tells_of_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name, driver, memory in MiB, and how many; of those that this process may use."""
    fake_nvidia_smi(tmp_path, TWO_GPUS)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert environment._gpu() == {
        "gpu_count": 2,
        "gpu_name": "NVIDIA H200",
        "gpu_driver_version": "570.86.15",
        "gpu_memory_mib": 143771,
    }
    assert "--id" not in (tmp_path / "arguments").read_text()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    assert environment.collect()["gpu_name"] == "NVIDIA H200"
    assert "--id=1,3" in (tmp_path / "arguments").read_text()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert environment.collect()["gpu_name"] == "NVIDIA H200"
    assert "--id=1" in (tmp_path / "arguments").read_text()
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert environment._gpu() == {}


def test_a_gpu_without_memory_of_its_own_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver's tool knows no amount of it where that is the host's."""
    fake_nvidia_smi(tmp_path, "echo 'NVIDIA GB10, 580.95.05, [N/A]'")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert environment._gpu() == {
        "gpu_count": 1,
        "gpu_name": "NVIDIA GB10",
        "gpu_driver_version": "580.95.05",
    }


@pytest.mark.parametrize("script", ["exit 9", "echo nonsense", "true"])
def test_a_tool_that_fails_is_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """A driver that is not loaded, an answer that is none: nothing is said of GPUs."""
    fake_nvidia_smi(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert not [name for name in environment.collect() if name.startswith("gpu_")]


def test_torchs_cuda_is_read_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the file that says its version; None is absent."""
    file = tmp_path / "version.py"
    (tmp_path / "__init__.py").touch()
    spec = ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(environment, "find_spec", lambda _: spec)
    for line, found in (
        ("cuda: Optional[str] = '12.8'", {"cuda_version": "12.8"}),
        ("cuda: Optional[str] = None", {}),
    ):
        file.write_text(f"debug = False\n{line}\nhip: Optional[str] = '6.1'\n")
        assert environment._cuda() == found


def test_a_priority_is_told_where_it_is_not_the_usual_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray starts its processes at another."""
    for niceness, told in ((0, None), (15, 15)):
        monkeypatch.setattr(os, "getpriority", lambda *_, n=niceness: n)
        assert environment.collect().get("niceness") == told
