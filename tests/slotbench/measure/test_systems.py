"""A contender becomes exactly the transport, server and settings that its name says."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensordict import TensorDict, lazy_stack, maybe_dense_stack

import transports
from slotbench import contenders
from slotbench.errors import ContenderError
from slotbench.measure import systems
from slotbench.measure.floor import FloorSystem
from slotbench.measure.layouts import Layouts
from slotbench.records import Batching

BATCHING = Batching(min_batch_size=3, max_batch_size=7, timeout_ms=25.0)


class Served:
    """Stands for the model."""

    def serve_without_payload(self, batch_size: int) -> None:
        pass


def layouts() -> Layouts:
    """A request of three numbers, answered by two."""
    request = TensorDict({"observation": torch.zeros(3), "request_id": torch.tensor(7)})
    reply = TensorDict({"action": torch.zeros(2), "reply_id": torch.tensor(7)})
    return Layouts(request, reply)


def build(text: str) -> Any:
    return systems.build(contenders.parse(text), 5, BATCHING, Served(), layouts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["slot", "slot[preallocate]", "threading", "wrong_transports:honest"]
)
def test_ours_run_in_the_reference_server(text: str) -> None:
    """With the cell's batching rule, and no collate of its own."""
    server = build(text).server

    assert type(server) is transports.InferenceServer
    assert (server._min_batch_size, server._max_batch_size, server._timeout) == (
        3,
        7,
        0.025,
    )
    assert (server._batched is not None) is not text.startswith("wrong_transports")


@pytest.mark.parametrize(
    ("text", "preallocate"),
    [("slot", False), ("slot[preallocate]", True), ("slot[preallocate]@torchrl", True)],
)
def test_preallocate_reaches_the_transport(text: str, preallocate: bool) -> None:
    """The option is not lost on the way."""
    if "@" in text:
        pytest.importorskip("torchrl")
    transport = build(text).transport

    assert (transport._buffer is not None) is preallocate
    assert transport._num_slots == 5


@pytest.mark.parametrize(
    ("text", "inline"),
    [("slot", False), ("slot[inline]", True), ("slot[inline,preallocate]", True)],
)
def test_inline_reaches_the_transport(text: str, inline: bool) -> None:
    """With the server that lends its step, which is ours."""
    system = build(text)

    assert system.transport._inline is inline
    assert system.server._lend == system.transport.lend


@pytest.mark.parametrize(
    ("text", "transport_name"),
    [
        ("torchrl.slot", "SlotTransport"),
        ("torchrl.slot[preallocate]", "SlotTransport"),
        ("torchrl.threading", "ThreadingTransport"),
        ("slot@torchrl", "SlotTransport"),
        ("wrong_transports:honest@torchrl", "AdaptedTransport"),
    ],
)
def test_torchrls_run_in_torchrls_server(text: str, transport_name: str) -> None:
    """Its own class, with the cell's batching rule; TorchRL's transports are TorchRL's own."""
    inference_server = pytest.importorskip("torchrl.modules.inference_server")
    system = build(text)
    server, transport = system.server, system.transport

    assert type(server) is inference_server.InferenceServer
    assert (server.min_batch_size, server.max_batch_size, server.timeout) == (3, 7, 0.025)
    assert type(transport).__name__ == transport_name
    assert type(transport).__module__.startswith("torchrl.") is text.startswith("torchrl.")
    assert isinstance(transport, inference_server.InferenceTransport)
    assert getattr(transport, "_preallocate", None) is (
        "preallocate" in text if text.startswith("torchrl.slot") else None
    )


@pytest.mark.parametrize(
    ("text", "collate"),
    [
        ("torchrl.slot[collate=lazy_stack]", lazy_stack),
        ("torchrl.slot[collate=maybe_dense_stack]", maybe_dense_stack),
        ("slot[collate=lazy_stack]@torchrl", lazy_stack),
        ("slot[collate=lazy_stack]", lazy_stack),
    ],
)
def test_collate_is_the_one_named(text: str, collate: Callable[..., Any]) -> None:
    """In either server; what is timed as the id's cost is the same function."""
    pytest.importorskip("torchrl")
    system = build(text)
    of_server = getattr(system.server, "collate_fn", None) or system.server._collate

    assert of_server is collate
    assert system.collate is collate


def test_torchrls_default_collate_is_left_alone() -> None:
    """No collate named is TorchRL's own default, and the id's cost is timed through it."""
    inference_server = pytest.importorskip("torchrl.modules.inference_server")
    system = build("torchrl.slot")
    plain = inference_server.InferenceServer(
        lambda batch: batch, inference_server.SlotTransport(1)
    )

    assert system.server.collate_fn is plain.collate_fn is system.collate


def test_the_floor_is_no_transport() -> None:
    """It has the cell's batching rule and as many actors."""
    system = build("floor")

    assert isinstance(system, FloorSystem)
    assert system._batching == BATCHING
    assert len(system._gates) == 5


