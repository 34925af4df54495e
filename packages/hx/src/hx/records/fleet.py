"""What `hx.fleet` reads and returns, `hx fleet --json` prints, and each model's result in a run's folder."""

from typing import Any

from pydantic import ConfigDict, Field

from hx.records.report import Finite, Report
from hx.text import plural
from hx_sidecar_schema import FileName, Record, Table

STEPS = ("export", "project", "validate", "analyze", "extract", "verify", "profile", "profile_isolated", "suite")
"""Steps that hx has; a step with a colon is a function, as `file.py:function` or `package.module:function`."""
BY_CALL = ("extract", "verify", "profile_isolated")
"""Steps that several processes may do for one model, each for a share of its calls."""
MEASURED = frozenset(
    {
        "started",
        "seconds",
        "cpu_seconds",
        "memory_bytes",
        "attempts",
        "typical_us",
        "own_us",
        "spread_us",
        "in_model_us",
        "alone_us",
        "alone_spread_us",
    }
)
"""Columns that differ between two equal runs; all others are equal, byte for byte."""


class FleetRun(Record):
    """Which models go through which steps, and how: the fields of a RUN.toml."""

    model_config = ConfigDict(extra="forbid")

    models: list[str | dict[str, Any]] = Field(
        description="Each a model as `hx.export` takes it, an .onnx file, a folder of these, a glob of files or folders, `tiny:*` "
        "for the architectures of transformers, or a .csv file; or a table with `model` and what `hx.ModelSpec` takes, "
        "`name` and `against`, the PyTorch model of an .onnx file."
    )
    steps: list[str] = Field(
        default=["export", "validate", "extract"], min_length=1, description="In the order in which they run."
    )
    options: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Arguments of the steps' functions of `hx`, by step."
    )
    keep: list[str] = Field(
        default=["export", "project"], description="Steps whose files stay; those of the others are removed."
    )
    timeout_s: float = Field(default=600, gt=0, description="Wall time of one model.")
    memory_bytes: int | None = Field(
        default=None, gt=0, description="Memory of one model's process, in bytes; null for no limit."
    )
    threads: int = Field(default=1, gt=0, description="Of one model's process.")
    workers: int | None = Field(default=None, gt=0, description="Models at once; null for one a core.")
    split_calls: int = Field(
        default=1,
        gt=0,
        description="Into how many units the calls of one model are divided in the steps `extract`, `verify` and `profile_isolated`; "
        "more than one for .onnx files alone.",
    )
    retries: int = Field(
        default=2, ge=0, description="How often a model is tried again whose process was killed or crashed."
    )


class StepRow(Record):
    """One step of one model: a row of `steps.parquet`."""

    model: str
    step: str
    status: str = Field(description="`passed`; `wrong`: it found what must not be; `failed`; `skipped`.")
    kind: str = Field(
        default="", description="Of a failure: `error` of hx, with its code; `exception`, `timeout`, `memory`, `crash`."
    )
    code: str = ""
    cause: str = Field(default="", description="The first line of why it failed, is wrong, or was skipped.")
    nodes: int | None = None
    calls: int | None = None
    exact_percent: float | None = None
    covered_percent: float | None = None
    parameters: int | None = None
    macs: int | None = None
    findings: int | None = Field(default=None, description="Of `validate`.")
    compared: int | None = Field(default=None, description="Calls that were compared.")
    differing: int | None = Field(default=None, description="Of these, those that differ.")
    refused: int | None = Field(default=None, description="Of `extract`: extractable calls that were not extracted.")
    largest_error: Finite = Field(default=None, description="Relative, of a call.")
    cases: int | None = Field(default=None, description="Of `suite`.")
    facts: str = Field(default="", description="What a function returned that is the step, as JSON.")
    started: str = Field(default="", description="UTC.")
    seconds: float | None = None
    cpu_seconds: float | None = None
    memory_bytes: int | None = Field(default=None, description="Largest so far of the model's process.")
    attempts: int = Field(default=1, description="Of the model.")


