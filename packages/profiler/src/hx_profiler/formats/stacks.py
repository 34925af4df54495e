"""Module calls and kernels as stacks: what flame graphs are made of."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import dropwhile
from typing import Literal

from hx_profiler._records import Profile
from hx_profiler.attribution.attribute import Measurement
from hx_sidecar_schema import visible

UNATTRIBUTED = "(unattributed)"


@dataclass(frozen=True)
class Frame:
    """One level of a stack: a module call, a kernel, or the frame around all unattributed kernels."""

    kind: Literal["call", "kernel", "unattributed"]
    position: int
    """In the profile's `calls` or `kernels`; 0 for `unattributed`."""


@dataclass(frozen=True)
class Span:
    """A frame from its start to its end, since the beginning of the profile; `depth` is the number of spans around it."""

    frame: Frame
    depth: int
    start_us: int
    end_us: int


def stack_of(profile: Profile, call: int | None) -> list[Frame]:
    """Return a call and those around it, outermost first."""
    if call is None:
        return [Frame("unattributed", 0)]
    chain: list[Frame] = []
    position: int | None = call
    while position is not None:
        chain.append(Frame("call", position))
        position = profile.calls[position].parent
    return chain[::-1]


def label(profile: Profile, frame: Frame, *, short: bool = False) -> str:
    """Return the name of a frame as text that can be seen: a call's tag, or its last segment if `short`; a kernel's operator and name."""
    if frame.kind == "unattributed":
        return UNATTRIBUTED
    if frame.kind == "kernel":
        kernel = profile.kernels[frame.position]
        return visible(f"{kernel.op_type} {kernel.name}")
    tag = profile.calls[frame.position].tag
    return visible(tag.rsplit("/", 1)[-1] if short else tag)


def spans(measurement: Measurement, run: int) -> list[Span]:
    """Return the spans of one run: calls around their kernels, properly nested, an outer span before those inside.

    A call that is interrupted by kernels of other calls has several spans. Kernels in the body of a control-flow node
    lie inside that node's span.
    """
    profile, events = measurement.profile, measurement.trace.events
    inside: dict[int | None, list[int]] = defaultdict(list)
    for index, outer in enumerate(measurement.around):
        if events[index].run == run:
            inside[outer].append(index)
    found: list[Span] = []
    stacks = cache(partial(stack_of, profile))

    def add(indices: Sequence[int], around: Sequence[Frame], limit: int | None) -> None:
        open_spans: list[tuple[Frame, int]] = []  # frame and its position in `found`
        at = 0

        def close(keep: int) -> None:
            for _, position in open_spans[keep:]:
                found[position] = replace(found[position], end_us=at)
            del open_spans[keep:]

        for index in indices:
            event, number = events[index], measurement.kernels[index]
            start = max(event.start_us, at)
            end = max(event.start_us + event.duration_us, start)
            end = end if limit is None else max(min(end, limit), start)
            stack = list(dropwhile(around.__contains__, stacks(profile.kernels[number].call)))
            keep = min(len(open_spans), len(stack))
            while keep and open_spans[keep - 1][0] != stack[keep - 1]:  # a frame has always the same ones around it
                keep -= 1
            close(keep)
            for frame in stack[keep:]:
                open_spans.append((frame, len(found)))
                found.append(Span(frame, len(around) + len(open_spans) - 1, start, end))
            kernel = Frame("kernel", number)
            found.append(Span(kernel, len(around) + len(open_spans), start, end))
            if index in inside:
                add(inside[index], [*around, *(frame for frame, _ in open_spans), kernel], end)
            at = end
        close(0)

    add(inside[None], [], None)
    return found
