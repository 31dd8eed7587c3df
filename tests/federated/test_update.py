"""Updates on the wire and against their schema: what is right passes unchanged, all else is refused by a word."""

from __future__ import annotations

import math
import pickle
import struct
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.errors import UsageError
from edgeperso_federated.errors import Fault, UpdateInvalid
from edgeperso_federated.update import (
    MAX_EXAMPLES,
    Field,
    Schema,
    Tensors,
    Update,
    check_update,
    encoded_bytes,
    flatten,
    norm,
    read_update,
    unflatten,
    update_from_bytes,
    update_to_bytes,
)

FIELDS = (Field("blk.0.attn_q.b", (5, 2)), Field("blk.0.attn_v.b", (3, 2)), Field("soft", (4,)))
SCHEMA = Schema(FIELDS, max_norm=10.0, max_bytes=400, metrics=frozenset({"loss", "tokens"}), max_examples=500)


def tensors(seed: int = 1) -> Tensors:
    random = np.random.default_rng(seed)
    return {one.name: random.standard_normal(one.shape).astype(np.float32) for one in FIELDS}


def update(
    changed: Mapping[str, object] | None = None, *, examples: object = 7, metrics: Mapping[str, object] | None = None
) -> Update:
    return Update({**tensors(), **(changed or {})}, examples, metrics or {"loss": 1.5})  # type: ignore[arg-type,dict-item]


def reason(call: Callable[[], object]) -> Fault:
    with pytest.raises(UpdateInvalid) as caught:
        call()
    return caught.value.reason


# ---- the schema ----------------------------------------------------------------------------------------------------


def test_an_update_that_fits_passes_up_to_its_bounds() -> None:
    check_update(SCHEMA, update())
    check_update(SCHEMA, update(examples=SCHEMA.max_examples, metrics={"loss": -1.0, "tokens": 1e300}))
    long = {name: (values * (10 / norm(tensors()))).astype(np.float32) for name, values in tensors().items()}
    check_update(SCHEMA, update(long))


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"blk.9.attn_q.b": np.zeros((5, 2), np.float32)}, Fault.NAMES),
        ({"soft": np.zeros(4)}, Fault.DTYPE),
        ({"soft": np.zeros(4, np.float16)}, Fault.DTYPE),
        ({"soft": np.zeros(4, ">f4")}, Fault.DTYPE),
        ({"soft": np.zeros(4, object)}, Fault.DTYPE),
        ({"soft": [0.0] * 4}, Fault.DTYPE),
        ({"soft": np.zeros((4, 1), np.float32)}, Fault.SHAPE),
        ({"soft": np.zeros(3, np.float32)}, Fault.SHAPE),
        ({"blk.0.attn_q.b": np.zeros((2, 5), np.float32)}, Fault.SHAPE),
        ({"soft": np.array([0, math.nan, 0, 0], np.float32)}, Fault.NOT_FINITE),
        ({"soft": np.array([0, 0, -math.inf, 0], np.float32)}, Fault.NOT_FINITE),
        ({"soft": np.full(4, 3e38, np.float32)}, Fault.NORM),
        ({"soft": np.full(4, 5.01, np.float32)}, Fault.NORM),
    ],
)
def test_tensors_that_were_not_asked_for_are_refused(changed: dict[str, object], fault: Fault) -> None:
    assert reason(lambda: check_update(SCHEMA, update(changed))) == fault


def test_a_missing_tensor_is_refused() -> None:
    some = {name: values for name, values in tensors().items() if name != "soft"}
    assert reason(lambda: check_update(SCHEMA, Update(some, 1, {}))) == Fault.NAMES


def test_a_value_that_is_no_number_is_told_before_its_norm_and_an_update_just_over_the_norm_is_refused() -> None:
    both = {"soft": np.array([3e38, math.nan, 0, 0], np.float32)}
    assert reason(lambda: check_update(SCHEMA, update(both))) == Fault.NOT_FINITE
    over = {name: (values * (10.0001 / norm(tensors()))).astype(np.float32) for name, values in tensors().items()}
    assert reason(lambda: check_update(SCHEMA, update(over))) == Fault.NORM


