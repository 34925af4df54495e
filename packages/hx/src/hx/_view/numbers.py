"""What records of other commands say of a model, as columns for viewers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import ValidationError

from hx.records.analyze import AnalyzeReport, NodeEntry
from hx.records.report import Report
from hx.records.verify import Numbers, VerifyEntry, VerifyReport
from hx.text import plural
from hx_profiler import Profile
from hx_sidecar_schema import HxError, Sidecar, node_name
from hx_viewer import Column

AnyReport = TypeVar("AnyReport", bound=Report)


class ForeignRecord(HxError, code="HX310"):
    """A record of time, errors or costs is of another model."""


@dataclass(frozen=True)
class Records:
    """What is known of one model's nodes and calls: records, or the files of them."""

    profile: Profile | str | Path | None = None
    verify: VerifyReport | str | Path | None = None
    analyze: AnalyzeReport | str | Path | None = None

    @property
    def paths(self) -> list[Path]:
        """The files that are read."""
        return [Path(given) for given in vars(self).values() if isinstance(given, str | Path)]

    def columns(self, sidecar: Sidecar) -> list[Column]:
        """Return the numbers that they hold; HX307 or HX309 if one cannot be read, HX310 if it is of another model."""
        return [
            *(time_columns(sidecar, self.profile) if self.profile is not None else ()),
            *(error_columns(sidecar, self.verify) if self.verify is not None else ()),
            *(cost_columns(sidecar, self.analyze) if self.analyze is not None else ()),
        ]


class _OfCall(Protocol):
    @property
    def fqn(self) -> str: ...
    @property
    def call(self) -> int: ...
    @property
    def tag(self) -> str: ...


def time_columns(sidecar: Sidecar, profile: Profile | str | Path) -> list[Column]:
    """Return time and peak memory by node and call; HX307 for a file that is no profile, HX310 for that of another model.

    A kernel counts for the node whose result it made, where both are of one call; else for its call alone.
    """
    found = profile if isinstance(profile, Profile) else Profile.load(profile)
    rows = _rows(sidecar, found.graph_digest, found.calls, "profile", profile)
    nodes = {node_name(*node.key): row for row, node in enumerate(sidecar.nodes)}
    time: defaultdict[int, float] = defaultdict(float)
    memory: dict[int, float] = {}
    for kernel in found.kernels:
        row = None if kernel.node is None else nodes.get(kernel.node)
        if row is not None and kernel.call is not None and rows[kernel.call] == sidecar.nodes[row].owner:
            time[row] += kernel.median_us
            if kernel.peak_memory_bytes is not None:
                memory[row] = max(memory.get(row, 0), kernel.peak_memory_bytes)
    own = {row: call.self_typical_us for row, call in zip(rows, found.calls, strict=True) if call.own_kernels}
    total = {row: call.typical_us for row, call in zip(rows, found.calls, strict=True) if call.kernels}
    lost = sum(kernel.median_us for kernel in found.unattributed())
    notes = [f"{lost:g} us of {found.typical_us:g} are of no known call."] if lost else []
    columns = [Column("time", "time, us", "us", nodes=time, own=own, total=total, notes=tuple(notes))]
    peaks = {
        row: call.peak_memory_bytes
        for row, call in zip(rows, found.calls, strict=True)
        if call.peak_memory_bytes is not None
    }
    if peaks:
        columns.append(Column("memory", "peak memory", "bytes", adds_up=False, nodes=memory, total=peaks))
    return columns


