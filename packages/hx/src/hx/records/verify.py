"""What `hx.verify` returns and `hx verify --json` prints."""

import math

from pydantic import Field

from hx.records.report import Finite, Report
from hx.text import number, plural
from hx_sidecar_schema import FileName, Record, Table

ROWS_IN_NOTEBOOKS = 30


class Numbers(Record):
    """One output of a call beside PyTorch's: of several outputs the one with the largest relative error."""

    port: str
    max_abs_error: Finite = Field(description="Null where infinite: see `reason`.")
    max_relative_error: Finite = Field(
        description="Largest |expected - actual| / (|expected| + 1e-7) of an element; null where infinite."
    )
    relative_error: Finite = Field(
        description="Largest error divided by the output's largest magnitude; null where infinite. Of integers and "
        "bools: the largest error."
    )
    cosine_similarity: Finite = Field(description="Null where the shapes differ.")
    snr_db: Finite = Field(
        description="Signal-to-noise ratio; null where infinite: the outputs are equal, or the shapes differ."
    )
    expected_nan: int = Field(description="NaNs in PyTorch's output.")
    expected_inf: int = Field(description="Infinities in PyTorch's output.")
    actual_nan: int = Field(description="NaNs in the ONNX model's output.")
    actual_inf: int = Field(description="Infinities in the ONNX model's output.")
    reason: str = Field(description="Why errors are infinite: another shape, NaN in other places.")


class VerifyEntry(Record):
    """One call, in execution order; a parent stands before its children."""

    fqn: str
    call: int = Field(description="0-based index among the module's calls.")
    tag: str
    parent: int | None = Field(description="Position of the parent in this list.")
    status: str
    reason: str = Field(description="Why there are no numbers, or not all.")
    limit: float = Field(description="Local error beyond which it is wrong: `fail_over`, or found from the model.")
    wrong: bool = Field(description="Its local error is beyond `limit` and not explained by calls inside it.")
    rounding: float | None = Field(
        default=None,
        description="Of a call that is off by more than is ordinary: how far PyTorch's own result is from double "
        "precision, of its largest value. `limit` is no less than ten times that.",
    )
    local: Numbers | None = Field(
        description="The call alone, on the inputs that the PyTorch module got; null where not compared. Of the root the "
        "whole model counts too, which it is even where it cannot be cut out."
    )
    accumulated: Numbers | None = Field(
        description="The whole ONNX model beside the whole PyTorch model, at this call's outputs."
    )
    inputs_from_onnx: list[str] = Field(
        description="Inputs of the local run that no PyTorch module had as argument: the ONNX model's own."
    )
    nodes_of_others: list[str] = Field(
        description="Nodes of calls outside that the local run computes from this call's inputs, by output value."
    )
    epsilon: float = Field(
        default=0.0, description="Of the coarsest floating-point type at its border; 0 where it was not compared."
    )
    refused: bool = Field(default=False, description="ONNX Runtime does not run it alone.")


class VerifyReport(Report):
    """What `hx verify` found."""

    schema_version: str = "1.2"
    model: FileName
    graph_digest: str = Field(
        default="",
        description="As a sidecar of the model has it in `model.graph_digest`; empty in records of older versions.",
    )
    original: FileName | None = Field(description="The export that a transformed model was made of (--from).")
    against: str
    inputs: FileName = Field(description="`recorded`, or the file of --inputs.")
    memory_bytes: int
    batches: int = Field(description="How often both models ran, to stay within `memory_bytes`.")
    fail_over: float | None
    failed: bool = Field(description="The exit code is 1.")
    culprit: int | None = Field(
        description="Position in `calls` of the first wrong call without a wrong call inside; null where none is."
    )
    refused: int | None = Field(
        default=None,
        description="Where ONNX Runtime does not run the whole model: position in `calls` of the first call that it does not run "
        "alone either and that holds no other such call.",
    )
    refusal: str = Field(default="", description="Why ONNX Runtime does not run the whole model.")
    compared: int = Field(description="Calls with a local error.")
    calls: list[VerifyEntry]

    def __str__(self) -> str:
        """Return a sentence."""
        start = f"{self.model} against {self.against}: {plural(self.compared, 'call')} compared"
        if self.culprit is None and self.refused is not None:
            return f"{start}; ONNX Runtime does not run the whole model, for {self.calls[self.refused].tag}: {self.refusal}"
        if self.culprit is None:
            root = self.calls[0]
            whole = f"; the whole model is not: {root.reason}" if root.accumulated is None and root.reason else ""
            return f"{start}, {'some numbers are too far off' if self.failed else 'none is wrong'}{whole}"
        call = self.calls[self.culprit]
        size = "" if call.local is None or call.local.relative_error is None else " of its largest value"
        return f"{start}, the first wrong one is {call.tag}: {_error(call.local)}{size}"

    def _table(self) -> Table:
        shown = [call for call in self.calls if call.local is not None or call.wrong]
        worst = sorted(shown, key=lambda call: (not call.wrong, -_size(call.local)))[:ROWS_IN_NOTEBOOKS]
        rows = [
            (call.tag, _error(call.local), _error(call.accumulated), f"{call.limit:.1e}", "wrong" if call.wrong else "")
            for call in worst
        ]
        left = len(shown) - len(rows)
        columns = ("call", "error alone", "error in the model", "limit", "")
        return Table(str(self), columns, rows, note=f"and {left} calls with smaller errors" if left else "")


def _size(numbers: Numbers | None) -> float:
    if numbers is None:
        return 0.0
    return math.inf if numbers.relative_error is None else numbers.relative_error


def _error(numbers: Numbers | None) -> str:
    if numbers is None:
        return ""
    return numbers.reason if numbers.relative_error is None else number(numbers.relative_error)