@pytest.mark.parametrize(
    "metrics", [{"name": 1.0}, {"loss": math.nan}, {"loss": math.inf}, {"loss": "low"}, {"loss": 1}, {"loss": True}]
)
def test_only_finite_metrics_on_the_list_pass(metrics: dict[str, object]) -> None:
    assert reason(lambda: check_update(SCHEMA, update(metrics=metrics))) == Fault.METRICS


@pytest.mark.parametrize("examples", [0, -1, 501, 2.0, True])
def test_a_weight_out_of_range_is_refused(examples: object) -> None:
    assert reason(lambda: check_update(SCHEMA, update(examples=examples))) == Fault.EXAMPLES


def test_an_update_larger_than_allowed_is_refused_before_and_after_it_is_read() -> None:
    small = Schema(FIELDS, 10.0, encoded_bytes(update()) - 1, SCHEMA.metrics)
    assert reason(lambda: check_update(small, update())) == Fault.BYTES
    assert reason(lambda: read_update(small, update_to_bytes(update()))) == Fault.BYTES
    assert reason(lambda: update_from_bytes(bytes(50), max_bytes=49)) == Fault.BYTES


@pytest.mark.parametrize(
    "make",
    [
        lambda: Field("", (1,)),
        lambda: Field("ä", (1,)),
        lambda: Field("a\nb", (1,)),
        lambda: Field("n" * 129, (1,)),
        lambda: Field("a", ()),
        lambda: Field("a", (2, 0)),
        lambda: Field("a", (1,) * 5),
        lambda: Schema((), 1.0, 10),
        lambda: Schema((FIELDS[0], FIELDS[0]), 1.0, 10),
        lambda: Schema(FIELDS, 0.0, 10),
        lambda: Schema(FIELDS, math.inf, 10),
        lambda: Schema(FIELDS, 1.0, 0),
        lambda: Schema(FIELDS, 1.0, 10, max_examples=MAX_EXAMPLES + 1),
    ],
)
def test_a_schema_without_bounds_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        make()


def test_a_schema_is_named_by_all_that_it_says() -> None:
    others = [
        Schema(FIELDS[::-1], 10.0, 400, SCHEMA.metrics, 500),
        Schema(FIELDS[:2], 10.0, 400, SCHEMA.metrics, 500),
        Schema((Field("blk.0.attn_q.b", (2, 5)), *FIELDS[1:]), 10.0, 400, SCHEMA.metrics, 500),
        Schema(FIELDS, math.nextafter(10.0, 11), 400, SCHEMA.metrics, 500),
        Schema(FIELDS, 10.0, 401, SCHEMA.metrics, 500),
        Schema(FIELDS, 10.0, 400, frozenset({"loss"}), 500),
        Schema(FIELDS, 10.0, 400, SCHEMA.metrics, 501),
    ]
    same = Schema(FIELDS, 10.0, 400, frozenset({"tokens", "loss"}), 500)
    assert same.digest() == SCHEMA.digest()
    assert len({SCHEMA.digest(), *(other.digest() for other in others)}) == 8


# ---- vectors -------------------------------------------------------------------------------------------------------


def test_a_vector_holds_the_values_in_the_schemas_order_and_gives_them_back() -> None:
    values = tensors()
    vector = flatten(SCHEMA, dict(reversed(values.items())))
    assert vector.dtype == np.float32
    assert SCHEMA.size == vector.size == 20
    np.testing.assert_array_equal(vector[10:16], values["blk.0.attn_v.b"].ravel())
    back = unflatten(SCHEMA, vector)
    vector[:] = 0
    assert list(back) == [one.name for one in FIELDS]
    for name in values:
        np.testing.assert_array_equal(back[name], values[name])


def test_what_does_not_fit_is_no_vector_of_the_schema() -> None:
    assert reason(lambda: unflatten(SCHEMA, np.zeros(19))) == Fault.SHAPE
    assert reason(lambda: unflatten(SCHEMA, np.zeros((20, 1)))) == Fault.SHAPE
    assert reason(lambda: flatten(SCHEMA, {"soft": np.zeros(4, np.float32)})) == Fault.NAMES


