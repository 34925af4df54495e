"""The entry to the witness: nodes that compute the same tensor as an operation of PyTorch, and the calls that made them.

Nodes and operations do not correspond one to one: one node may stand for several operations (a convolution with the
normalisation behind it), several nodes for one (a product and a sum for a linear layer). So from a matched node one goes
back on both sides, to the next tensors that both have: the operations passed are what the nodes passed compute.

A value decides by itself only if it is distinctive: it depends on the numbers of an input and takes more than two of
them, and the operations that are equal to it are of one call. All other nodes are told by their readers (`readers`).
"""

from collections.abc import Mapping

import onnx_ir as ir

from hx_graph import CallTree, nested_graphs, nodes_below, output_of
from hx_projector._claims import Claim
from hx_projector._graph_index import grouped
from hx_projector.witness.fingerprints import SINGLE_TOLERANCE, Array
from hx_projector.witness.graph_run import GraphRun
from hx_projector.witness.observation import MatchedObservation
from hx_projector.witness.ports import PortFinder, claims_between_ports
from hx_projector.witness.readers import ReaderInference
from hx_sidecar_schema import ModuleContext, Observation


def claim_by_witness(
    model: ir.Model, context: ModuleContext, observation: Observation, feeds: Mapping[str, Array]
) -> tuple[ModuleContext, dict[str, Claim]]:
    """Claim nodes, and find the ports of calls, by tensors that are equal in a PyTorch run and in a run of the graph.

    Tensors of one single number, masks of ones, and values that several calls computed alike decide nothing. The context
    gets the calls of merged nodes, and the ports that were found, where it says of no port which value carries it. Of the
    claims about a node those of high confidence by its own value or its readers count, else those by the ports around it,
    else those of medium confidence. Errors are those of `GraphRun`.
    """
    tree, calls = CallTree(context.calls), context.calls
    matches = ValueMatches(model, observation, feeds, tree)
    context = matches.with_merged(context)
    if not any(port.value for call in calls for port in (*call.inputs, *call.outputs)):
        finder = PortFinder(matches.run, context, tree, matches.certain(), observation.ports)
        inside = _calls_in_bodies(model.graph, context, tree)
        calls = [call if row in inside else finder.with_carriers(row, call) for row, call in enumerate(calls)]
    claims = {**matches.claims, **claims_between_ports(matches.run.index, calls, tree, matches.ambiguous)}
    claims.update((key, claim) for key, claim in matches.claims.items() if claim.confidence == "high")
    return context.model_copy(update={"calls": calls}), claims


