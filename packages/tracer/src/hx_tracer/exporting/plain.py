"""What an exporter makes of a module by itself, in the settings of an export: nothing of hx watches."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import torch
from torch.utils import _pytree as pytree

from hx_sidecar_schema import STRATEGIES, Strategy
from hx_tracer.exporting.errors import refused
from hx_tracer.exporting.request import Job
from hx_tracer.exporting.torchscript import axes_that_hold, graph_names, silent_about_graphs
from hx_tracer.inputs.dynamic_axes import Axes, dynamic_shapes
from hx_tracer.watch.ports import output_ports
from hx_tracer.watch.preserve import unchanged


def plain_export(
    module: torch.nn.Module,
    kwargs: Mapping[str, Any],
    *,
    args: tuple[Any, ...] = (),
    axes: Mapping[str, Axes] | None = None,
    opset: int | None = None,
    strategy: Strategy = STRATEGIES["dynamo"],
    gradients: bool = True,
    report_folder: Path | None = None,
) -> ir.Model:
    """Export a module with `torch.onnx.export` alone.

    Args:
        module: In eval mode.
        kwargs: Example inputs by the names of `forward`; tensors may be nested.
        args: Values for a `forward` with variable positional arguments.
        axes: Dynamic axes and their symbols by input path; none means static.
        opset: ONNX opset version; None is the exporter's default.
        strategy: Only its exporter counts.
        gradients: Off: under `torch.no_grad()`.
        report_folder: Where the exporter writes its own report, as Markdown. TorchScript's has none.

    Returns:
        The model; weights are the module's own tensors, not copied. TorchScript takes inputs by position only, so a
        module of ours around this one gives them their names there: it makes no node.

    Raises:
        ExportError: HX120 if the exporter refuses the model.
    """
    job = Job(module, args, kwargs, axes or {}, opset, "default", None, [])
    run = EXPORTERS[strategy.exporter]
    try:
        with unchanged(module), contextlib.nullcontext() if gradients else torch.no_grad():
            return run(job, report_folder)
    except Exception as error:
        raise refused(error, {}) from error


def _dynamo(job: Job, report_folder: Path | None) -> ir.Model:
    program = torch.onnx.export(
        job.module,
        job.args,
        kwargs=dict(job.kwargs),
        dynamo=True,
        verbose=False,
        opset_version=job.opset,
        dynamic_shapes=dynamic_shapes(job.kwargs, job.axes),
        report=report_folder is not None,
        artifacts_dir=str(report_folder or "."),
    )
    assert program is not None
    return program.model


class _ByPosition(torch.nn.Module):
    """Takes the tensors among a module's inputs by position, returns those among its results."""

    def __init__(self, module: torch.nn.Module, leaves: list[Any], spec: pytree.TreeSpec) -> None:
        super().__init__()
        self.module = module
        self.leaves = leaves
        self.spec = spec

    def forward(self, *tensors: Any) -> Any:
        given = iter(tensors)
        leaves = [next(given) if isinstance(leaf, torch.Tensor) else leaf for leaf in self.leaves]
        args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        return tuple(tensor for _, tensor in output_ports(self.module(*args, **kwargs), ()))


def _torchscript(job: Job, report_folder: Path | None) -> ir.Model:
    del report_folder
    leaves, spec = pytree.tree_flatten((job.args, dict(job.kwargs)))
    places = [index for index, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
    tensors = [leaves[place] for place in places]
    with torch.no_grad():
        result = job.module(*job.args, **job.kwargs)
    names, outputs = graph_names(job.module, job.args, job.kwargs, result, tensors)
    with tempfile.TemporaryDirectory() as folder, silent_about_graphs():
        path, typed = Path(folder) / "model.onnx", Path(folder) / "typed.onnx"
        torch.onnx.export(
            _ByPosition(job.module, leaves, spec).eval(),
            tuple(tensor.clone() for tensor in tensors),
            str(path),
            dynamo=False,
            input_names=names,
            output_names=outputs,
            dynamic_axes=axes_that_hold(job, tensors, names, leaves, spec, places),
            opset_version=job.opset,
        )
        onnx.shape_inference.infer_shapes_path(path, typed, data_prop=True)
        model = ir.load(typed)
        ir.external_data.load_to_model(model)
    return model


EXPORTERS: dict[str, Callable[[Job, Path | None], ir.Model]] = {
    "dynamo": _dynamo,
    "torchscript": _torchscript,
}
