"""Which calls are wrong, and which of them is to blame: numbers in, positions out."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

FACTOR = 10
"""An error is out of the ordinary beyond this many times the ordinary one."""
ROUNDINGS = 5
"""Roundings of its largest value that an output may be off by; sums are in single precision whatever the type."""
FLOOR = 1e-5
"""Errors below are single precision's own: 84 roundings of the largest value. Measured on small models of torch 2.13
and onnxruntime 1.31, calls that are right stay below."""


@dataclass(frozen=True)
class CallError:
    """How wrong one call is, given inputs that are right. Calls are in pre-order: a parent stands before its children."""

    parent: int | None
    """Position of the call that made this one."""
    error: float | None
    """Relative error of its outputs; None where it was not compared."""
    epsilon: float = 0.0
    """Of the coarsest floating-point type that crosses its border, in either model."""
    unproven: frozenset[str] = frozenset()
    """Values that it computes with and PyTorch did not give: the ONNX model had to, or nodes of other calls that were cut
    out with it. Whether they are right is not known."""


def limits_of(calls: Sequence[CallError], ceiling: float) -> list[float]:
    """Return for each call the error up to which it is right: what is ordinary in this model, times `FACTOR`.

    Ordinary is the median over innermost compared calls. One fault is in one of those, but in all calls around it:
    counted with them, a fault in a small model would itself be ordinary. Of an even number the lower middle counts.
    No limit is below `ROUNDINGS` of the coarsest type in the call: two correct runs in half precision mostly agree to
    the last bit, and where they do not, they differ by a bit or two. An error beyond `ceiling` is wrong however many
    calls have it.
    """
    around = _around(calls, [call.error is not None for call in calls])
    innermost = [call.error for call, outer in zip(calls, around, strict=True) if call.error is not None and not outer]
    ordinary = statistics.median_low(innermost) if innermost else 0.0
    common = min(max(FACTOR * ordinary, FLOOR), ceiling)
    limits = [max(common, ROUNDINGS * call.epsilon) for call in calls]
    for position in reversed(range(len(calls))):
        parent = calls[position].parent
        if parent is not None:
            limits[parent] = max(limits[parent], limits[position])
    return limits


def wrong_calls(calls: Sequence[CallError], limits: Sequence[float], *, explain: bool) -> list[bool]:
    """Say which calls are wrong: those whose error is beyond their limit.

    With `explain` a call is right whose error its children explain: no more than `FACTOR` times the sum of theirs. The
    roundings of many layers add up.
    """
    return [
        call.error is not None and call.error > limit and not (explain and call.error <= FACTOR * inner)
        for call, limit, inner in zip(calls, limits, _sums_below(calls), strict=True)
    ]


def first_culprit(calls: Sequence[CallError], limits: Sequence[float], *, explain: bool) -> int | None:
    """Return the first call, in execution order, that is wrong, as `wrong_calls` has it, while no call inside it is.

    A wrong call that computes with an unproven value is not to blame, unless another call that does so is right: else
    the value may be what is wrong, and the call around both is named.
    """
    wrong = wrong_calls(calls, limits, explain=explain)
    vouched: set[str] = set()
    for call, is_wrong in zip(calls, wrong, strict=True):
        if call.error is not None and not is_wrong:
            vouched |= call.unproven
    sure = [call if call.unproven <= vouched else replace(call, error=None) for call in calls]
    named = _innermost(sure, wrong_calls(sure, limits, explain=explain))
    return named if named is not None else _innermost(calls, wrong)


def _innermost(calls: Sequence[CallError], wrong: Sequence[bool]) -> int | None:
    around = _around(calls, wrong)
    return next((position for position, is_wrong in enumerate(wrong) if is_wrong and not around[position]), None)


def _around(calls: Sequence[CallError], marked: Sequence[bool]) -> list[bool]:
    """Say which calls have a marked one inside."""
    around = [False] * len(calls)
    for position in reversed(range(len(calls))):
        parent = calls[position].parent
        if parent is not None:
            around[parent] |= around[position] or marked[position]
    return around


def _sums_below(calls: Sequence[CallError]) -> list[float]:
    """Return for each call the sum of the errors of the nearest compared calls inside it."""
    sums = [0.0] * len(calls)
    for position in reversed(range(len(calls))):
        call = calls[position]
        if call.parent is not None:
            sums[call.parent] += sums[position] if call.error is None else call.error
    return sums