class ValueMatches:
    """Claims about nodes, by the values that they produce; nodes go by their first outputs."""

    def __init__(
        self,
        model: ir.Model,
        observation: Observation,
        feeds: Mapping[str, Array],
        tree: CallTree,
        *,
        tolerance: float = SINGLE_TOLERANCE,
    ) -> None:
        """Run a graph, as `GraphRun` does, on the inputs of a run in PyTorch, and match it with what was observed there."""
        tensors = [tensor.value for tensor in (*observation.operations, *observation.ports)]
        self.run = GraphRun(model, feeds, tensors, tolerance=tolerance)
        self._tree = tree
        self._observed = MatchedObservation(observation, self.run)
        self._matched = self._find_matched()
        self.ambiguous: set[str] = set()
        """Nodes that several calls may have made, or that are claimed by their readers alone."""
        self.claims = self._find_claims()
        """Of high confidence where one call alone can have made the node. Of medium confidence where some calls may have
        made it, for their common call."""

    def certain(self) -> dict[str, int]:
        """Return the nodes that one call alone can have made, with that call."""
        return {key: claim.owner for key, claim in self.claims.items() if claim.confidence == "high"}

    def with_merged(self, context: ModuleContext) -> ModuleContext:
        """Return a context whose `origins` have all calls of merged nodes: the exporter named one, the values tell others."""
        origins, unsure, certain = dict(context.origins), set(context.unsure_nodes), self.certain()
        for key, rows in context.origins.items():
            if key not in certain:
                continue
            spanned = self.spanned_calls(key)
            if key in unsure:
                origins[key] = sorted({rows[0], *spanned})
            elif len(spanned) > 1 and spanned.issuperset(rows):
                origins[key] = sorted(spanned)
        return context.model_copy(update={"origins": origins, "unsure_nodes": sorted(unsure - certain.keys())})

    def spanned_calls(self, key: str) -> set[int]:
        """Return the calls of the operations that a matched node stands for; none for a node that matches none."""
        return self._observed.spanned_calls(self._matched[key]) if key in self._matched else set()

    def _find_matched(self) -> dict[str, list[int]]:
        """Return nodes with the tensors that they compute, where all of these are of one call."""
        index, observed = self.run.index, self._observed
        # What a node with bodies returns was made in one of them, by whichever call ran there.
        with_bodies = {key for key, node in index.nodes.items() if any(nested_graphs(node))}
        found = grouped(
            (index.producer[name], tensor)
            for tensor, operation in enumerate(observed.operations)
            if operation.call is not None and not operation.value.constant
            for name in observed.equal_values[tensor]
            if name in index.producer and not observed.is_copy(index.operands_of(name), [tensor])
        )
        return {key: made for key, made in found.items() if len(observed.calls(made)) == 1 and key not in with_bodies}

    def _find_claims(self) -> dict[str, Claim]:
        distinctive = {key: tensors for key, tensors in self._matched.items() if self._is_distinctive(key, tensors)}
        origins = ReaderInference(self.run, self._observed, distinctive).origins
        claims: dict[str, Claim] = {}
        for key, origin in origins.items():
            calls = self.spanned_calls(key) if key in self._matched else origin.candidates
            if key in distinctive:
                # Where nodes above compute what PyTorch holds in another form, some of the operations are theirs.
                certain = len(calls) == 1 or not any(map(self._is_intermediate, self.run.index.reads[key]))
            else:
                certain = origin.certain and len(calls) == 1 and calls == origin.candidates
            if certain:
                claims[key] = Claim(self._tree.common(calls), "high")
            elif calls:
                if key not in self._matched or len(calls) > 1:
                    self.ambiguous.add(key)
                if key in self._matched or self._is_intermediate(key):
                    claims[key] = Claim(self._tree.common(calls), "medium")
        return claims

    def _is_distinctive(self, key: str, tensors: list[int]) -> bool:
        """Say whether a value can be equal by more than chance: masks of two numbers and ranges look like many others."""
        samples = (self._observed.operations[tensor].value.sample for tensor in tensors)
        return key in self.run.index.data and any(len(set(sample)) > 2 for sample in samples)

    def _is_intermediate(self, name: str) -> bool:
        """Say whether a node's value depends on the numbers of an input and PyTorch has no equal tensor."""
        index = self.run.index
        return name in index.producer and name in index.data and name not in self._observed.values


def _calls_in_bodies(graph: ir.Graph, context: ModuleContext, tree: CallTree) -> set[int]:
    """Return the calls that weights show to have run in a body, inside the call that ran the node with the body.

    Values of the main graph that are equal to theirs are others. The call around is that of the node, else the one that all
    modules in its bodies have in common.
    """
    called = {call.module: row for row, call in reversed(list(enumerate(context.calls)))}
    module_rows = {module.fqn: row for row, module in enumerate(context.modules)}
    callers: dict[str, int] = {}
    """Of a weight: the first call of its module, or of the innermost module around that was called."""
    for weight in context.initializers:
        module = module_rows.get(weight.parameter.rpartition(".")[0]) if weight.parameter else None
        while module is not None and module not in called:
            module = context.modules[module].parent
        if module is not None:
            callers[weight.name] = called[module]
    inside: set[int] = set()
    for node in graph:
        read = (value.name for _, inner in nodes_below(node) for value in inner.inputs if value is not None)
        rows = {callers[name] for name in read if name in callers}
        if rows:
            around = tree.common(context.origins.get(output_of(node), rows))
            inside |= {row for row in rows if row != around and tree.contains(around, row)}
    return inside