class CallRow(Record):
    """One module call of one model: a row of `calls.parquet`. What no step found is null."""

    model: str
    fqn: str
    call: int
    tag: str
    class_name: str
    status: str
    reason: str
    nodes: int | None = Field(default=None, description="With those of calls below; of `analyze`.")
    parameters: int | None = None
    macs: int | None = None
    form: str | None = Field(
        default=None, description="What the call computes, whatever its weights hold: a digest, of `extract`."
    )
    extract_error: Finite = Field(default=None, description="Of the call cut out, relative to its original.")
    local_error: Finite = Field(default=None, description="Of `verify`, beside PyTorch, alone.")
    accumulated_error: Finite = Field(default=None, description="Of `verify`, in the whole model.")
    wrong: bool | None = Field(default=None, description="As `verify` or `extract` says.")
    typical_us: float | None = Field(default=None, description="Of `profile`, with calls below.")
    own_us: float | None = Field(default=None, description="Without calls below.")
    spread_us: float | None = Field(default=None, description="Interquartile range by run.")
    in_model_us: float | None = Field(default=None, description="Of `profile_isolated`, with calls below.")
    alone_us: float | None = Field(default=None, description="Of `profile_isolated`, of the call cut out.")
    alone_spread_us: float | None = Field(default=None, description="Interquartile range by run.")


class ModelResult(Report):
    """All that a run found of one model: a file of `results`, written once and whole."""

    schema_version: str = "1.2"
    unit: str = Field(description="Name of the model's files in the run's folder.")
    model: str
    steps: list[StepRow]
    calls: list[CallRow]


class FleetFailure(Record):
    """Models that one step failed on, or found wrong, in one way."""

    step: str
    kind: str = Field(description="As of a step; `wrong` where it found what must not be.")
    code: str
    cause: str = Field(description="Of the first model.")
    log: str = Field(description="Its log, in the folder of the run: what was printed, and what to do.")
    models: list[str]


class FleetChange(Record):
    """What is not as in the baseline."""

    model: str
    fqn: str | None = Field(description="Null for the model, or a step of it.")
    call: int | None
    what: str = Field(description="`step`, `form`, `numbers` or `time`.")
    before: str
    after: str

    @property
    def module(self) -> str:
        """The module call as patterns name it, like `encoder.norm@1` for the second; empty for a step."""
        if self.fqn is None:
            return ""
        return (self.fqn or "the model itself") + (f"@{self.call}" if self.call else "")


class FleetReport(Report):
    """What `hx fleet` did."""

    output: FileName = Field(description="The run's folder.")
    models: int = Field(description="Models of the run; of one shard where a shard was asked for.")
    finished: int = Field(description="Of these, with a result, now or of an earlier start.")
    resumed: int = Field(description="Of these, with a result before this start.")
    statuses: dict[str, dict[str, int]] = Field(description="Models by step and status.")
    failures: list[FleetFailure] = Field(description="Most models first.")
    baseline: FileName | None = None
    changes: list[FleetChange] = Field(default_factory=list[FleetChange])
    seconds: float = Field(description="Of this start.")

    @property
    def good(self) -> bool:
        """Whether every model has a result, no step failed or is wrong, and nothing is other than in the baseline."""
        return self.finished == self.models and not self.failures and not self.changes

    def __str__(self) -> str:
        """Return a sentence."""
        bad = len({model for failure in self.failures for model in failure.models})
        left = self.models - self.finished
        parts = [plural(self.finished, "model"), f"{bad} with failures" if bad else "none failed"]
        parts += [f"{left} left"] if left else []
        parts += [plural(len(self.changes), "change") + " to the baseline"] if self.baseline else []
        return f"{self.output}: {', '.join(parts)}"

    def _table(self) -> Table:
        rows = [(f.step, f.kind, f.code, len(f.models), f.cause) for f in self.failures]
        return Table(str(self), ("step", "kind", "code", "models", "cause"), rows)
