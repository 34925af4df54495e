"""Runs in the trace-event format that Perfetto and Chrome's about:tracing read.

https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU: complete events (`ph` X) of one
thread nest by time; of those that begin together the longer is the outer one.
"""

from __future__ import annotations

from typing import Any

from hx_profiler.attribution.attribute import Measurement
from hx_profiler.formats.stacks import label, spans


def to_chrome_trace(measurement: Measurement) -> dict[str, Any]:
    """Return all measured runs in time, calls around their kernels, in microseconds.

    Returns:
        A value for `json.dumps`.
    """
    profile = measurement.profile
    events: list[dict[str, Any]] = [
        {"ph": "M", "pid": 1, "tid": 1, "name": "process_name", "args": {"name": profile.model}},
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
                covers = [profile.calls[call].tag for call in kernel.covers]
                event["args"] = {"node": kernel.node, "provider": kernel.provider, "covers": covers}
            elif span.frame.kind == "call":
                call = profile.calls[span.frame.position]
                event["args"] = {"fqn": call.fqn, "tag": call.tag, "class": call.class_name}
            events.append(event)
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _event(name: str, category: str, start_us: int, end_us: int) -> dict[str, Any]:
    return {"ph": "X", "pid": 1, "tid": 1, "name": name, "cat": category, "ts": start_us, "dur": end_us - start_us}
