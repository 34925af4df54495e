"""Exports whose weights stay where they are: in the safetensors files of the folder that the model is loaded from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hx._models import ModelSpec
from hx.text import size
from hx_sidecar_schema import HxError, Strategy

if TYPE_CHECKING:
    import onnx_ir as ir


def check_in_place(spec: ModelSpec, target: Path | None, strategies: Sequence[Strategy]) -> None:
    """Stop before any work where weights cannot stay where they are.

    onnx_ir and ONNX Runtime read external data from the model's own folder and below, through no link that leads elsewhere.

    Raises:
        HxError: HX130 if the model is no local folder, is to be written elsewhere, has random weights, or is
            exported by TorchScript; HX219 if the folder
            holds no safetensors; HX204 if its files are links, or have other names.
    """
    from hx_graph import size_inside, stored_tensors

    if all(strategy.exporter != "dynamo" for strategy in strategies):
        raise HxError(
            f"No weight would stay where it is: strategy {strategies[0].name!r} uses the TorchScript exporter, which copies all.",
            code="HX130",
            hint="Copy the weights, or take strategy 'dynamo'.",
            argument="strategy",
        )
    if spec.random_weights:
        raise HxError(
            f"Random weights of {spec.name!r} lie in no files, so they cannot stay where they are.",
            code="HX130",
            hint="Take the weights of the folder, without random ones; or copy them.",
            argument="weights",
        )
    if not isinstance(spec.model, str) or not Path(spec.model).is_dir():
        raise HxError(
            f"The weights of {spec.name!r} lie in no local folder, so they cannot stay where they are.",
            code="HX130",
            hint="Name a folder that `save_pretrained` wrote, or copy the weights.",
            argument="weights",
        )
    folder = Path(spec.model).resolve()
    above = None if target is None else target.parent.resolve()
    if above is None or not folder.is_relative_to(above):
        where = "in memory" if target is None else f"in {str(target.parent)!r}"
        raise HxError(
            f"Weights in {spec.model!r} cannot be referred to by a model {where}: external data lies in a model's own folder or below.",
            code="HX130",
            hint=f"Write the model to {str(Path(spec.model) / f'{folder.name}.onnx')!r}, or copy the weights.",
            argument="f",
        )
    for file in {tensor.path for tensor in stored_tensors(Path(spec.model)).values()}:
        location = (folder / file.name).relative_to(above)
        size_inside(above, str(location), f"Data file {str(file)!r}")


def placement(model: ir.Model) -> str:
    """Return a note on how many bytes of weights lie in files, and how many are written beside the model."""
    import onnx_ir as ir

    kept = written = 0
    for value in model.graph.initializers.values():
        if (tensor := value.const_value) is not None:
            kept += tensor.nbytes if isinstance(tensor, ir.ExternalTensor) else 0
            written += 0 if isinstance(tensor, ir.ExternalTensor) else tensor.nbytes
    return (
        f"Weights of {size(kept)} stay in the files of the folder; {size(written)}, which the exporter transposed or "
        "computed, or which were converted or put together when the model was loaded, are written with the model."
    )
