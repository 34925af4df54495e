"""The export without hx: what `torch.onnx.export` makes of the same module in the same settings, nothing watched."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Unpack

import onnx_ir as ir
import torch

from hx_sidecar_schema import STRATEGIES, Strategy
from hx_tracer.exporting.dynamo import run_dynamo
from hx_tracer.exporting.errors import export_error
from hx_tracer.exporting.request import ExportOptions, ExportRequest
from hx_tracer.exporting.torchscript import run_torchscript
from hx_tracer.watch.preserve import preserve_state
from hx_tracer.watch.uncompiled import set_eval_mode


def plain_export(
    module: torch.nn.Module,
    kwargs: Mapping[str, Any],
    *,
    strategy: Strategy = STRATEGIES["dynamo"],
    gradients: bool = True,
    report_folder: Path | None = None,
    **options: Unpack[ExportOptions],
) -> ir.Model:
    """Export a module with `torch.onnx.export` alone.

    Args:
        module: Exported in the mode that it is in. Its training flags, buffers and attributes are as before afterwards.
        kwargs: Example inputs by the names of `forward`; tensors may be nested.
        strategy: Only its exporter counts.
        gradients: Whether gradients are on; if not, it runs under `torch.no_grad()`.
        report_folder: Where the exporter writes its own report, as Markdown; TorchScript's writes none.
        options: `args`, `axes`, `dynamic_shapes`, `input_names`, `output_names` and `opset` of `ExportRequest`.

    Returns:
        The model; weights are the module's own tensors, not copied. TorchScript takes inputs by position only: so does
        `forward` while it runs.

    Raises:
        ExportError: HX120 if the exporter refuses the model.
        HxError: HX112 if both `axes` and `dynamic_shapes` are given.
    """
    request = ExportRequest(module, kwargs, **options)
    report, folder = report_folder is not None, str(report_folder or ".")
    try:
        with preserve_state(module), nullcontext() if gradients else torch.no_grad():
            if strategy.exporter == "dynamo":
                return run_dynamo(request, report=report, artifacts_dir=folder).model
            set_eval_mode(module)
            return run_torchscript(request)
    except Exception as error:
        raise export_error(error, module, {}) from error
