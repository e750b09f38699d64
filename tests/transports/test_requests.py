"""The schema of requests, and the composition of replies."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from transports import RequestSchema, SlotTransport, TransportError
from transports._requests import Layout

DTYPES = [torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool]

leaves = st.builds(
    lambda shape, dtype, fill: torch.full(shape, fill).to(dtype),
    st.lists(st.integers(0, 3), max_size=2),
    st.sampled_from(DTYPES),
    st.integers(0, 9),
)
trees = st.recursive(
    st.dictionaries(st.sampled_from("abc"), leaves, min_size=1, max_size=3),
    lambda children: st.dictionaries(
        st.sampled_from("abcd"), leaves | children, min_size=1, max_size=3
    ),
    max_leaves=6,
)


def flat(tree, prefix=()):
    """List a tree's leaves by path, without tensordict's help."""
    found = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, (*prefix, key))
        else:
            found[*prefix, key] = value
    return found


class Tagged(torch.Tensor):
    """A tensor of another class."""


odd_values = st.one_of(
    leaves,
    leaves.map(lambda leaf: leaf.as_subclass(Tagged)),
    leaves.map(lambda leaf: torch.nn.Parameter(leaf, requires_grad=False)),
    leaves.map(lambda leaf: leaf.to("meta")),
    st.sampled_from(["name", 3.5, None]),
    st.dictionaries(st.sampled_from("xy"), leaves, max_size=2),
)


@st.composite
def nearly(draw, tree):
    """A request that may differ from the tree in any entry: gone, new, or of another kind."""
    fields = dict(tree)
    for key in draw(st.lists(st.sampled_from("abcd"), max_size=2, unique=True)):
        value = draw(st.just(_GONE) | odd_values)
        if value is _GONE:
            fields.pop(key, None)
        else:
            fields[key] = value
    td = TensorDict(fields)
    is_on_cpu = all(getattr(v, "device", None) != torch.device("meta") for v in td.values())
    return td.to("cpu") if is_on_cpu and draw(st.booleans()) else td


_GONE = object()


def outcome_of(schema, td):
    """Return what reading gives, in comparable form: tensors by identity."""
    try:
        request = schema.read(td)
    except ValueError as error:
        return type(error), str(error)
    fields = {
        # A nested node is copied anew each time, with the same leaves.
        key: {k: id(v) for k, v in value.items(True, True)}
        if isinstance(value, TensorDict)
        else (type(value), id(value))
        if isinstance(value, torch.Tensor)
        else (type(value), repr(value))
        for key, value in request.fields.items()
    }
    return fields, [*request.fields], request.device, [id(leaf) for leaf in request.leaves]


def equal(one, other):
    """Compare dtype, shape and values."""
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)


def merge(own, outputs):
    """The oracle of composition: outputs win, whatever stands in their way."""
    merged = dict(own)
    for key, value in outputs.items():
        below = own.get(key)
        nested = isinstance(value, dict) and isinstance(below, dict)
        merged[key] = merge(below, value) if nested else value
    return merged


@settings(max_examples=150, deadline=None)
@given(spec=trees, extra=trees)
def test_select_returns_the_schemas_leaves_and_nothing_else(spec, extra):
    """From a request with extra leaves: the very tensors, in the schema's order."""
    schema = RequestSchema(TensorDict(spec))
    expected = flat(spec)
    selected = schema.select(TensorDict(merge(extra, spec)))
    assert len(selected) == len(expected)
    order = [leaf.path for leaf in schema.layout.leaves]
    assert all(
        tensor is expected[path] for path, tensor in zip(order, selected, strict=True)
    )


@settings(max_examples=100, deadline=None)
@given(spec=trees, data=st.data())
def test_any_one_wrong_leaf_is_refused_by_name(spec, data):
    """Missing, of another shape or of another dtype: never cast, filled in or dropped."""
    schema = RequestSchema(TensorDict(spec))
    path = data.draw(st.sampled_from(sorted(flat(spec))))
    td = TensorDict(spec).clone()
    value = td.get(path)
    how = data.draw(st.sampled_from(["missing", "shape", "dtype"]))
    if how == "missing":
        td.del_(path)
        got = "no such leaf"
    elif how == "shape":
        td.set(path, value.unsqueeze(0))
        got = str([1, *value.shape])
    else:
        td.set(path, value.to(torch.complex64))
        got = "complex64"
    with pytest.raises(ValueError, match="request leaf") as caught:
        schema.select(td)
    message = str(caught.value)
    assert repr(path[0] if len(path) == 1 else path) in message
    assert str(list(value.shape)) in message
    assert str(value.dtype).removeprefix("torch.") in message
    assert got in message


@settings(max_examples=400, deadline=None)
@given(
    spec=st.dictionaries(st.sampled_from("abc"), leaves, min_size=1) | trees, data=st.data()
)
def test_the_short_way_of_reading_equals_the_long_way(spec, data):
    """The same entries, leaves and device, or the same refusal; whatever comes."""
    schema = RequestSchema(TensorDict(spec))
    td = data.draw(nearly(spec))
    got = outcome_of(schema, td)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Layout, "read_flat", lambda _self, _td: None)
        assert got == outcome_of(schema, td)