def error_columns(sidecar: Sidecar, verify: VerifyReport | str | Path) -> list[Column]:
    """Return local and accumulated errors by call; HX309 for a file that is no such record, HX310 for that of another model."""
    found = verify if isinstance(verify, VerifyReport) else _load(verify, VerifyReport, "verify")
    rows = _rows(sidecar, found.graph_digest, found.calls, "verify", verify)

    def column(name: str, title: str, numbers: Callable[[VerifyEntry], Numbers | None]) -> Column:
        errors: dict[int, float] = {}
        remarks: dict[int, str] = {}
        for row, call in zip(rows, found.calls, strict=True):
            if (one := numbers(call)) is not None:
                errors[row] = math.inf if one.relative_error is None else one.relative_error
                remarks[row] = "; ".join(filter(None, ("wrong" if call.wrong else "", one.reason)))
        remarks = {row: remark for row, remark in remarks.items() if remark}
        notes = (str(found),)
        return Column(name, title, "", adds_up=False, of_outputs=True, total=errors, remarks=remarks, notes=notes)

    return [
        column("error_local", "error alone", lambda call: call.local),
        column("error_accumulated", "error in the model", lambda call: call.accumulated),
    ]


def cost_columns(sidecar: Sidecar, analyze: AnalyzeReport | str | Path) -> list[Column]:
    """Return multiply-accumulates and bytes by node and call; HX309 for a file that is no such record, HX310 for that of another model."""
    found = analyze if isinstance(analyze, AnalyzeReport) else _load(analyze, AnalyzeReport, "analyze --detailed")
    rows = _rows(sidecar, found.graph_digest, found.calls, "analyze --detailed", analyze)
    if found.node_list is None or found.cost is None:
        message = f"The record of costs {_named(analyze)} has no rows of nodes."
        hint = "Analyze the model, not its sidecar alone, with detailed=True."
        raise HxError(message, code="HX309", hint=hint, argument="detailed")
    keys = {node.key: row for row, node in enumerate(sidecar.nodes)}
    nodes = {keys[entry.graph, entry.output]: entry for entry in found.node_list if (entry.graph, entry.output) in keys}
    if len(nodes) < len(found.node_list):
        raise _foreign("analyze --detailed", analyze)

    def column(name: str, title: str, unit: str, number: Callable[[NodeEntry], int | None]) -> Column:
        known = {row: float(value) for row, entry in nodes.items() if (value := number(entry)) is not None}
        left = len(nodes) - len(known)
        notes = (f"{plural(left, 'node')} not counted: sizes or operators are not known.",) if left else ()
        return Column.of_nodes(sidecar, name, title, unit, known, notes=notes)

    weights = {row: call.total.weight_bytes for row, call in zip(rows, found.calls, strict=True) if call.total}
    return [
        column("macs", "MACs", "", lambda entry: entry.macs),
        column("result_bytes", "bytes of results", "bytes", lambda entry: entry.activation_bytes),
        Column("weight_bytes", "bytes of weights", "bytes", adds_up=False, total=weights),
    ]


def _load(path: str | Path, kind: type[AnyReport], command: str) -> AnyReport:
    """Read what a command printed; HX309 if it is not that."""
    try:
        report = kind.model_validate_json(Path(path).read_bytes())
        known = kind.model_fields["schema_version"].default
        if report.schema_version.partition(".")[0] != known.partition(".")[0]:
            raise ValueError(f"its version is {report.schema_version!r}, not {known!r}")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            reason = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
        message = f"Record {str(path)!r} cannot be read: {reason}."
        raise HxError(
            message, code="HX309", hint=f"Name a file that holds the JSON of `hx {command} --json`."
        ) from error
    return report


def _rows(sidecar: Sidecar, digest: str, calls: Sequence[_OfCall], command: str, given: object) -> list[int]:
    """Return the rows of a record's calls; HX310 where it is not of this model.

    Records of older versions have no digest: their calls tell.
    """
    if digest and digest != sidecar.model.graph_digest:
        raise _foreign(command, given)
    known = {
        (sidecar.module_of(call).fqn, call.index, sidecar.tag(call)): row for row, call in enumerate(sidecar.calls)
    }
    try:
        return [known[call.fqn, call.call, call.tag] for call in calls]
    except KeyError as error:
        raise _foreign(command, given) from error


def _foreign(command: str, given: object) -> ForeignRecord:
    message = f"The record {_named(given)} is of another model."
    return ForeignRecord(message, hint=f"Run `hx {command} --json` on this model.")


def _named(given: object) -> str:
    return repr(str(given)) if isinstance(given, str | Path) else f"of {given.model!r}"  # pyright: ignore
