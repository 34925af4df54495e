"""An exported model with its calls. Nothing of ONNX is imported before something is cut out or run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hx_extractor._tree import TreeReport, tree_of
from hx_sidecar_schema import (
    Example,
    HxError,
    Initializer,
    MissingKernel,
    Module,
    ModuleCall,
    Node,
    Port,
    RuntimeRefusal,
    Sidecar,
    Status,
    Table,
    UnknownCall,
    file_digest,
    find_calls,
)

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

    from hx_extractor._extraction import Extraction
    from hx_extractor.cut.index import GraphIndex
    from hx_extractor.cut.node import NodePart
    from hx_extractor.cut.stored_weights import StoredWeights


class Hierarchy:
    """An ONNX model that knows which module call made every node: a sequence of calls, parents first.

    Weights stay in their files until something runs or is saved.

    Args:
        path: The ONNX file; None for a model in memory.
        sidecar: Of that model.
        model: The model; None to read it from the file when it is needed first.
        exported: Element types of the values of the export that the model was made of; see `load_transformed`.
        inputs: Instead of the recorded ones; see `with_inputs`.

    Raises:
        ValueError: If there is neither a path nor a model.
    """

    def __init__(
        self,
        path: Path | None,
        sidecar: Sidecar,
        model: ir.Model | None = None,
        *,
        exported: Mapping[str, ir.DataType] | None = None,
        inputs: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        if path is None and model is None:
            raise ValueError("A hierarchy needs a path or a model.")
        self.path = path
        self.sidecar = sidecar
        self._model = model
        self._original_dtypes = exported
        self._inputs = inputs or {}
        self._computed: dict[str, NDArray[np.generic]] = {}
        self._refused: dict[frozenset[str], RuntimeRefusal] = {}
        self._stored: dict[Path, StoredWeights] = {}

    @property
    def model(self) -> ir.Model:
        """The model, read from its file when it is asked for first.

        Raises:
            HxError: HX202, HX204 as `read_model` does, HX203 if the sidecar is not of its nodes.
        """
        if self._model is None:
            from hx_graph import check_rows, read_model

            assert self.path is not None
            model = read_model(self.path)
            check_rows(model, self.sidecar)
            self._model = model
        return self._model

    @property
    def unread_file(self) -> Path | None:
        """The file, as it was when the sidecar was written, while the model was not read from it; else None."""
        return self.path if self._model is None else None

    @property
    def folder(self) -> Path | None:
        """Where the model's external data lies; None for a model in memory."""
        return None if self.path is None else self.path.parent

    def files(self) -> Iterator[Path]:
        """Yield the files that the model is read from, data wherever tensors refer to it; none for a model in memory.

        Raises:
            HxError: As `model`.
        """
        from hx_graph import files_of

        yield from () if self.path is None else files_of(self.path, self.model)

    def __len__(self) -> int:
        """Return how many calls there are; a module that never ran has one, with the status `not_called`."""
        return len(self.sidecar.calls)

    def __iter__(self) -> Iterator[Call]:
        """Yield all calls in execution order, a parent before its children; modules that never ran come last."""
        return (Call(self, row) for row in range(len(self)))

    def __contains__(self, call: object) -> bool:
        """Say whether a pattern matches a call, see `calls`; or whether a call is one of this model."""
        if isinstance(call, str):
            try:
                return bool(find_calls(self.sidecar, call))
            except UnknownCall:
                return False
        return isinstance(call, Call) and call.hierarchy is self

    def __getitem__(self, pattern: str | int) -> Call:
        """Return the only call that a pattern names, see `calls`; or that of a row.

        Raises:
            HxError: HX401 if nothing matches, or more than one call.
            IndexError: If there is no such row.
        """
        if isinstance(pattern, int):
            return Call(self, range(len(self))[pattern])
        found = self.calls(pattern)
        if len(found) > 1:
            first = ", ".join(repr(call.tag) for call in found[:3])
            raise HxError(
                f"{len(found)} calls match {pattern!r}: {first}{', ...' if len(found) > 3 else '.'}",
                code="HX401",
                hint="Name one of them, or take calls(), which returns all that match.",
            )
        return found[0]

    @property
    def root(self) -> Call:
        """The call of the whole model."""
        return Call(self, 0)

    def calls(self, pattern: str | Sequence[str] | None = None, *, status: Status | None = None) -> list[Call]:
        """Return the calls that a pattern, or one of several, names, in execution order; all calls without one.

        Args:
            pattern: As `hx_sidecar_schema.find_calls` takes it: a tag, an fqn, a class name, or a pattern of them.
            status: Leave out those of another status; `extractable` are the ones that can be cut out.

        Raises:
            HxError: HX401 if nothing matches.
        """
        rows = range(len(self)) if pattern is None else find_calls(self.sidecar, pattern)
        return [Call(self, row) for row in rows if status in (None, self.sidecar.calls[row].status)]

    def extract(self, call: Call | int | str, *, weights_from: str | Path | None = None) -> Extraction:
        """Cut a call out as a model of its own.

        Args:
            call: A call, its row, or a pattern; of several matches the first.
            weights_from: A `.safetensors` file, or a folder of them, whose weights the part gets in place of the model's, by
                the names of parameters. Headers are read, and of the rest the weights of the part, when it runs or is saved.

        Raises:
            HxError: HX205 if the call is not extractable, HX401 if nothing matches, HX201 if the file lacks a
                value that the sidecar names, HX212 if a transformed model has no such part any more; HX219 if the files of
                `weights_from` cannot be read, HX218 if their weights do not fit.
        """
        from hx_extractor.cut.cut import extract

        row = call if isinstance(call, int) else (self.calls(call)[0] if isinstance(call, str) else call).row
        extraction = extract(self, self._index, row)
        return extraction if weights_from is None else self._stored_weights(Path(weights_from)).fill(extraction)

    def _stored_weights(self, place: Path) -> StoredWeights:
        from hx_extractor.cut.stored_weights import StoredWeights

        if place not in self._stored:
            self._stored[place] = StoredWeights(place, self.sidecar)
        return self._stored[place]

    def node_part(self, node: ir.Node) -> NodePart:
        """Make a model of one node of this model's main graph, with the bodies and functions that it has.

        Raises:
            HxError: HX201 if the node is not in the model.
        """
        from hx_extractor.cut.node import node_part

        return node_part(self._index, node)

    @property
    def name(self) -> str:
        """Path of the file; of a model in memory the file name that it would have."""
        return self.sidecar.model.file if self.path is None else str(self.path)

    @cached_property
    def is_unchanged(self) -> bool:
        """Whether the file is byte for byte what the sidecar was written for; a model in memory is."""
        known = self.sidecar.model.file_digest
        return self.path is None or (bool(known) and file_digest(self.path) == known)

    def tree(
        self, modules: str | Sequence[str] = (), *, depth: int | None = None, everything: bool = False
    ) -> TreeReport:
        """Return the calls, a parent before its children, with the nodes and weights of each.

        Args:
            modules: Patterns: these calls and what is below them; empty for the whole model.
            depth: Levels below each of them; None for all.
            everything: Untagged modules too, which are shown in any case where there are no others. What a call that is not shown
                holds counts for the nearest one that is.

        Raises:
            HxError: HX401 if a pattern matches nothing.
        """
        roots = find_calls(self.sidecar, modules)
        everything = everything or bool(roots)
        return tree_of(self.name, self.sidecar, self._weights, roots or [0], depth=depth, everything=everything)

    def __repr__(self) -> str:
        """Return the name and the number of calls."""
        return f"<{type(self).__name__} {self.name}: {len(self)} calls, {len(self.sidecar.nodes)} nodes>"

    def _repr_html_(self) -> str | None:
        return self.tree()._repr_html_()  # pyright: ignore[reportPrivateUsage]

    def example_inputs(self) -> dict[str, NDArray[np.generic]]:
        """Return the inputs that were recorded at export: exact where they were small, else alike.

        Raises:
            HxError: HX206 if an input has no recorded example.
        """
        from hx_graph import example_array

        infos, given = self.sidecar.model.inputs, self._inputs
        return {info.name: given[info.name] if info.name in given else example_array(info) for info in infos}

    def with_inputs(self, inputs: Mapping[str, NDArray[Any] | Example]) -> Hierarchy:
        """Return this model with other examples of some inputs: arrays, which are kept exactly, or records of them."""
        from hx_graph import example_record

        exact = {name: one for name, one in inputs.items() if not isinstance(one, Example)}
        records = {**inputs, **{n: None if a.dtype.kind in "OSU" else example_record(a) for n, a in exact.items()}}
        info = self.sidecar.model
        rows = [row.model_copy(update={"example": records.get(row.name, row.example)}) for row in info.inputs]
        sidecar = self.sidecar.model_copy(update={"model": info.model_copy(update={"inputs": rows})})
        return Hierarchy(self.path, sidecar, self._model, exported=self._original_dtypes, inputs=exact)

    def compute(self, names: Iterable[str]) -> dict[str, NDArray[np.generic]]:
        """Return values of this model for the recorded inputs, by ONNX Runtime; each is computed once.

        They may be recovered ones too. All that are asked for at once are held in memory together.

        Raises:
            HxError: HX201 for a value that is not in the model; else as `run`.
        """
        names = list(names)
        missing = [name for name in names if name not in self._computed]
        if refusal := self._refused.get(frozenset(missing)):
            raise refusal
        if missing:
            try:
                self._computed |= self.run(self.example_inputs(), missing)
            except RuntimeRefusal as error:
                self._refused[frozenset(missing)] = error
                raise
        return {name: self._computed[name] for name in names}

    def forget(self) -> None:
        """Let go of what `compute` holds."""
        self._computed.clear()

    def run(
        self, inputs: Mapping[str, NDArray[Any]], names: Iterable[str] | None = None, **options: Any
    ) -> dict[str, NDArray[np.generic]]:
        """Run the model in ONNX Runtime, without optimisation; nothing is kept.

        Args:
            inputs: An array for every input of the model, brought to the element type that it takes.
            names: What to return. Values of the model, recovered ones included: it runs up to these. None for its outputs.
            options: Of the session, as `hx_graph.make_session` takes them.

        Raises:
            HxError: HX201 for a value that is not in the model, HX207 if ONNX Runtime refuses model or inputs,
                HX209 if it is not installed, HX217 if the model `lacks_weights`.
        """
        import numpy as np

        from hx_extractor.cut.cut import up_to
        from hx_graph import make_session, run_session

        self.refuse_without_weights()
        names = [info.name for info in self.sidecar.model.outputs] if names is None else list(dict.fromkeys(names))
        model = up_to(self._index, names)
        dtypes = {str(value.name): value.dtype for value in model.graph.inputs}
        feeds = {
            name: np.asarray(array, dtype.numpy() if (dtype := dtypes[name]) else None)
            for name, array in inputs.items()
            if name in dtypes
        }
        arrays = run_session(make_session(model, self.folder, **options), feeds)
        return dict(zip(names, arrays.values(), strict=True))

    def holds(self, value: str) -> bool:
        """Say whether `run` can give a value: it is in the graph, or recovered from values that are."""
        return self._index.holds(value)

    @cached_property
    def lacks_weights(self) -> bool:
        """Whether weights were not made, as `random_weights` leaves those that are too large: it computes nothing."""
        from hx_graph import lacks_weights

        return lacks_weights(self.model, [row.name for row in self.sidecar.initializers if row.unmade and row.readers])

    def refuse_without_weights(self) -> None:
        """Raise an `HxError`, HX217, if the model `lacks_weights`."""
        if self.lacks_weights:
            raise HxError(
                f"Nothing can be computed with {self.name!r}: its weights were not made.",
                code="HX217",
                hint="Export a configuration that is small enough to hold its weights.",
            )

    @cached_property
    def lacks_kernel(self) -> bool:
        """Whether ONNX Runtime's CPU has no kernel for one of the nodes: then it says nothing about the model."""
        from hx_graph import make_session

        try:
            make_session(self.model, self.folder)
        except RuntimeRefusal as error:
            return isinstance(error, MissingKernel)
        return False

    @property
    def _weights(self) -> list[Initializer]:
        """The sidecar's rows of initializers; a file of format 1.0 does not say who reads them."""
        rows = self.sidecar.initializers
        if all(row.elements is not None for row in rows):
            return rows
        from hx_graph import initializer_rows

        owners = {node.key: node.owner for node in self.sidecar.nodes}
        return initializer_rows(self.model.graph, rows, owners)

    @cached_property
    def _index(self) -> GraphIndex:
        from hx_extractor.cut.index import GraphIndex

        return GraphIndex(self.model, self.sidecar, exported=self._original_dtypes)

    @cached_property
    def owned(self) -> list[list[int]]:
        """For each call, the positions of its own nodes in `sidecar.nodes`."""
        owned: list[list[int]] = [[] for _ in self.sidecar.calls]
        for position, node in enumerate(self.sidecar.nodes):
            owned[node.owner].append(position)
        return owned


