"""The whole model of its stages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir

from hx_extractor import Hierarchy, load
from hx_graph import all_nodes, output_of
from hx_sidecar_schema import EMBEDDED, STRATEGIES, HxError, Node, Sidecar, graph_digest
from hx_surgery._edited import edited_sidecar
from hx_surgery._reading import read_instead
from hx_surgery.stages.records import STAGES_FILE, Stages


class Joined:
    """A model that was put together of its stages.

    Args:
        path: `stages.json`, or its folder.

    Raises:
        HxError: HX311 if `stages.json` cannot be read, HX312 if stages do not fit each other; else as `load`, for a stage.
    """

    def __init__(self, path: Path) -> None:
        """Read the stages and connect them."""
        self.folder = path if path.is_dir() else path.parent
        self.record = Stages.load(path)
        self.stages = [load(self.folder / Path(stage.file).name) for stage in self.record.stages]
        self.whole = Sidecar.load(self.folder / Path(self.record.sidecar).name)
        self.model = self._connected()
        self.sidecar = self._sidecar()

    def files(self) -> Iterator[Path]:
        """Yield what it was read from."""
        yield self.folder / STAGES_FILE
        yield self.folder / Path(self.record.sidecar).name
        for stage in self.stages:
            yield from stage.files()

    def _connected(self) -> ir.Model:
        copies = [stage.model.clone() for stage in self.stages]
        first = copies[0]
        values: dict[str, ir.Value] = {}
        weights: dict[str, ir.Value] = {}
        inputs: dict[str, ir.Value] = {}
        listed = set[str]()  # weights that are inputs too, as IR versions before 4 want it
        nodes: list[ir.Node] = []
        functions: dict[ir.OperatorIdentifier, ir.Function] = {}
        self._rows: dict[ir.Node, tuple[Hierarchy, tuple[str, str]]] = {}
        for stage, copy in zip(self.stages, copies, strict=True):
            if dict(copy.opset_imports) != dict(first.opset_imports):
                raise self._misfit(stage, f"imports other opsets than {self.stages[0].name!r}")
            for path, node in all_nodes(copy):
                self._rows[node] = (stage, (path, output_of(node)))
            functions |= {key: function for key, function in copy.functions.items() if key not in functions}
            instead: dict[ir.Value, ir.Value] = {}
            for value in copy.graph.initializers.values():
                known = weights.setdefault(str(value.name), value)
                if known is not value:
                    if not _equal(known.const_value, value.const_value):
                        raise self._misfit(stage, f"has another weight {value.name!r} than a stage before")
                    instead[value] = known
            for value in copy.graph.inputs:
                name = str(value.name)
                if value.is_initializer():
                    listed.add(name)
                elif name in values:
                    instead[value] = values[name]
                elif name in self.record.inputs:
                    instead[value] = inputs.setdefault(name, value)
                else:
                    raise self._misfit(stage, f"takes {name!r}, which no stage before gives")
            own = list(copy.graph)
            for node in own:
                read_instead(node, instead)
                for out in node.outputs:
                    if out.name in values or out.name in weights or out.name in inputs:
                        raise self._misfit(stage, f"makes {out.name!r}, which is there already")
            values |= {str(out.name): out for node in own for out in node.outputs if out.name}
            nodes += own
            copy.graph.outputs.clear()
            copy.graph.inputs.clear()
            copy.graph.remove(own)
            copy.graph.initializers.clear()
        ends = values | weights | inputs
        missing = [name for name in (*self.record.inputs, *self.record.outputs) if name not in ends]
        if missing:
            message = f"No stage of {str(self.folder)!r} has the value {missing[0]!r} of the whole model."
            raise HxError(message, code="HX312", hint="Split the model again.")
        order = {row.output: number for number, row in enumerate(self.whole.nodes) if not row.graph}
        if all(output_of(node) in order for node in nodes):
            nodes.sort(key=lambda node: order[output_of(node)])
        in_order = dict.fromkeys([*(row.name for row in self.whole.initializers), *weights])
        weights = {name: weights[name] for name in in_order if name in weights}
        given = {name: inputs[name] for name in self.record.inputs}
        given |= {name: weight for name, weight in weights.items() if name in listed}
        declared = (name for name in self.record.declared if name in given)
        graph = ir.Graph(
            [given[name] for name in dict.fromkeys([*declared, *given])],
            [ends[name] for name in self.record.outputs],
            nodes=nodes,
            initializers=list(weights.values()),
            opset_imports=dict(first.opset_imports),
            name=first.graph.name,
            doc_string=first.graph.doc_string,
            metadata_props=dict(first.graph.metadata_props),
        )
        return ir.Model(
            graph,
            ir_version=first.ir_version,
            producer_name=first.producer_name,
            producer_version=first.producer_version,
            domain=first.domain,
            model_version=first.model_version,
            doc_string=first.doc_string,
            functions=list(functions.values()),
            metadata_props={key: text for key, text in first.metadata_props.items() if key != EMBEDDED},
        )

    def _sidecar(self) -> Sidecar:
        """Return the sidecar that the whole model had where it is that model; else that of the stages together."""
        if graph_digest(self.model) == self.whole.model.graph_digest:
            graph = self.model.graph  # without the weights that nothing reads: no stage has them
            there = {*graph.initializers, *(value.name for value in graph.inputs)}
            weights = [row for row in self.whole.initializers if row.name in there]
            return self.whole.model_copy(update={"initializers": weights})
        rows = {(self.whole.module_of(call).fqn, call.index): row for row, call in enumerate(self.whole.calls)}
        known = {stage.name: {row.key: row for row in stage.sidecar.nodes} for stage in self.stages}
        given: dict[ir.Node, Node] = {}
        for _, node in all_nodes(self.model):
            stage, key = self._rows[node]
            row = known[stage.name][key]
            call = stage.sidecar.calls[row.owner]
            owner = rows.get((stage.sidecar.module_of(call).fqn, call.index))
            if owner is None:
                raise self._misfit(stage, f"has a call {stage.sidecar.tag(call)!r}, which the whole model has not")
            given[node] = row.model_copy(update={"owner": owner, "covers": []})
        # With a stage that `project` gave its sidecar it is no export: a weight may have a parameter's name and other numbers.
        makers = [self.whole.generator, *(stage.sidecar.generator for stage in self.stages)]
        generator = next((maker for maker in makers if maker.strategy not in STRATEGIES), self.whole.generator)
        whole = self.whole.model_copy(update={"generator": generator})
        return edited_sidecar(self.model, whole, file=self.record.model, rows=given, editor="What changed a stage")

    def _misfit(self, stage: Hierarchy, what: str) -> HxError:
        hint = "Split the model again; a stage may be changed inside, not at its ends."
        return HxError(f"Stage {stage.name!r} {what}.", code="HX312", hint=hint)


def _equal(one: ir.TensorProtocol | None, other: ir.TensorProtocol | None) -> bool:
    if one is None or other is None:
        return one is other
    if isinstance(one, ir.ExternalTensor) and isinstance(other, ir.ExternalTensor):
        places = [(Path(each.path).resolve(), each.offset, each.length) for each in (one, other)]
        if places[0] == places[1]:
            return True
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and np.array_equal(np.frombuffer(one.tobytes(), np.uint8), np.frombuffer(other.tobytes(), np.uint8))
    )
