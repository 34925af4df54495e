"""What `stages.json` says of a model in stages."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from hx_sidecar_schema import HxError, Record, read_file

STAGES_FILE = "stages.json"
STAGES_VERSION = "1.1"


class Wire(Record):
    """A value that a stage takes or gives."""

    name: str = Field(description="In all stages the same; of the model's own inputs and outputs the model's.")
    dtype: str
    shape: list[int | str]
    size_bytes: int | None = Field(description="For the recorded inputs; null where it is not known.")
    source: str | None = Field(description="The stage that gives it; null for an input of the model.")
    readers: list[str] = Field(description="The stages that take it.")
    output: bool = Field(description="Whether it is an output of the model.")


class Stage(Record):
    """One model of several that run one after the other."""

    name: str
    file: str = Field(description="Beside this file.")
    begins: str = Field(
        description="The first call that begins in it, as a pattern names it; empty for the first stage, and where none does."
    )
    calls: list[str] = Field(
        description="The calls that it holds whole, as patterns name them; none that is inside another."
    )
    nodes: int
    weight_bytes: int = Field(description="Of the weights that it reads, each once.")
    macs: int = Field(description="Multiply-accumulates, as far as they are known.")
    time_us: float | None = Field(default=None, description="By the profile that was given.")
    inputs: list[Wire]
    outputs: list[Wire]


class Stages(Record):
    """A model in stages."""

    schema_version: str = STAGES_VERSION
    model: str = Field(description="File name of the whole model.")
    graph_digest: str = Field(description="`model.graph_digest` of its sidecar.")
    sidecar: str = Field(description="Its sidecar, beside this file.")
    data: str | None = Field(description="The file with the weights of all stages; null where they are in the models.")
    by: str | None = Field(description="What was balanced: `weights`, `macs` or `time`; null where places were named.")
    inputs: list[str] = Field(description="Of the whole model, in order.")
    outputs: list[str]
    declared: list[str] = Field(
        default=[],
        description="Its inputs and the weights that are inputs too, in order; empty where no weight is one.",
    )
    stages: list[Stage] = Field(min_length=1, description="In the order in which they run.")

    @classmethod
    def load(cls, path: Path) -> Stages:
        """Read `stages.json`, or that of a folder.

        Raises:
            HxError: HX311 if it cannot be read, or is no such file.
        """
        path = path / STAGES_FILE if path.is_dir() else path
        try:
            found = cls.model_validate_json(read_file(path))
            if found.schema_version.partition(".")[0] != STAGES_VERSION.partition(".")[0]:
                raise ValueError(f"its version is {found.schema_version!r}, not {STAGES_VERSION!r}")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            if isinstance(error, ValidationError):
                first = error.errors()[0]
                reason = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
            message = f"Stages {str(path)!r} cannot be read: {reason}."
            raise HxError(message, code="HX311", hint="Name a folder that `hx split` wrote.") from error
        return found
