"""What a suite holds: the records in its `manifest.json`."""

from typing import Literal, get_args

from pydantic import Field

from hx_sidecar_schema import Record

By = Literal["call", "block", "operator"]
SUITE_KINDS: tuple[By, ...] = get_args(By)


class SuiteCase(Record):
    """One form, as a model with inputs and the outputs that it must give."""

    name: str = Field(description="Folder of the case in the suite: `KIND/test_NAME`.")
    form: str = Field(description="SHA-256 of what it computes, whatever its weights hold; the same on every machine.")
    class_name: str = Field(description="Class of the module that was called; of a node, its operator.")
    calls: int = Field(description="Calls of this form in all models; of an operator, nodes.")
    models: dict[str, int] = Field(description="Of these, in each model that has some.")
    examples: list[str] = Field(description="Some of them, as MODEL:FQN; the case has inputs and weights of the first.")
    nodes: int = Field(description="Nodes of the case, those of bodies too.")
    macs: int | None = Field(description="Multiply-accumulates of one call; null where they are not known.")
    macs_percent: float | None = Field(description="Share of all calls of this form in all models; cases overlap.")
    operators: list[str] = Field(description="What it asks of kernels: operators with attributes and element types.")
    rtol: float = Field(description="An output may be off by `atol` + `rtol` times its right value.")
    atol: float
    files: dict[str, str] = Field(description="SHA-256 of each file, by its path in the folder of the case.")


class LeftOut(Record):
    """A form that is no case."""

    form: str
    class_name: str
    calls: int
    examples: list[str]
    reason: str


class SuiteModel(Record):
    """A model whose calls a suite is of."""

    name: str
    calls: int = Field(description="Calls that are extractable; of operators, nodes.")
    forms: int = Field(description="Distinct forms among those that are asked for.")
    macs: int | None = None
    reason: str = Field(default="", description="Why nothing of it is there; empty where it was read.")


class Manifest(Record):
    """A suite: what `manifest.json` holds."""

    schema_version: str = "1.0"
    by: By
    cover: bool = Field(description="Whether it has the fewest cases that were found to hold all operators.")
    models: list[SuiteModel]
    cases: list[SuiteCase]
    left_out: list[LeftOut]
    not_covered: list[str] = Field(
        description="Operators with attributes and element types, of the models, that no case has."
    )