@pytest.mark.parametrize(
    ("change", "is_short"),
    [
        ({}, True),
        ({"extra": torch.ones(3)}, True),
        ({"name": "env-0"}, False),
        ({"extra": {"x": torch.ones(1)}}, False),
        ({"extra": torch.nn.Parameter(torch.ones(1))}, False),
        ({"obs": torch.nn.Parameter(torch.ones(2))}, False),
        ({"obs": torch.ones(3)}, False),
        ({"obs": torch.ones(2, dtype=torch.float64)}, False),
        ({"obs": torch.ones(2, device="meta")}, False),
        ({"obs": {"x": torch.ones(2)}}, False),
    ],
)
@pytest.mark.parametrize("names", [["obs"], ["obs", "id"]])
def test_plain_requests_are_read_the_short_way_and_others_are_not(change, is_short, names):
    """Else the comparison with the long way would compare it with itself."""
    plain = TensorDict({name: torch.ones(2) for name in names})
    layout = RequestSchema(plain).layout
    td = TensorDict({**plain, **change})
    request = layout.read_flat(td)
    assert (request is not None) is is_short
    if request is not None:
        assert [*request.fields] == [*td.keys()]
        assert all(
            leaf is td[name] for name, leaf in zip(names, request.leaves, strict=True)
        )
        request.fields["new"] = torch.ones(1)
        assert "new" not in td.keys()  # noqa: SIM118 - a TensorDict has no membership test
    assert layout.read_flat(TensorDict({"other": torch.ones(2)})) is None


@settings(max_examples=100, deadline=None)
@given(own=trees, outputs=trees, count=st.integers(1, 3), preallocate=st.booleans())
def test_the_reply_is_the_request_with_its_rows_outputs_over_it(
    own, outputs, count, preallocate
):
    """Nested, new or standing in the way of one another; each row its own values."""
    transport = SlotTransport(count, preallocate=preallocate)
    replies = [transport.client().submit(TensorDict(own)) for _ in range(count)]
    slots = transport.claim(count)
    batch = transport.gather(slots)
    rows = {
        path: [value + n for n in range(count)] for path, value in flat(outputs).items()
    }
    result = TensorDict({}, [count])
    for path, values in rows.items():
        result.set(path, torch.stack(values))
    transport.resolve_batch(slots, batch, result)
    for n, reply in enumerate(replies):
        expected = flat(merge(own, outputs))
        got = reply.result(0)
        assert set(flat(got.to_dict())) == set(expected)
        for path, value in expected.items():
            want = rows[path][n] if path in rows else value
            assert equal(got.get(path), want)


@settings(max_examples=60, deadline=None)
@given(own=trees, count=st.integers(1, 3), preallocate=st.booleans())
def test_the_batch_is_the_requests_stacked(own, count, preallocate):
    """Against tensordict's own stack, structure, values and batch sizes."""
    transport = SlotTransport(count, preallocate=preallocate)
    requests = [TensorDict(own).clone() for _ in range(count)]
    for td in requests:
        transport.client().submit(td)
    batch = transport.gather(transport.claim(count))
    expected = torch.stack(requests)
    assert batch.batch_size == expected.batch_size
    assert set(batch.keys(True, True)) == set(expected.keys(True, True))
    assert all(equal(batch.get(k), expected.get(k)) for k in expected.keys(True, True))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"obs": torch.ones(1)}, "must be a TensorDict, got dict"),
        (TensorDict({"obs": torch.ones(2, 1)}, [2]), r"batch size \[\], got \[2\]"),
        (TensorDict({}), "no tensor leaf"),
        (TensorDict({"name": "x"}), "no tensor leaf"),
    ],
)
def test_what_is_no_request_is_refused(bad, message):
    """As a request and as a spec, and the schema stays open for the next one."""
    schema = RequestSchema()
    with pytest.raises(ValueError, match=message):
        schema.select(bad)
    with pytest.raises(TransportError, match=message):
        RequestSchema(bad)
    assert len(schema.select(TensorDict({"obs": torch.ones(1)}))) == 1


def test_device_is_part_of_the_schema():
    """A leaf on another device is refused, by name."""
    schema = RequestSchema(TensorDict({"obs": torch.ones(1)}))
    with pytest.raises(ValueError, match=r"on cpu, got float32 .* on meta"):
        schema.select(TensorDict({"obs": torch.ones(1, device="meta")}))


def test_nested_batch_sizes_and_device_metadata_reach_the_batch():
    """The batch's nodes are [n, *the node's own batch size]."""
    transport = SlotTransport(2)
    td = TensorDict({"a": TensorDict({"b": torch.ones(4, 2)}, [4])}, [], device="cpu")
    for _ in range(2):
        transport.client().submit(td)
    batch = transport.gather(transport.claim(2))
    assert batch["a"].batch_size == torch.Size([2, 4])
    assert batch.device == torch.device("cpu")


def test_who_comes_second_is_checked_against_the_first():
    """Another first request wins the lock: this one is refused and changes nothing."""
    schema = RequestSchema()
    winner = RequestSchema(TensorDict({"obs": torch.ones(1)})).layout

    class Contended:
        def __enter__(self):
            schema._layout = winner

        def __exit__(self, *exc_info):
            pass

    schema._lock = Contended()
    with pytest.raises(ValueError, match="'obs'"):
        schema.select(TensorDict({"other": torch.ones(1)}))
    assert schema.layout is winner