def test_what_a_factory_raises_is_one_line() -> None:
    """It names the contender and the error."""
    with pytest.raises(
        ContenderError, match=r"^contender 'wrong_transports:fails_to_build' cannot"
    ):
        build("wrong_transports:fails_to_build")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero (placed/__init__.py, line 2)"),
        ("raise SystemExit(3)", "SystemExit: 3 (placed/__init__.py, line 2)"),
        (
            "import json\njson.loads('{')",  # raised deep in the standard library
            "(placed/__init__.py, line 3)",
        ),
        ("import torch\ntorch.stack([])", "(placed/__init__.py, line 3)"),
        ("from placed import inner", "KeyError: 'k' (placed/inner.py, line 3)"),
        (
            "def factory(num_slots):\n    raise OSError",
            "made: OSError (placed/__init__.py, line 3)",
        ),
        ("def factory(num_slots):\n    retrun 1", "invalid syntax (__init__.py, line 3)"),
        ("", "AttributeError: module 'placed' has no attribute 'factory'"),
    ],
)
def test_an_error_names_the_line_of_the_contenders_own_code(
    source: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The innermost one, at import and in the factory, by the name it is imported by."""
    (tmp_path / "placed").mkdir()
    (tmp_path / "placed" / "__init__.py").write_text(f"# placed\n{source}\n")
    (tmp_path / "placed" / "inner.py").write_text(
        "def get():\n    {}\n    {}['k']\n\nget()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    try:
        with pytest.raises(ContenderError) as caught:
            build("placed:factory")
    finally:
        for name in ("placed", "placed.inner"):
            sys.modules.pop(name, None)

    assert str(caught.value).endswith(told)
    assert str(tmp_path) not in str(caught.value)


def test_our_own_files_are_named_where_they_come_from_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who compares two states of a package wants to know which line of it broke."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = {
        name: sys.modules[name]
        for name in sys.modules
        if name.split(".")[0] == "transports"
    }
    (tmp_path / "transports").mkdir()
    (tmp_path / "transports" / "__init__.py").write_text("broken = 1 / 0\n")

    try:
        with pytest.raises(ContenderError) as caught:
            build(f"slot[from={tmp_path}]")
    finally:
        sys.modules.update(before)

    assert str(caught.value).endswith("division by zero (transports/__init__.py, line 1)")


@pytest.mark.parametrize(
    ("num_slots", "batching"),
    [
        (0, Batching()),
        (1, Batching(min_batch_size=3, max_batch_size=2)),
        (1, Batching(timeout_ms=float("nan"))),
    ],
)
def test_what_a_contender_refuses_can_be_seen_as_it_is(
    num_slots: int, batching: Batching
) -> None:
    """Nothing is looked at before the contender sees it, and its own error comes through."""
    with pytest.raises(ValueError, match=r"num_slots|min_batch_size|timeout"):
        systems.build_as_given(
            contenders.parse("slot"), num_slots, batching, lambda x: x, layouts
        )


def test_built_as_given_it_is_the_same_contender() -> None:
    """In its server, with its options and the batching rule."""
    slot = contenders.parse("slot[collate=lazy_stack,preallocate]")
    system = systems.build_as_given(slot, 5, BATCHING, lambda batch: batch, layouts)

    assert system.transport._buffer is not None
    assert (system.server._min_batch_size, system.server._max_batch_size) == (3, 7)
    assert system.server._timeout == 0.025
    assert system.collate is system.server._collate is lazy_stack


def test_a_transport_without_the_fast_path_is_stacked() -> None:
    """Its batches are torch.stack of TensorDicts, and so the id's cost is timed."""
    assert build("wrong_transports:honest").collate is torch.stack


@pytest.mark.parametrize(
    ("text", "copies"),
    [
        ("torchrl.process_slot", True),
        ("torchrl.process_slot[copy_result=false]", False),
        ("torchrl.shared_memory[copy_result=false]", False),
    ],
)
def test_memory_between_processes_is_made_of_the_layouts(text: str, copies: bool) -> None:
    """With a slot each, as wide as a request and a reply are, version of the weights included."""
    pytest.importorskip("torchrl")
    transport = build(text).transport

    assert transport._copy_result is copies
    assert transport._num_slots == 5
    assert transport._request_slots["observation"].shape == (5, 3)
    assert set(transport._response_slots.keys()) == {"action", "reply_id", "policy_version"}
    assert transport._ctx.get_start_method() == "fork"


def test_a_factory_that_asks_for_layouts_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the names that TorchRL's own transports have for them."""
    (tmp_path / "asking.py").write_text(
        "import transports\n"
        "def factory(num_slots, request_spec, response_spec, *, depth):\n"
        "    made = transports.SlotTransport(num_slots)\n"
        "    made.asked = sorted(request_spec.keys()), sorted(response_spec.keys()), depth\n"
        "    return made\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    made = build("asking:factory[depth=3]").transport
    assert made.asked == (["observation", "request_id"], ["action", "reply_id"], 3)


@pytest.mark.parametrize(
    ("text", "device", "moves"),
    [
        ("torchrl.process_slot", "cuda:1", True),
        ("torchrl.process_slot", "cpu", False),
        ("torchrl.shared_memory", "cuda:1", False),
        ("torchrl.slot", "cuda:1", False),
        ("slot@torchrl", "cuda:1", False),
    ],
)
def test_a_server_that_stages_well_is_told_of_the_device(
    text: str, device: str, moves: bool
) -> None:
    """TorchRL's of fixed slots; what the others do with a device, the harness's policy does better."""
    pytest.importorskip("torchrl")
    model: Any = Served()
    system: Any = systems.build(
        contenders.parse(text), 5, BATCHING, model, layouts, device=device
    )
    assert system.server.policy_device == (torch.device(device) if moves else None)
