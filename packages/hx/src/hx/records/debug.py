"""What `hx debug --json` prints, and `session.json` of its folder."""

from pydantic import Field

from hx.records.compare import CompareReport
from hx.records.export import Verification
from hx.records.report import File, Report
from hx_sidecar_schema import FileName, Record


class ErrorEntry(Record):
    """An error as it was raised."""

    type: str = Field(description="Qualified name of the exception.")
    code: str = Field(description="Of an error of hx; empty for others, which are bugs of hx or of the exporter.")
    message: str
    hint: str
    traceback: str = Field(description="Paths of this machine are shortened.")


class StepEntry(Record):
    """One step of the session."""

    name: str
    status: str = Field(description="`done`, or `failed`.")
    seconds: float
    error: ErrorEntry | None = None


class AttemptEntry(Record):
    """One export that was tried."""

    kind: str = Field(description="`plain`: torch.onnx.export alone; `hierarchy`: the export of hx.")
    strategy: str
    settings: str = Field(description="What is not as a plain export does it; empty for nothing.")
    status: str = Field(description="`done`, or `failed`.")
    seconds: float
    error: ErrorEntry | None = None


class InputEntry(Record):
    """One tensor that the model was given."""

    name: str
    dtype: str
    shape: list[int]


class Environment(Record):
    """What it ran on."""

    python: str
    platform: str
    cores: int = Field(description="That this process may use.")
    memory_bytes: int | None = Field(description="Of the machine; null where the system does not say.")
    peak_memory_bytes: int | None = Field(description="Of this process, at the end.")
    torch_threads: int | None
    onnxruntime_providers: list[str]
    versions: dict[str, str]
    variables: dict[str, str] = Field(description="Environment variables that change how models are exported and run.")


class DebugReport(Report):
    """A session: what happened, and what there is to see."""

    model: str
    command: str
    folder: FileName
    verdict: str = Field(
        description="`same`: both exports exist and are alike; `different`; `numbers_differ`: alike, and not what PyTorch "
        "computes; `failed`: an export failed; `not_loaded`: there was no model to export."
    )
    summary: str = Field(description="The verdict in a sentence.")
    with_weights: bool
    environment: Environment
    class_name: str | None = None
    parameters: int | None = Field(default=None, description="Number of weights.")
    modules: int | None = None
    inputs: list[InputEntry] = Field(default_factory=list[InputEntry])
    attempts: list[AttemptEntry] = Field(default_factory=list[AttemptEntry], description="In order.")
    strategy: str | None = Field(default=None, description="With which the hierarchy export was made.")
    notes: list[str] = Field(default_factory=list, description="What the export did differently, and why.")
    static_axes: list[str] = Field(default_factory=list, description="Asked to be dynamic; the model fixes them.")
    first_difference: str | None = Field(
        default=None, description="Between plain and hierarchy export, node by node in their order; null where none."
    )
    comparison: CompareReport | None = Field(default=None, description="As of `hx compare plain.onnx model.onnx`.")
    nodes: int | None = None
    exact_percent: float | None = None
    covered_percent: float | None = None
    calls: dict[str, int] = Field(default_factory=dict, description="Number of calls by status.")
    verification: Verification | None = Field(
        default=None, description="Of the hierarchy export beside PyTorch; null where not compared."
    )
    steps: list[StepEntry] = Field(default_factory=list[StepEntry])
    files: list[File] = Field(default_factory=list[File], description="Paths are relative to the folder.")

    @property
    def failure(self) -> ErrorEntry | None:
        """Why there was nothing to export; None where there was something."""
        failed = [step.error for step in self.steps if step.error is not None]
        return failed[0] if self.verdict == "not_loaded" and failed else None

    def __str__(self) -> str:
        """Return the verdict in a sentence, and where all of it is."""
        return f"{self.summary} All of it is in {self.folder}."
