"""Values of inputs as records."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from hx_graph import example_array, example_record
from hx_sidecar_schema import HxError, TensorInfo


def again(array: np.ndarray, dtype: str) -> np.ndarray:
    record = example_record(array)
    return example_array(TensorInfo(name="x", dtype=dtype, shape=list(array.shape), example=record))


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.arange(6, dtype=np.int64).reshape(2, 3).T, "INT64"),
        (np.array([1.5, np.nan], np.float32), "FLOAT"),
        (np.array(True), "BOOL"),
        (np.array([1.5], ml_dtypes.bfloat16), "BFLOAT16"),
        (np.zeros((0, 3), np.float16), "FLOAT16"),
        (np.array([1 + 2j], np.complex64), "COMPLEX64"),
    ],
)
def test_small_ones_are_exact(array: np.ndarray, dtype: str) -> None:
    found = again(array, dtype)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("dtype", "name"), [(np.float32, "FLOAT"), (np.int32, "INT32"), (ml_dtypes.bfloat16, "BFLOAT16")]
)
def test_large_ones_are_drawn_from_their_range(dtype: type, name: str) -> None:
    array = np.linspace(-3, 40, 1 << 16).astype(dtype)
    assert example_record(array).data is None
    found = again(array, name)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert -3 <= found.astype(np.float32).min() < 0 < 35 < found.astype(np.float32).max() <= 40


def test_large_complex_ones() -> None:
    record = example_record(np.full(1 << 16, 2 - 5j, np.complex64))
    assert (record.low, record.high) == (-5.0, 2.0)


def test_none_is_recorded() -> None:
    with pytest.raises(HxError) as caught:
        example_array(TensorInfo(name="x", dtype="FLOAT", shape=[]))
    assert caught.value.code == "HX206"


def test_one_that_is_repeated_to_any_size() -> None:
    assert example_record(np.array([1.0, 2.0], np.float32), [3]).shape == [3]
    record = example_record(np.array([1.0, 2.0], np.float32), [1 << 20, 1 << 20])  # 4 TB
    assert (record.shape, record.data, record.low, record.high) == ([1 << 20, 1 << 20], None, 1.0, 2.0)
