"""What the tracer saw: handed to the projector, and kept on request for debugging."""

from __future__ import annotations

from pydantic import Field

from hx_sidecar_schema._observation import Observation
from hx_sidecar_schema._records import Example, Initializer, Module, ModuleCall, Provenance, Record, RecoveredNode

CONTEXT_VERSION = "1.1"


class ModuleContext(Record):
    """Modules, calls with their ports, and the exporter's own evidence for every node.

    Ports carry values of the final graph. A port with neither value nor initializer, and not `unused`, was
    removed by the exporter's optimisation and could not be recovered.
    """

    schema_version: str = CONTEXT_VERSION
    generator: Provenance
    modules: list[Module]
    calls: list[ModuleCall]
    origins: dict[str, list[int]] = Field(
        default_factory=dict,
        description="First output of a node of the main graph to the calls that ran its operation: the exporter's "
        "own record. Several where its optimiser made one node of the operations of several calls.",
    )
    unsure_calls: list[int] = Field(
        default_factory=list,
        description="Calls that `origins` name, of modules with several whose nodes are not told apart.",
    )
    unsure_nodes: list[str] = Field(
        default_factory=list,
        description="Keys of `origins` that also stand for an operation of a module that the record does not name; of "
        "those that it has the first is named, the second around it.",
    )
    dead_calls: list[int] = Field(
        default_factory=list, description="Calls whose results reached no output before optimisation."
    )
    folded_calls: list[int] = Field(
        default_factory=list, description="Calls whose results depend on no input of the model."
    )
    recovered: list[RecoveredNode] = Field(default_factory=list)
    sizes: dict[str, str] = Field(
        default_factory=dict,
        description="Scalar INT64 values that hold a size, with the expression over symbols that shapes use too.",
    )
    initializers: list[Initializer] = Field(default_factory=list)
    observation: Observation | None = Field(
        default=None, description="A run in PyTorch, for the witness; null where none was asked for."
    )
    examples: dict[str, Example] = Field(default_factory=dict, description="Model input name to its value.")
