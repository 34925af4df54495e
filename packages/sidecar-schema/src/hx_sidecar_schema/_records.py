"""The rows of a sidecar. Rows refer to each other by their position in the list they stand in."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from hx_sidecar_schema._table import Table

SIDECAR_VERSION = "1.3"

Evidence = str
"""Name of a source: `exporter`, `witness`, `parameter`, `dataflow`, one that another package adds, or `lineage`:
carried over from the model that this one was made of."""
Confidence = Literal["high", "medium", "low"]
Status = Literal["extractable", "identity", "fused", "folded", "unused", "not_called"]


def listed(description: str) -> Any:
    """Return a field that is an empty list where nothing is said."""
    return Field(default_factory=list, description=description)


class Record(BaseModel):
    """A frozen row; fields that a newer minor version added are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    def __repr__(self) -> str:
        """Return the first line of what `str` says where a record says it in words; else all fields."""
        if type(self).__str__ is BaseModel.__str__:
            return super().__repr__()
        return f"<{type(self).__name__} {str(self).partition(chr(10))[0]}>"

    def _table(self) -> Table | None:
        """Return what a notebook shows; None for the same as a terminal."""
        return None

    def _repr_html_(self) -> str | None:
        table = self._table()
        return None if table is None else table.to_html()


R = TypeVar("R", bound=Record)


@cache
def _all_fields(kind: type[Record]) -> set[str]:
    return {*kind.model_fields}


def lean(row: R) -> R:
    """Return a row that shares the set of the names of its fields with all of its kind: pydantic (2.14) gives each its own, half of its memory."""
    object.__setattr__(row, "__pydantic_fields_set__", _all_fields(type(row)))
    return row


FileName = Annotated[str, PlainSerializer(lambda path: Path(path).name or path, return_type=str, when_used="json")]
"""A path as it was given; its last part alone in JSON, which is the same wherever it was written."""


class Example(Record):
    """The recorded value of a model input, or how to make one like it."""

    shape: list[int]
    data: str | None = Field(default=None, description="Base64 of the zlib-compressed little-endian bytes; exact.")
    low: float | None = Field(default=None, description="Smallest value, when `data` is absent.")
    high: float | None = Field(default=None, description="Largest value, when `data` is absent.")


class TensorInfo(Record):
    """An input or output of the whole model."""

    name: str
    dtype: str = Field(description="ONNX element type name, e.g. FLOAT, INT64.")
    shape: list[int | str] = Field(description="Integers, and symbols of dynamic dimensions.")
    example: Example | None = None


class Provenance(Record):
    """What made the file."""

    name: str = "hx"
    versions: dict[str, str] = Field(default_factory=dict, description="hx, torch, transformers, onnx, ...")
    strategy: str = "dynamo"
    exporter: str = "torch.onnx.export(dynamo=True)"
    command: str = Field(default="", description="The command line; of paths the last part.")
    timestamp: str = Field(default="", description="UTC, ISO 8601; the only field that differs between equal runs.")


class ModelInfo(Record):
    """The ONNX file that the sidecar belongs to."""

    file: str = Field(description="File name, relative to the sidecar.")
    opset_imports: dict[str, int]
    ir_version: int
    graph_digest: str = Field(description="SHA-256 over the structure; weights, node names, metadata excluded.")
    file_digest: str = Field(
        default="",
        description="SHA-256 of the bytes of `file` as it was saved; external data excluded. Equal: the sidecar "
        "belongs to the file. Different: `graph_digest` decides. Empty where it is not known.",
    )
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]


class CutFrom(Record):
    """The call of another model that a model was cut out of."""

    file: str = Field(description="Name of the ONNX file that it was cut out of, without its folder.")
    graph_digest: str = Field(description="`model.graph_digest` of that file's sidecar.")
    fqn: str = Field(description="Of the module that was called; empty for the root.")
    index: int = Field(ge=0, description="Which of that module's calls, as `index` of a call.")


class Replacement(Record):
    """The model that stands in the place of a call."""

    file: str = Field(description="Name of its ONNX file, without its folder.")
    file_digest: str = Field(default="", description="SHA-256 of the bytes of that file; empty where it is not known.")


