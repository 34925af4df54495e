"""Reading the profile that ONNX Runtime writes.

Measured on 1.31: a JSON list of complete events. `model_run` of the category `Session` is one run; an event
`NAME_kernel_time` of the category `Node` is one kernel, written when it ends. Times are whole microseconds, both
start and duration cut off, so that what ran inside may seem to end one microsecond later than what ran around it.
NAME is the node's; of a node without a name `OPTYPE_INDEX`. `node_index` is ONNX Runtime's own number of the node
in its graph: no position in a file, and each body counts anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import from_json

from hx_sidecar_schema import HxError, collector_paused

_KERNEL = "_kernel_time"


@dataclass(frozen=True)
class Run:
    """One run of the session. Times are microseconds; a start counts from the beginning of the profile."""

    start_us: int
    duration_us: int
    thread: int


class Key(NamedTuple):
    """How a profile identifies the node that a kernel ran; several nodes may have the same key."""

    name: str
    op_type: str
    node_index: int


class Event(NamedTuple):
    """One execution of a kernel."""

    key: Key
    start_us: int
    """Since the beginning of the profile."""
    duration_us: int
    """With what ran in the node's bodies."""
    run: int
    """Position in `Trace.runs`."""
    provider: str
    peak_memory_bytes: int | None
    """Largest memory in use while it ran; None where the profile does not say."""


@dataclass(frozen=True)
class Trace:
    """Runs and kernels of one session."""

    runs: list[Run]
    """In order of time."""
    events: list[Event]
    """Executions of kernels in order of their start, without those that began in no run."""
    outside: int = 0
    """Number of executions that began in no run."""

    def without_first(self, count: int) -> Trace:
        """Return the trace without its first runs: the warm-up."""
        events = [event._replace(run=event.run - count) for event in self.events if event.run >= count]
        return Trace(self.runs[count:], events, self.outside)


@collector_paused()
def read_trace(path: Path) -> Trace:
    """Read a profile that ONNX Runtime wrote.

    Raises:
        HxError: HX308 if the file cannot be read, is no such profile, or holds no run.
    """
    try:
        rows = from_json(path.read_bytes())
    except OSError as error:
        raise _no_trace(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise _no_trace(path, f"it is no JSON, or is cut short: {error}") from error
    rows = rows.get("traceEvents") if isinstance(rows, dict) else rows
    if not isinstance(rows, list):
        raise _no_trace(path, "it holds no list of events")
    try:
        trace = _trace(rows)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _no_trace(path, f"an event is not as ONNX Runtime writes it: {error!r}") from error
    if not trace.runs:
        raise _no_trace(path, "it holds no `model_run`")
    return trace


def _trace(rows: list[dict[str, Any]]) -> Trace:
    """Give every kernel to the run that it began in: of runs at the same time, to one on its thread."""
    whole = [row for row in rows if row.get("name") == "model_run" and "dur" in row]
    runs = [Run(int(row["ts"]), int(row["dur"]), int(row.get("tid", 0))) for row in whole]
    runs.sort(key=lambda run: run.start_us)
    kernels = [row for row in rows if row.get("cat") == "Node" and str(row["name"]).endswith(_KERNEL)]
    kernels.sort(key=lambda row: int(row["ts"]))
    ends = [run.start_us + run.duration_us + 1 for run in runs]  # both are cut to whole microseconds
    events: list[Event] = []
    first = 0
    for row in kernels:
        start, thread = int(row["ts"]), int(row.get("tid", 0))
        while first < len(runs) and ends[first] < start:
            first += 1
        begun_in: int | None = None
        for index in range(first, len(runs)):
            if runs[index].start_us > start:
                break
            if start <= ends[index] and (begun_in is None or runs[index].thread == thread):
                begun_in = index
        if begun_in is not None:
            args = row["args"]
            key = Key(str(row["name"]).removesuffix(_KERNEL), str(args["op_name"]), int(args.get("node_index", -1)))
            peak = args.get("mem_in_use_peak")
            memory = int(peak) if peak not in (None, "") else None
            events.append(Event(key, start, int(row["dur"]), begun_in, str(args.get("provider", "")), memory))
    return Trace(runs, events, len(kernels) - len(events))


def _no_trace(path: Path, reason: str) -> HxError:
    return HxError(
        f"{str(path)!r} is no profile of ONNX Runtime: {reason}.",
        code="HX308",
        hint="Set SessionOptions.enable_profiling, run the model, and call end_profiling().",
    )