@dataclass(frozen=True)
class Call:
    """One run of one module's `forward`, of a model. Calls are equal that are the same call of one `Hierarchy`."""

    hierarchy: Hierarchy = field(repr=False)
    row: int
    """Position in `sidecar.calls`."""

    def __repr__(self) -> str:
        """Return the tag and the status."""
        return f"<Call {self.tag} ({self.status})>"

    def _repr_html_(self) -> str:
        ports = [("takes", port) for port in self.inputs] + [("gives", port) for port in self.outputs]
        rows = [
            (side, port.name, f"{port.dtype}[{', '.join(map(str, port.shape))}]", port.carrier) for side, port in ports
        ]
        status = self.status if not self.reason else f"{self.status}: {self.reason}"
        title = f"{self.tag}: {self.class_name}, {status.replace('_', ' ', 1)}; nodes: {len(self.nodes)}"
        return Table(title, ("", "port", "type", "value"), rows).to_html()

    @property
    def _record(self) -> ModuleCall:
        return self.hierarchy.sidecar.calls[self.row]

    @property
    def _module(self) -> Module:
        return self.hierarchy.sidecar.module_of(self._record)

    @property
    def fqn(self) -> str:
        """Name of the module in the PyTorch model; empty for the root."""
        return self._module.fqn

    @property
    def index(self) -> int:
        """0 for the module's first call, 1 for its second, and so on."""
        return self._record.index

    @property
    def tag(self) -> str:
        """Path of classes that names the module, with `@1`, `@2` for later calls."""
        return self.hierarchy.sidecar.tag(self._record)

    @property
    def class_name(self) -> str:
        """Class of the module: package.module.Class."""
        return self._module.class_name

    @property
    def status(self) -> Status:
        """What became of the call in the graph; only an `extractable` one can be cut out."""
        return self._record.status

    @property
    def reason(self) -> str:
        """For every status but `extractable`: why."""
        return self._record.reason

    @property
    def parent(self) -> Call | None:
        """The call that made this one; None for the root and for modules that never ran."""
        row = self._record.parent
        return None if row is None else Call(self.hierarchy, row)

    @property
    def children(self) -> list[Call]:
        """The calls that this one made, in execution order."""
        children: list[Call] = []
        row, ends = self.row + 1, self.hierarchy.sidecar.subtree_end
        while row < ends[self.row]:
            children.append(Call(self.hierarchy, row))
            row = ends[row]
        return children

    @property
    def nodes(self) -> list[Node]:
        """The nodes of this call and of all calls below it, in the order of the sidecar."""
        return self._nodes(self.hierarchy.sidecar.subtree_end[self.row])

    @property
    def own_nodes(self) -> list[Node]:
        """The nodes that the module's `forward` made itself, in the order of the sidecar."""
        return self._nodes(self.row + 1)

    def _nodes(self, end: int) -> list[Node]:
        owned, nodes = self.hierarchy.owned[self.row : end], self.hierarchy.sidecar.nodes
        return [nodes[position] for position in sorted(chain.from_iterable(owned))]

    @property
    def inputs(self) -> list[Port]:
        """Tensors that `forward` got, then those that it reached without an argument."""
        return self._record.inputs

    @property
    def outputs(self) -> list[Port]:
        """Tensors that `forward` returned."""
        return self._record.outputs

    def extract(self, *, weights_from: str | Path | None = None) -> Extraction:
        """Cut the call out as a model of its own; `weights_from` as of `Hierarchy.extract`.

        Raises:
            HxError: As `Hierarchy.extract`.
        """
        return self.hierarchy.extract(self, weights_from=weights_from)
