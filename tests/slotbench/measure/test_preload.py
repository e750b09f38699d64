"""What a zygote imports: nothing of it may start CUDA, which its children could then not use."""

import os
import subprocess
import sys

import pytest

from slotbench.measure.executor import Worker
from slotbench.measure.zygote import Task

_PROGRAM = """
import torch

def started(*_, **__):
    raise SystemExit("CUDA was started before any fork")

# Whatever needs a context, a stream or the driver goes through these. Counting GPUs does not, where
# the driver's management library is asked (PYTORCH_NVML_BASED_CUDA_CHECK).
torch.cuda.init = torch.cuda._lazy_init = torch.cuda.current_device = started
torch._C._cuda_init = started

import slotbench.measure.preload, slotbench.measure.policies
MORE
with open("/proc/self/maps") as maps:
    assert "libcuda.so" not in maps.read()
assert not torch.cuda.is_initialized()
print("not started")
"""


@pytest.mark.parametrize(
    "more", ["", "import slotbench.torchrl, slotbench.measure.collecting"]
)
@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_preloading_starts_no_cuda(more: str) -> None:
    """Neither our modules nor TorchRL's."""
    if more:
        pytest.importorskip("torchrl")
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.replace("MORE", more)],
        env=os.environ | {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == ("not started", 0), done.stderr


def test_a_worker_asks_the_management_library_for_gpus() -> None:
    """So that asking whether there is a GPU, at import or in a check, does not start CUDA."""
    with Worker(["os"]) as worker:
        task = Task("os:getenv", {"key": "PYTORCH_NVML_BASED_CUDA_CHECK"}, 30.0)
        assert worker.do(task).value == "1"