class Module(Record):
    """One `nn.Module` of the tree: metadata only, never a tensor or a module object."""

    fqn: str = Field(description="First name in `named_modules` order; empty for the root.")
    class_name: str = Field(description="Qualified: package.module.Class.")
    tag: str = Field(description="Class path shown to people; names exactly one module.")
    tagged: bool = Field(description="Whether nodes show this module's tag, or their nearest tagged ancestor's.")
    parent: int | None = Field(default=None, description="Row of the parent module.")
    aliases: list[str] = listed("Other names of the same module.")
    forward_args: list[str] = Field(default_factory=list)
    forward_defaults: dict[str, Any] = Field(
        default_factory=dict,
        description="JSON values as they are, anything else as its repr; [] of *args, {} of **kwargs.",
    )
    parameters: list[str] = listed("All parameter names below, relative.")
    direct_parameters: list[str] = Field(default_factory=list)
    dropped: list[str] = listed(
        "Its own parameters and buffers whose numbers what the model returns depends on, and of which no initializer tells: the exporter "
        "computed with them and left them out, as a bias of zeros."
    )
    children: dict[str, str] = Field(default_factory=dict, description="Attribute name to class.")
    settings: int | None = Field(
        default=None,
        description="A number that modules share which hold the same in their attributes but for values of tensors, as the modules below "
        "them do: others may compute in other ways, of one class too. null where PyTorch did not tell.",
    )


class Port(Record):
    """One tensor that crosses a call's boundary, under the name that `forward()` gives it."""

    name: str
    value: str | None = Field(default=None, description="ONNX value that carries it; null where it is in no graph.")
    initializer: str | None = Field(default=None, description="ONNX initializer that carries it, instead of a value.")
    dtype: str
    shape: list[int | str]
    unused: bool = Field(
        default=False, description="The graph does not use it: no input or output of the extracted model."
    )
    implicit: bool = Field(default=False, description="Not in the signature: reached through an attribute or closure.")

    @property
    def carrier(self) -> str:
        """The value that carries the port; a name of its own where only its size is in the graph."""
        return self.value or self.initializer or f"<{self.name}>"

    @property
    def is_lost(self) -> bool:
        """Whether the graph needs the port, and nothing in the graph carries it."""
        return not (self.value or self.initializer or self.unused)


class ModuleCall(Record):
    """One run of one module's `forward`; a module used three times has three calls."""

    module: int = Field(description="Row of the module.")
    index: int = Field(
        ge=0, description="Position among the calls of its module: 0-based, in execution order. Not a row."
    )
    parent: int | None = Field(default=None, description="Row of the call that made this one.")
    in_body: bool = Field(
        default=False,
        description="It ran in the body of a control-flow operator, which PyTorch compiles: no hook sees it there.",
    )
    status: Status = "extractable"
    reason: str = Field(default="", description="For every status but `extractable`: why, for a person.")
    inputs: list[Port] = Field(default_factory=list)
    outputs: list[Port] = Field(default_factory=list)
    constants: dict[str, Any] | None = Field(
        default=None,
        description="Arguments that are no tensors, named like ports, where they are not the default: JSON values as they "
        'are, of anything else `{"type": NAME}`. Null where they are not known.',
    )
    recovered: list[int] = listed(
        "Rows of `recovered` that stand for the graph's own producers when this call is cut out."
    )
    merged: list[int] = listed(
        "Rows of the calls outside it whose own operations computed one of its outputs too: the exporter kept one value, "
        "and who reads it may mean theirs."
    )
    replaced: Replacement | None = Field(
        default=None, description="What was put in its place; null where it computes what its module does."
    )


class RecoveredNode(Record):
    """A node from before the exporter's optimisation, which removed a port that a call needs."""

    inputs: list[str] = Field(description="Values of the model, or outputs of other recovered nodes.")
    outputs: list[str]
    proto: str = Field(description="Base64 of the serialised onnx.NodeProto.")
    dtypes: list[str]
    shapes: list[list[int | str]]


class Node(Record):
    """One ONNX node, nested graphs and functions included."""

    graph: str = Field(default="", description="Path of the nested graph or function; empty for the main graph.")
    output: str = Field(description="First non-empty output value: with `graph`, the node's identity.")
    name: str = ""
    op_type: str
    owner: int = Field(description="Row of the innermost call during whose forward the operation ran.")
    evidence: Evidence
    confidence: Confidence
    known: bool = Field(
        default=True,
        description="False where nothing is known of the node: the root stands in as owner, with the evidence "
        "`dataflow` or `lineage` and low confidence, and the node does not count as covered.",
    )
    consumers: list[int] = listed("Rows of the calls, outside the owner's subtree, that read its outputs.")
    originals: list[str] = listed(
        "Nodes of the original model's main graph that this one stands for, by `output`; empty where it shares many of them with others. In a relinked model."
    )
    covers: list[int] = listed(
        "Rows of the calls that own `originals`, where there are several: the owner is what they have in "
        "common. In a relinked model."
    )

    @property
    def key(self) -> tuple[str, str]:
        """The node's identity: the path of its graph and its first output."""
        return self.graph, self.output

    @property
    def known_by(self) -> str:
        """How the owner is known: evidence and confidence, as `exporter, high`; or `not known`."""
        return f"{self.evidence}, {self.confidence}" if self.known else "not known"


