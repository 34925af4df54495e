"""Runs in time: for Perfetto and Chrome's about:tracing, and for speedscope.

https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU: complete events (`ph` X) of one
thread nest by time; of those that begin together the longer is the outer one.
https://www.speedscope.app/file-format-schema.json.
Write them with `ensure_ascii=False`: Perfetto 52 shows what JSON escapes in names as it stands.
"""

from typing import Any

from hx_profiler.attribution.attribute import Measurement
from hx_profiler.formats.stacks import Frame, Span, label, spans, stack_of
from hx_sidecar_schema import visible


def to_chrome_trace(measurement: Measurement) -> dict[str, Any]:
    """Return all measured runs in time, calls around their kernels, in microseconds: a value for `json.dumps`."""
    profile = measurement.profile
    events: list[dict[str, Any]] = [
        {"ph": "M", "pid": 1, "tid": 1, "name": "process_name", "args": {"name": _shown(profile.model)}},
        {"ph": "M", "pid": 1, "tid": 1, "name": "thread_name", "args": {"name": "module calls"}},
    ]
    for number, run in enumerate(measurement.trace.runs):
        found = spans(measurement, number)
        end = max([run.start_us + run.duration_us, *(span.end_us for span in found)])
        start = min([run.start_us, *(span.start_us for span in found)])
        events.append(_event(f"run {number + 1}", "run", start, end))
        for span in found:
            name = label(profile, span.frame, short=True)
            event = _event(name, span.frame.kind, span.start_us, span.end_us)
            if span.frame.kind == "kernel":
                kernel = profile.kernels[span.frame.position]
                node = None if kernel.node is None else _shown(kernel.node)
                covers = [_shown(profile.calls[call].tag) for call in kernel.covers]
                event["args"] = {"node": node, "provider": kernel.provider, "covers": covers}
            elif span.frame.kind == "call":
                call = profile.calls[span.frame.position]
                said = {"fqn": call.fqn, "tag": call.tag, "class": call.class_name}
                event["args"] = {key: _shown(text) for key, text in said.items()}
            events.append(event)
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _shown(text: str) -> str:
    return _without_backslash(visible(text))


def _without_backslash(text: str) -> str:
    """Return text that Perfetto 52 reads: of a backslash it shows JSON's two, and behind one it does not see the string's end."""
    return text.replace("\\", "\N{SET MINUS}")


def _event(name: str, category: str, start_us: int, end_us: int) -> dict[str, Any]:
    name = _without_backslash(name)
    return {"ph": "X", "pid": 1, "tid": 1, "name": name, "cat": category, "ts": start_us, "dur": end_us - start_us}


def to_speedscope(measurement: Measurement) -> dict[str, Any]:
    """Return two profiles, for `json.dumps`: the sum of all measured runs by module, and the run of median duration in time.

    The weights of the first profile are microseconds and add up to `kernels_us`.
    """
    profile = measurement.profile
    frames: dict[Frame, int] = {}

    def number(frame: Frame) -> int:
        return frames.setdefault(frame, len(frames))

    stacks = [
        [*stack_of(profile, kernel.call), Frame("kernel", position)] for position, kernel in enumerate(profile.kernels)
    ]
    all_runs = {
        "type": "sampled",
        "name": f"{profile.runs} runs by module",
        "unit": "microseconds",
        "startValue": 0,
        "endValue": profile.kernels_us,
        "samples": [list(map(number, stack)) for stack in stacks],
        "weights": [kernel.self_us for kernel in profile.kernels],
    }
    run = sorted(range(profile.runs), key=lambda run: profile.runs_us[run])[(profile.runs - 1) // 2]
    events = [(kind, at, number(frame)) for kind, at, frame in _events(spans(measurement, run))]
    start = events[0][1] if events else 0
    one_run = {
        "type": "evented",
        "name": f"run {run + 1} of {profile.runs} in time",
        "unit": "microseconds",
        "startValue": 0,
        "endValue": events[-1][1] - start if events else 0,
        "events": [{"type": kind, "at": at - start, "frame": frame} for kind, at, frame in events],
    }
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": "hx",
        "name": visible(profile.model),
        "activeProfileIndex": 0,
        "shared": {"frames": [_frame(measurement, frame) for frame in frames]},
        "profiles": [all_runs, one_run],
    }


def _events(found: list[Span]) -> list[tuple[str, int, Frame]]:
    """Return the openings and closings of spans in order of time; the span that opened last closes first."""
    events: list[tuple[str, int, Frame]] = []
    open_spans: list[Span] = []
    for span in found:
        while open_spans and open_spans[-1].depth >= span.depth:
            closed = open_spans.pop()
            events.append(("C", closed.end_us, closed.frame))
        events.append(("O", span.start_us, span.frame))
        open_spans.append(span)
    events.extend(("C", span.end_us, span.frame) for span in reversed(open_spans))
    return events


def _frame(measurement: Measurement, frame: Frame) -> dict[str, Any]:
    found: dict[str, Any] = {"name": label(measurement.profile, frame)}
    if frame.kind == "kernel":
        found["file"] = measurement.profile.kernels[frame.position].provider
    return found
