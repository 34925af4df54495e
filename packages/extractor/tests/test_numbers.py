"""What the numbers are, on arrays small enough to count by hand."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

from hx_extractor import _numbers as numbers, compare, difference


def f32(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_each_number_on_three_elements() -> None:
    found = difference(f32(1, 0, -2), f32(1.5, 0, -2))
    assert found.max_abs_error == 0.5
    assert found.max_relative_error == pytest.approx(0.5)
    assert found.relative_error == 0.25
    assert found.cosine_similarity == pytest.approx(5.5 / math.sqrt(5 * 6.25))
    assert found.snr_db == pytest.approx(10 * math.log10(5 / 0.25))
    assert found.reason == ""


def test_the_relative_error_of_an_element_is_the_one_of_torch() -> None:
    """An error of 1e-7 where zero is expected is 1, not infinite."""
    found = difference(np.array([0.0, 1.0]), np.array([1e-7, 1.0]))
    assert found.max_relative_error == pytest.approx(1.0)
    assert found.relative_error == pytest.approx(1e-7)


def test_equal_arrays() -> None:
    found = difference(f32(3, 4), f32(3, 4))
    assert (found.max_abs_error, found.relative_error, found.snr_db) == (0, 0, math.inf)
    assert found.cosine_similarity == pytest.approx(1)


def test_zeros() -> None:
    zero, one = f32(0, 0), f32(0, 1)
    assert difference(zero, zero).cosine_similarity == 1
    assert difference(zero, zero).snr_db == math.inf
    against_zero = difference(zero, one)
    assert (against_zero.relative_error, against_zero.cosine_similarity) == (1, 0)
    assert against_zero.snr_db == -math.inf
    lost = difference(one, zero)
    assert (lost.relative_error, lost.cosine_similarity, lost.snr_db) == (1, 0, 0)


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3)])
def test_empty(shape: tuple[int, ...]) -> None:
    found = difference(np.zeros(shape), np.zeros(shape))
    assert (found.max_abs_error, found.relative_error, found.cosine_similarity) == (0, 0, 1)


def test_a_scalar() -> None:
    assert difference(np.array(2.0), np.array(1.0)).relative_error == 0.5


@pytest.mark.parametrize("other", [f32(1, 2, 3), f32(1), np.ones((1, 2), np.float32), f32()])
def test_another_shape_is_never_broadcast(other: np.ndarray) -> None:
    found = difference(f32(1, 1), other)
    assert found.max_abs_error == found.relative_error == found.max_relative_error == math.inf
    assert str(list(other.shape)) in found.reason


def test_nan_and_infinity_in_the_same_places_are_equal() -> None:
    expected = f32(1, math.nan, math.inf, -math.inf)
    found = difference(expected, expected.copy())
    assert found.max_abs_error == 0
    assert (found.expected_nan, found.expected_inf, found.actual_nan, found.actual_inf) == (1, 2, 1, 2)


@pytest.mark.parametrize("actual", [(1, 2), (1, math.inf), (1, -math.inf), (math.nan, math.nan)])
def test_nan_and_infinity_elsewhere(actual: tuple[float, float]) -> None:
    found = difference(f32(1, math.nan), f32(*actual))
    assert found.relative_error == math.inf
    assert found.reason
    assert (found.expected_nan, found.expected_inf) == (1, 0)
    assert found.actual_nan == sum(map(math.isnan, actual))
    assert found.actual_inf == sum(map(math.isinf, actual))


def test_the_other_infinity() -> None:
    assert difference(f32(math.inf), f32(-math.inf)).max_abs_error == math.inf


def test_indices_are_equal_or_wrong() -> None:
    found = difference(np.array([1000, 7]), np.array([1000, 9]))
    assert found.max_abs_error == found.relative_error == 2
    truth = difference(np.array([True, False]), np.array([True, True]))
    assert truth.max_abs_error == truth.relative_error == 1


def test_small_types_are_compared_in_double_precision() -> None:
    expected = np.array([1, 2], dtype=ml_dtypes.bfloat16)
    assert difference(expected, f32(1, 2.5)).relative_error == 0.25
    largest = np.array([65504], dtype=np.float16)
    assert difference(largest, -largest).max_abs_error == 2 * 65504


def test_squares_do_not_overflow() -> None:
    found = difference(np.array([1e300, 0.0]), np.array([1e300, 1e299]))
    assert found.snr_db == pytest.approx(20)


def test_complex_numbers() -> None:
    assert difference(np.array([3 + 4j]), np.array([3 + 3j])).relative_error == pytest.approx(0.2)


def test_the_worst_output_counts() -> None:
    found = compare({"a": f32(1), "b": f32(100)}, {"a": f32(1.5), "b": f32(101)})
    assert (found.max_abs_error, found.relative_error) == (1, 0.5)


FINITE = st.floats(-1e6, 1e6, allow_nan=False, width=32)


@given(arrays.arrays(np.float32, st.integers(1, 40), elements=FINITE), st.data())
def test_pieces_do_not_change_the_numbers(expected: np.ndarray, data: st.DataObject) -> None:
    actual = data.draw(arrays.arrays(np.float32, expected.shape, elements=FINITE))
    whole = difference(expected, actual)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbers, "CHUNK", 3)
        pieces = difference(expected, actual)
    assert pieces.max_abs_error == whole.max_abs_error
    assert pieces.relative_error == whole.relative_error
    assert pieces.cosine_similarity == pytest.approx(whole.cosine_similarity)
    assert pieces.snr_db == pytest.approx(whole.snr_db)
    error = np.abs(expected.astype(np.float64) - actual)
    assert whole.max_relative_error == pytest.approx((error / (np.abs(expected.astype(np.float64)) + 1e-7)).max())


@pytest.mark.parametrize("dtype", [object, "U3", "S3"])
def test_strings_are_equal_or_wrong(dtype: object) -> None:
    words = np.array(["yes", "no"], dtype)
    assert difference(words, words.copy()).relative_error == 0
    found = difference(words, np.array(["yes", "yes"], dtype))
    assert (found.relative_error, found.reason) == (math.inf, "other strings")
    assert difference(words, np.zeros(2)).relative_error == math.inf
