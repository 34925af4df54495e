"""Who is to blame, on trees written by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from hx._verify.blame import FACTOR, FLOOR, ROUNDINGS, CallError, first_culprit, limits_of, wrong_calls

Tree = list[CallError]


def tree(*rows: tuple[int | None, float | None] | tuple[int | None, float | None, str]) -> Tree:
    """Write calls as (parent, error[, unproven values])."""
    return [CallError(row[0], row[1], unproven=frozenset(row[2].split() if len(row) > 2 else ())) for row in rows]


def blamed(calls: Tree, ceiling: float = 1e-3) -> int | None:
    return first_culprit(calls, limits_of(calls, ceiling), explain=True)


def test_nothing_is_wrong() -> None:
    assert blamed(tree((None, 3e-7), (0, 1e-7), (0, 2e-7))) is None


def test_the_innermost_of_the_calls_around_a_fault() -> None:
    assert blamed(tree((None, 1e-2), (0, 1e-7), (0, 2e-2), (2, 1e-7), (2, 3e-2), (0, 1e-7))) == 4


def test_the_first_of_two_faults() -> None:
    """Both calls of a module whose weight is wrong are wrong."""
    assert blamed(tree((None, 1e-2), (0, 1e-7), (0, 2e-3), (0, 1e-7), (0, 3e-2))) == 2


def test_a_parent_between_whose_children_something_is_wrong() -> None:
    assert blamed(tree((None, 1e-2), (0, 2e-2), (1, 1e-7), (1, 1e-7), (0, 1e-7))) == 1


def test_a_fault_that_the_calls_around_it_hide() -> None:
    assert blamed(tree((None, 1e-7), (0, 1e-6), (1, 4e-4), (1, 1e-7))) == 2


def test_the_call_around_what_was_not_compared() -> None:
    """The fault may be in 2; the innermost call with numbers is 1."""
    assert blamed(tree((None, 1e-2), (0, 2e-2), (1, None), (1, 1e-7), (0, 1e-7))) == 1


def test_a_wrong_call_inside_one_that_was_not_compared() -> None:
    assert blamed(tree((None, 1e-2), (0, None), (1, 2e-2), (0, 1e-7))) == 2


def test_infinite_errors() -> None:
    assert blamed(tree((None, math.inf), (0, 1e-7), (0, math.inf), (2, 1e-7), (2, math.inf))) == 4


def test_nothing_was_compared() -> None:
    assert blamed(tree((None, None), (0, None))) is None
    assert blamed([]) is None


class TestLimit:
    """What is ordinary in a model."""

    def test_rounding_is_never_wrong(self) -> None:
        assert limits_of(tree((None, 0.0), (0, 0.0), (0, 1e-9)), 1e-3) == [FLOOR] * 3
        assert blamed(tree((None, 9e-6), (0, 0.0), (0, 0.0), (0, 9e-6))) is None

    def test_it_follows_the_precision(self) -> None:
        half = tree((None, 9e-4), *[(0, 5e-4)] * 9)
        assert limits_of(half, 0.5) == pytest.approx([FACTOR * 5e-4] * 10)
        assert blamed(half, 0.5) is None
        assert blamed([*half, CallError(0, 6e-3)], 0.5) == 10

    def test_calls_around_a_fault_are_not_ordinary(self) -> None:
        """Three of five calls are wrong; of the innermost, one of three."""
        assert blamed(tree((None, 1e-2), (0, 1e-2), (1, 1e-2), (1, 1e-7), (1, 1e-7))) == 2

    def test_the_lower_of_two_is_ordinary(self) -> None:
        assert blamed(tree((None, 1e-2), (0, 1e-2), (0, 1e-7))) == 1

    def test_nothing_above_the_ceiling_is_ordinary(self) -> None:
        """Other weights: every call is wrong."""
        assert blamed(tree((None, 0.9), (0, 1.0), (0, 0.8)), 1e-3) == 1

    def test_one_call_alone(self) -> None:
        assert blamed(tree((None, 1e-2)), 1e-3) == 0


class TestHalfPrecision:
    """Most results agree to the last bit; the others are off by a bit of a coarse type."""

    EPSILON = 2.0**-10

    def test_a_bit_is_not_wrong(self) -> None:
        half = [CallError(0, error, self.EPSILON) for error in (0.0, 0.0, 0.0, 1.2e-3)]
        calls = [CallError(None, 1.4e-3), *half]
        assert limits_of(calls, 1e-2) == [ROUNDINGS * self.EPSILON] * 5  # the call around them computes in it too
        assert blamed(calls, 1e-2) is None
        assert blamed([*calls, CallError(0, 8e-3, self.EPSILON)], 1e-2) == 5

    def test_it_excuses_no_call_in_single_precision(self) -> None:
        calls = [CallError(None, 1e-3), CallError(0, 0.0, self.EPSILON), CallError(0, 1e-3, 2.0**-23)]
        assert blamed([*calls, CallError(0, 0.0, 2.0**-23)]) == 2


class TestManyRoundings:
    """Errors of many layers add up to more than any of them."""

    LAYERS = [(0, 8e-6)] * 24

    def test_explain_the_model_around_them(self) -> None:
        calls = tree((None, 5e-4), *self.LAYERS)
        assert not any(wrong_calls(calls, [FLOOR] * 25, explain=True))
        assert first_culprit(calls, [FLOOR] * 25, explain=True) is None

    def test_but_not_an_error_far_beyond_their_sum(self) -> None:
        assert first_culprit(tree((None, 5e-3), *self.LAYERS), [FLOOR] * 25, explain=True) == 0

    def test_nor_where_the_user_gave_the_limit(self) -> None:
        assert first_culprit(tree((None, 5e-4), *self.LAYERS), [1e-4] * 25, explain=False) == 0


class TestUnproven:
    """Values that PyTorch did not give may be what is wrong."""

    def test_the_call_around_is_named_where_every_reader_is_wrong(self) -> None:
        calls = tree((None, 1e-2), (0, 3e-2, "mask"), (0, 2e-2, "mask"), (0, 1e-7), (0, 1e-7), (0, 1e-7))
        assert blamed(calls) == 0

    def test_a_reader_that_is_right_vouches_for_it(self) -> None:
        calls = tree((None, 1e-2), (0, 3e-2, "mask"), (0, 1e-7, "mask"), (0, 1e-7))
        assert blamed(calls) == 1

    def test_of_several_each_needs_a_voucher(self) -> None:
        calls = tree((None, 1e-2), (0, 3e-2, "mask bias"), (0, 1e-7, "mask"), (0, 1e-7), (0, 1e-7))
        assert blamed(calls) == 0

    def test_a_call_inside_with_arguments_of_its_own_is_named(self) -> None:
        calls = tree((None, 1e-2), (0, 3e-2, "mask"), (1, 2e-2), (1, 1e-7), (0, 1e-7))
        assert blamed(calls) == 2

    def test_better_a_suspect_than_nobody(self) -> None:
        assert blamed(tree((None, 1e-7), (0, 3e-3, "mask"), (0, 1e-7), (0, 1e-7))) == 1


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    size = draw(st.integers(1, 12))
    errors = st.none() | st.sampled_from([0.0, 1e-7, 1e-6, 1e-4, 1e-2, 1.0, math.inf])
    parents = [None, *(draw(st.integers(0, position - 1)) for position in range(1, size))]
    return [CallError(parent, draw(errors)) for parent in parents]


@given(trees(), st.booleans())
def test_a_call_is_named_exactly_where_one_is_wrong(calls: Tree, explain: bool) -> None:
    limits = limits_of(calls, 0.5)
    wrong = wrong_calls(calls, limits, explain=explain)
    named = first_culprit(calls, limits, explain=explain)
    assert (named is not None) == any(wrong)
    if named is None:
        return
    assert wrong[named]
    for position in range(len(calls)):
        around, above = set(), calls[position].parent
        while above is not None:
            around.add(above)
            above = calls[above].parent
        if wrong[position]:
            assert named not in around