def node_name(graph: str, output: str) -> str:
    """Return how files and messages call a node: `graph:output`, and the output alone in the main graph."""
    return f"{graph}:{output}" if graph else output


class Disagreement(Record):
    """A node of the main graph that two sources of evidence give to different calls; the stronger one decided."""

    output: str = Field(description="First non-empty output value of the node.")
    evidence: Evidence = Field(description="The stronger source.")
    owner: int = Field(description="Row of its call.")
    against: Evidence = Field(description="The weaker source.")
    other: int = Field(description="Row of its call.")


class Initializer(Record):
    """A weight of the graph and the parameter it came from."""

    name: str
    parameter: str | None = Field(default=None, description="Fully qualified name; null where none is known.")
    transform: str | None = Field(
        default=None,
        description="What the exporter did to it: `folded`, `transposed`; `fused`: it put another in the place of the parameter, under its "
        "name, of several; `derived`: what a later tool made of it.",
    )
    permutation: list[int] = listed(
        "Where it is the parameter transposed and nothing else: axis i of it is axis permutation[i] of the parameter, as `perm` "
        "of ONNX's Transpose. Empty where it is not, or that is not known."
    )
    sources: list[str] | None = Field(
        default=None,
        description="Of a `folded` one, all parameters and buffers that it was computed from; null where that is not known.",
    )
    aliases: list[str] = listed("Other names of its parameter: those of tied weights.")
    merged: list[str] = listed(
        "Other parameters whose numbers were the same, and which the exporter therefore made this one, transposed too."
    )
    unmade: bool = Field(
        default=False,
        description="Whether its numbers were not made: zeros stand for a weight that is too large to be held. What is computed of it "
        "means nothing.",
    )
    elements: int | None = Field(
        default=None, ge=0, description="Number of elements, 0 for an unknown shape; null in files of format 1.0."
    )
    readers: list[int] = listed(
        "Rows of the calls whose own nodes read it, those in bodies too. Empty where the file takes the weight as an input."
    )


class CategoryStatistics(Record):
    """Coverage of one operator category."""

    total: int
    tagged: int = Field(description="Nodes that are `known`.")
    percentage: float
    exact: int = Field(description="Nodes whose owner is known with high confidence.")


class Summary(Record):
    """Counts over all nodes."""

    nodes: int = 0
    exact_percent: float = 0.0
    covered_percent: float = 0.0
    category_statistics: dict[str, CategoryStatistics] = Field(default_factory=dict)


STORED_NAMES: Any = Field(
    default_factory=dict,
    description="Parameters and buffers that checkpoints of the model have under other names, with these names.",
)


class Contents(Record):
    """The fields of a sidecar; what it does with them is `Sidecar`'s."""

    schema_version: str = Field(
        default=SIDECAR_VERSION, description="Of the file that was read; what is written is of this version."
    )
    generator: Provenance
    model: ModelInfo
    cut_from: CutFrom | None = Field(
        default=None, description="Where the model was cut out of another one; null for a whole model."
    )
    modules: list[Module] = Field(default_factory=list)
    calls: list[ModuleCall] = Field(default_factory=list)
    nodes: list[Node] = Field(default_factory=list)
    initializers: list[Initializer] = Field(default_factory=list)
    recovered: list[RecoveredNode] = Field(default_factory=list)
    sizes: dict[str, str] = Field(
        default_factory=dict,
        description="Scalar INT64 values that hold a size, with the expression over symbols that shapes use too.",
    )
    stored_names: dict[str, str] = STORED_NAMES
    disagreements: list[Disagreement] = Field(default_factory=list)
    summary: Summary = Field(default_factory=Summary)


def subtree_ends(parents: Sequence[int | None]) -> list[int]:
    """Return for each row of a tree the one after its last descendant; rows are in pre-order."""
    ends = list(range(1, len(parents) + 1))
    for row in range(len(parents) - 1, -1, -1):
        parent = parents[row]
        if parent is not None:
            ends[parent] = max(ends[parent], ends[row])
    return ends


def depths(parents: Sequence[int | None]) -> list[int]:
    """Return how many rows of a tree are above each one; a parent stands before its children."""
    found: list[int] = []
    for parent in parents:
        found.append(0 if parent is None else found[parent] + 1)
    return found