# ---- bytes ---------------------------------------------------------------------------------------------------------


def test_an_update_comes_back_bit_by_bit() -> None:
    odd = np.array([-0.0, 1e-45, 3.4e38, -1.1754944e-38], np.float32)
    sent = update({"soft": odd, "blk.0.attn_q.b": tensors()["blk.0.attn_q.b"].T.copy().T}, metrics={"loss": 1 / 3})
    data = update_to_bytes(sent)
    got = update_from_bytes(data)
    assert len(data) == encoded_bytes(sent)
    assert update_to_bytes(got) == data
    assert (got.examples, got.metrics) == (7, {"loss": 1 / 3})
    for name, values in sent.tensors.items():
        assert got.tensors[name].dtype == np.float32
        assert got.tensors[name].tobytes() == values.tobytes()
    assert got.tensors["soft"].flags.writeable


def test_the_bytes_are_as_documented() -> None:
    one = Update({"soft": np.array([1.0, -2.0], np.float32)}, 3, {"m": 0.5})
    assert update_to_bytes(one) == (
        b"EPFU" + struct.pack("<HHHI", 1, 1, 1, 3)
        + struct.pack("<H4sBI2f", 4, b"soft", 1, 2, 1.0, -2.0) + struct.pack("<H1sd", 1, b"m", 0.5)
    )  # fmt: skip


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    assert reason(lambda: update_from_bytes(data)) == Fault.GARBAGE
    assert reason(lambda: update_from_bytes(_header(3, 1) + data)) == Fault.GARBAGE


def test_every_cut_and_every_addition_is_refused() -> None:
    data = update_to_bytes(update())
    assert {reason(lambda cut=cut: update_from_bytes(data[:cut])) for cut in range(len(data))} == {Fault.GARBAGE}
    assert reason(lambda: update_from_bytes(data + b"\0")) == Fault.GARBAGE


@given(st.data())
def test_flipped_bits_give_an_update_or_a_refusal_and_nothing_else(data: st.DataObject) -> None:
    sent = bytearray(update_to_bytes(update()))
    for _ in range(data.draw(st.integers(1, 4))):
        sent[data.draw(st.integers(0, len(sent) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        got = read_update(SCHEMA, bytes(sent))
    except UpdateInvalid:
        return
    check_update(SCHEMA, got)
    assert update_to_bytes(got) == bytes(sent)


def _header(tensors: int, metrics: int = 0) -> bytes:
    return b"EPFU" + struct.pack("<HHHI", 1, tensors, metrics, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"EPFX" + _header(0)[4:],
        b"EPFU\x02\0" + _header(0)[6:],
        _header(1) + struct.pack("<H1sB4I", 1, b"a", 4, *[2**32 - 1] * 4),
        _header(1) + struct.pack("<H1sB", 1, b"a", 0),
        _header(1) + struct.pack("<H1sB5If", 1, b"a", 5, *[1] * 5, 0.0),
        _header(1) + struct.pack("<H1sBI", 1, b"a", 1, 0),
        _header(1) + struct.pack("<H1sBIf", 1, b"\xff", 1, 1, 0.0),
        _header(2) + struct.pack("<H1sBIf", 1, b"a", 1, 1, 0.0) * 2,
        _header(0, 2) + struct.pack("<H1sd", 1, b"m", 1.0) * 2,
        _header(0, 2) + struct.pack("<H1sd", 1, b"n", 1.0) + struct.pack("<H1sd", 1, b"m", 1.0),
    ],
)
def test_forged_headers_are_refused(data: bytes) -> None:
    assert reason(lambda: update_from_bytes(data)) == Fault.GARBAGE


def test_a_refusal_says_its_word_alone_and_survives_a_process_boundary() -> None:
    error = UpdateInvalid(Fault.NORM)
    again = pickle.loads(pickle.dumps(error))
    assert (again.reason, str(again), again.exit_code) == (Fault.NORM, str(error), 7)
    assert "norm" in str(error)
