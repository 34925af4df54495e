"""A call that was cut out, as a model of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from hx_extractor._numbers import Validation, compare
from hx_extractor._save import save_model
from hx_graph import check_proto, example_record, make_session, run_session, without_weights
from hx_sidecar_schema import (
    HxError,
    Module,
    ModuleCall,
    Port,
    Sidecar,
    TensorInfo,
    UnavailableValue,
    check_choice,
    first_line,
    refuse_existing,
)

Weights = Literal["copy", "share", "none"]


class Parent(Protocol):
    """What an extraction needs of the `Hierarchy` that it was cut out of."""

    @property
    def sidecar(self) -> Sidecar: ...
    @property
    def folder(self) -> Path | None: ...
    def files(self) -> Iterator[Path]: ...
    def compute(self, names: Iterable[str]) -> dict[str, NDArray[np.generic]]: ...


@dataclass(frozen=True)
class Extraction:
    """One module call as a model of its own."""

    module: Module
    call: ModuleCall
    tag: str
    model: ir.Model
    """Weights refer to the parent's files; nothing is read before the model runs or is saved."""
    inputs: list[Port]
    """In `forward` order, implicit ones last; names are the model's input names."""
    outputs: list[Port]
    operations: list[str]
    """Outputs of the nodes of the exported model that are in the cut, in execution order."""
    external_inputs: list[str]
    """Values of the exported model that the inputs stand for."""
    internal_tensors: list[str]
    boundary_operations: list[str]
    """Those of `operations` that other modules own, and the nodes that feed the inputs."""
    recomputed: list[str]
    """Those of `operations` that other modules own, that compute from this call's inputs, and whose result its own
    nodes read: where one of them is wrong, this model is wrong too. Constants and sizes are not among them."""
    implicit_inputs: list[str]
    """Inputs that are no arguments of `forward`: reached through an attribute or closure."""
    origins: dict[str, str]
    """Values of the model's main graph, by name, with the values of the exported model that they stand for: inputs, weights,
    results of nodes, and sizes that are read from other tensors there."""
    sidecar: Sidecar
    parent: Parent

    def __repr__(self) -> str:
        """Return the tag, and what goes in and comes out."""
        ends = (", ".join(f"{p.name} {p.dtype}{p.shape}" for p in ports) for ports in (self.inputs, self.outputs))
        return f"<Extraction {self.tag}: {' -> '.join(ends)}>"

    def save(
        self,
        path: str | Path,
        *,
        weights: Weights = "copy",
        examples: bool | Mapping[str, NDArray[np.generic]] = False,
        overwrite: bool = False,
    ) -> list[Path]:
        """Write the model and its own small sidecar, all or nothing.

        Args:
            path: The ONNX file; the sidecar lies beside it.
            weights: `copy` writes them, `share` refers to the exported model's data file and copies nothing (in
                that file's own folder only), `none` makes them inputs: shapes without values.
            examples: Record what the call gets in the exported model for its recorded inputs, so that the part can be
                run and profiled by itself. The exported model runs for that, where it did not yet; what is not known is
                left out. Or what to record: arrays by port name, of the ports' dtypes and shapes.
            overwrite: Replace files that exist.

        Returns:
            The files written.

        Raises:
            HxError: HX402 if a file exists, HX408 if it is one of the exported model, HX306 if they cannot be written, HX210 if weights cannot be shared there,
                HX406 for an unknown way of writing weights.
        """
        check_choice("weights", weights, get_args(Weights))
        path = Path(path)
        written = path, path.with_name(f"{path.name}.data"), path.with_name(f"{path.stem}_hierarchy.json")
        refuse_existing(written, overwrite=overwrite, read=self.parent.files())
        sidecar = self._with_examples(None if examples is True else examples) if examples else self.sidecar
        return save_model(self.model, sidecar, path, weights, self.parent.folder)

    def _with_examples(self, arrays: Mapping[str, NDArray[np.generic]] | None) -> Sidecar:
        try:
            arrays = self.example_inputs() if arrays is None else arrays
        except HxError:  # a part without examples is whole: what runs it asks for its inputs
            return self.sidecar
        info, known = self.sidecar.model, {k: v for k, v in arrays.items() if not isinstance(v, list)}  # no sequences
        inputs = [
            row.model_copy(update={"example": example_record(known[row.name])}) if row.name in known else row
            for row in info.inputs
        ]
        return self.sidecar.model_copy(update={"model": info.model_copy(update={"inputs": inputs})})

    @cached_property
    def _session(self) -> Any:
        return make_session(self.model, self.parent.folder)

    def session(self, **options: Any) -> Any:
        """Return an `onnxruntime.InferenceSession` of the model; weights are mapped from the parent's files.

        Args:
            options: Attributes of `onnxruntime.SessionOptions`, and `providers`.
        """
        return make_session(self.model, self.parent.folder, **options) if options else self._session

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the model.

        Args:
            feeds: An array for every input, by port name.

        Returns:
            Outputs by port name.

        Raises:
            HxError: HX207 if an input is missing, unknown or does not fit.
        """
        return run_session(self._session, feeds)

    def example_inputs(self) -> dict[str, NDArray[np.generic]]:
        """Return what this call got in the exported model for the recorded inputs.

        Raises:
            HxError: HX206 where the exported model holds no value for an input.
        """
        computed = self.parent.compute(port.carrier for port in self.inputs if port.value or port.initializer)
        return {
            port.name: computed[port.carrier]
            if port.carrier in computed
            else _like(port, self.parent.sidecar.model.inputs)  # only its size matters
            for port in self.inputs
        }

    def validate(self) -> Validation:
        """Check the model and compare it with the exported model's own values for the recorded inputs.

        Raises:
            HxError: HX208 if the ONNX checker refuses the model.
        """
        try:
            check_proto(ir.serde.serialize_model(without_weights(self.model)))
        except onnx.checker.ValidationError as error:
            raise HxError(
                f"The ONNX checker refuses the model: {first_line(error)}",
                code="HX208",
                hint="Report this with the model's name and options: an extracted model must be valid.",
            ) from error
        actual = self.run(self.example_inputs())
        carriers = {port.name: port.value or port.initializer or "" for port in self.outputs}
        expected = self.parent.compute(carriers.values())
        return compare({name: expected[carrier] for name, carrier in carriers.items()}, actual)


def _like(port: Port, inputs: Sequence[TensorInfo]) -> NDArray[np.generic]:
    """Return zeros of a port's shape, with dynamic dimensions as the recorded inputs have them."""
    sizes: dict[str, int] = {}
    for info in inputs:
        if info.example is not None and info.shape:  # it has none where the rank is not known
            sizes |= {str(d): n for d, n in zip(info.shape, info.example.shape, strict=True)}
    missing = [dim for dim in port.shape if isinstance(dim, str) and dim not in sizes]
    if missing:
        message = f"The size {missing[0]!r} of port {port.name!r} cannot be told from the recorded inputs."
        raise UnavailableValue(message, hint="Give the inputs yourself with `run`.")
    shape = [dim if isinstance(dim, int) else sizes[dim] for dim in port.shape]
    return np.zeros(shape, ir.DataType[port.dtype].numpy())
