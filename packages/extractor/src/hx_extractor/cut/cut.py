"""Cutting one call out as a model that takes that module's own `forward()` arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from hx_extractor._save import save_model
from hx_extractor._transformed import check_cut, look_through_casts, transformed_ports
from hx_extractor.cut.builder import Rebuild
from hx_extractor.cut.index import Parent
from hx_extractor.cut.sidecar import cut_sidecar
from hx_extractor.cut.sizes import SizeReader
from hx_extractor.cut.source import Source
from hx_extractor.run.check import Validation, validate
from hx_extractor.run.examples import like
from hx_graph import example_record, is_size_query, make_session, run_session, shape_from
from hx_sidecar_schema import HxError, Module, ModuleCall, Port, Sidecar, check_choice

if TYPE_CHECKING:
    from hx_extractor._hierarchy import Hierarchy

Weights = Literal["copy", "share", "none"]


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
    sidecar: Sidecar
    parent: Hierarchy

    def __repr__(self) -> str:
        """Return the tag, and what goes in and comes out."""
        inputs, outputs = (
            ", ".join(f"{port.name} {port.dtype}{port.shape}" for port in ports)
            for ports in (self.inputs, self.outputs)
        )
        return f"<Extraction {self.tag}: {inputs} -> {outputs}>"

    def save(self, path: str | Path, *, weights: Weights = "copy", examples: bool = False) -> list[Path]:
        """Write the model and its own small sidecar, all or nothing.

        Args:
            path: The ONNX file; the sidecar lies beside it.
            weights: `copy` writes them, `share` refers to the exported model's data file and copies nothing (in
                that file's own folder only), `none` makes them inputs: shapes without values.
            examples: Record what the call gets in the exported model for its recorded inputs, so that the part can be
                run and profiled by itself. The exported model runs for that, where it did not yet; what is not known is
                left out.

        Returns:
            The files written.

        Raises:
            HxError: HX306 if they cannot be written, HX210 if weights cannot be shared there,
                HX406 for an unknown way of writing weights.
        """
        check_choice("weights", weights, get_args(Weights))
        sidecar = self._with_examples() if examples else self.sidecar
        return save_model(self.model, sidecar, Path(path), weights, self.parent.folder)

    def _with_examples(self) -> Sidecar:
        try:
            arrays = self.example_inputs()
        except HxError:  # a part without examples is whole: what runs it asks for its inputs
            return self.sidecar
        info = self.sidecar.model
        inputs = [
            row.model_copy(update={"example": example_record(arrays[row.name])})
            if row.name in arrays
            else row
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
            else like(port, self.parent.sidecar.model.inputs)  # only its size matters
            for port in self.inputs
        }

    def validate(self) -> Validation:
        """Check the model and compare it with the exported model's own values for the recorded inputs.

        Raises:
            HxError: HX208 if the ONNX checker refuses the model.
        """
        return validate(self)


def extract(parent_model: Hierarchy, parent: Parent, row: int) -> Extraction:
    """Cut the call at `row` out of the exported model. See `Hierarchy.extract`."""
    sidecar = parent.sidecar
    call = sidecar.calls[row]
    module, tag = sidecar.module_of(call), sidecar.tag(call)
    if call.status != "extractable":
        raise HxError(
            f"Call {tag!r} is {call.status}, not extractable: {call.reason}",
            code="HX205",
            hint="Extract the module around it; `hx tree` shows what is extractable.",
        )
    inputs = [port for port in call.inputs if not port.unused]
    outputs = [port for port in call.outputs if not port.unused]
    overrides = parent.recovered(call.recovered)
    if parent.transformed:
        inputs = transformed_ports(parent, inputs, overrides)
        outputs = transformed_ports(parent, outputs, overrides)
    rebuild = Rebuild(parent, overrides, taken={port.name for port in (*inputs, *outputs)})
    for port in inputs:
        rebuild.add_input(port.name, port.carrier, _dtype(port), shape_from(port.shape))
    if parent.transformed:
        look_through_casts(parent, rebuild, inputs)
    sizes = SizeReader(parent, rebuild, row, inputs, overrides)
    for port in outputs:
        sizes.prepare(port.carrier)
        rebuild.add_output(port.carrier, port.name, _dtype(port), shape_from(port.shape))
    if parent.transformed:
        check_cut(rebuild, inputs)
    model = rebuild.model()
    return _described(parent_model, parent, row, rebuild, model, inputs, outputs, module, call, tag)


def _described(
    parent_model: Hierarchy,
    parent: Parent,
    row: int,
    rebuild: Rebuild,
    model: ir.Model,
    inputs: list[Port],
    outputs: list[Port],
    module: Module,
    call: ModuleCall,
    tag: str,
) -> Extraction:
    end = parent.sidecar.subtree_end[row]

    def foreign(source: Source) -> bool:
        owner = parent.owner.get(_key(source))
        return owner is None or not row <= owner < end

    carriers = [port.carrier for port in inputs]
    feeding = [parent.source(name) for name in carriers if name in parent.values]
    made = [name for source in rebuild.sources for name in source.outputs if name]
    ends = {port.carrier for port in outputs}
    return Extraction(
        module=module,
        call=call,
        tag=tag,
        model=model,
        inputs=inputs,
        outputs=outputs,
        operations=[_key(source) for source in rebuild.sources],
        external_inputs=carriers,
        internal_tensors=[name for name in made if name not in ends],
        boundary_operations=list(
            dict.fromkeys(
                [_key(source) for source in rebuild.sources if foreign(source)]
                + [_key(source) for source in feeding if source is not None]
            )
        ),
        recomputed=_recomputed(parent, row, rebuild, carriers),
        implicit_inputs=[port.name for port in inputs if port.implicit],
        sidecar=cut_sidecar(parent.sidecar, row, rebuild, model),
        parent=parent_model,
    )


def _recomputed(parent: Parent, row: int, rebuild: Rebuild, carriers: Sequence[str]) -> list[str]:
    computed = set(carriers)
    foreign: dict[str, str] = {}
    read_inside: set[str] = set()
    for source in rebuild.sources:
        key = _key(source)
        owner = parent.owner.get(key)  # a node that a transformation made has none
        is_foreign = owner is not None and not row <= owner < parent.sidecar.subtree_end[row]
        is_size = is_size_query(source.node)
        if not is_foreign:
            read_inside.update(source.reads)
        if not is_size and not computed.isdisjoint(source.reads):
            outputs = [name for name in source.outputs if name]
            computed.update(outputs)
            if is_foreign:
                foreign.update(dict.fromkeys(outputs, key))
    return list(dict.fromkeys(key for name, key in foreign.items() if name in read_inside))


def _key(source: Source) -> str:
    return next((name for name in source.outputs if name), "")


def _dtype(port: Port) -> ir.DataType | None:
    return None if port.dtype == "UNDEFINED" else ir.DataType[port.dtype]
