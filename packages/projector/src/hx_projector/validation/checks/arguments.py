"""Whether ports are the arguments that `forward()` takes, and the root's are the model's inputs and outputs."""

from collections.abc import Iterator, Sequence, Set

import onnx_ir as ir

from hx_projector.validation.findings import Problem
from hx_projector.validation.pair import ModelAndSidecar, listed
from hx_sidecar_schema import Port


def arguments(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that a call's inputs go by names of arguments, and that it was given each argument without a default (V26).

    What a call was given beside tensors is recorded of calls that PyTorch ran, and of no others.
    """
    for row, call in enumerate(pair.sidecar.calls):
        module = pair.sidecar.modules[call.module]
        if implicit := [port.name for port in call.outputs if port.implicit]:
            text = f"What forward() returns is not implicit, as its output {listed(implicit)} is said to be."
            yield "V26", pair.call_name(row), text
        if call.constants is None or call.status == "not_called" or not module.forward_args:
            continue
        named = [port.name for port in call.inputs if not port.implicit]
        given = {name.partition(".")[0] for name in (*named, *call.constants)}
        required = set(module.forward_args) - module.forward_defaults.keys()
        takes_any = any(default == {} for default in module.forward_defaults.values())  # as `**kwargs` does
        unknown = sorted({name.partition(".")[0] for name in named} - {*module.forward_args})
        if unknown and not takes_any:
            yield "V26", pair.call_name(row), f"forward() takes no {listed(unknown)}, which is among its inputs."
        if missing := sorted(required - given):
            yield "V26", pair.call_name(row), f"forward() takes {listed(missing)}, which is not among its inputs."


def root_ports(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that the root's ports are the inputs and outputs of the model, in their order (V27).

    Not of a model that a tool made of another: tools add, drop and sort inputs and outputs.
    """
    sidecar = pair.sidecar
    if not sidecar.calls or sidecar.calls[0].status != "extractable" or sidecar.is_relinked:
        return
    graph, root = pair.model.graph, sidecar.calls[0]
    inputs = [str(value.name) for value in graph.inputs]
    handed_out = [port for port in root.outputs if not port.unused]
    carriers = {port.carrier for port in handed_out}
    outputs = [_source(value, carriers) for value in graph.outputs]
    if carriers != set(outputs):
        names = listed(sorted(carriers))
        yield "V27", pair.call_name(0), f"The model has the outputs {listed(outputs)}; the root has {names}."
    yield from _order(pair, [port for port in handed_out if port.carrier in outputs], outputs)
    yield from _order(pair, [port for port in root.inputs if port.carrier in inputs and not port.unused], inputs)


def _source(output: ir.Value, carriers: Set[str]) -> str:
    """Return what an output of the model is a copy of, as exporters (torch 2.13) copy a value that is handed out twice."""
    source = output
    while source.name not in carriers and (node := source.producer()) is not None and node.op_type == "Identity":
        if (copied := node.inputs[0]) is None:
            break
        source = copied
    return str(source.name if source.name in carriers else output.name)


def _order(pair: ModelAndSidecar, ports: Sequence[Port], values: Sequence[str]) -> Iterator[Problem]:
    """Yield where ports stand in another order than the values that carry them, and do not go by these values' names."""
    carriers = [port.carrier for port in ports]
    if len(carriers) != len(values):  # tools and exporters leave values out, or hand one out twice
        carriers = list(dict.fromkeys(carriers))
        values = sorted(carriers, key=values.index)
    if carriers != [*values] and any(port.name != port.carrier for port in ports):
        names = ", ".join(f"{port.name!r} is {port.carrier!r}" for port in ports)
        yield "V27", pair.call_name(0), f"The model has {listed(values)} in this order; of its ports {names}."
