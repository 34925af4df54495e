"""An exported model with its sidecar, opened without reading weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from hx_extractor._transformed import check_descent, infer_types, value_types
from hx_extractor.cut.cut import Extraction, extract
from hx_extractor.cut.index import Parent
from hx_extractor.run.examples import example_array
from hx_extractor.run.session import run_model
from hx_sidecar_schema import (
    EMBEDDED,
    ForeignSidecar,
    HxError,
    Sidecar,
    collector_paused,
    find_calls,
    from_embedded,
    graph_digest,
)


class HierarchicalModel:
    """An ONNX model that knows which module call made every node.

    Weights stay in their files until something runs or is saved.

    Args:
        path: The ONNX file.
        sidecar: Of that file.
        model: Read from it.
        exported: Types of the values of the export that the model was made of; see `load_transformed`.
    """

    def __init__(
        self,
        path: Path,
        sidecar: Sidecar,
        model: ir.Model,
        *,
        exported: Mapping[str, ir.DataType] | None = None,
    ) -> None:
        self.path = path
        self.sidecar = sidecar
        self.model = model
        self._exported = exported
        self._computed: dict[str, NDArray[np.generic]] = {}

    @cached_property
    def _parent(self) -> Parent:
        return Parent(self.model, self.sidecar, self.path.parent, exported=self._exported)

    def calls(self, pattern: str | None = None) -> list[int]:
        """Return the rows of the calls that a pattern names; of all extractable calls without one.

        Raises:
            HxError: HX401 if nothing matches.
        """
        if pattern is not None:
            return find_calls(self.sidecar, pattern)
        return [row for row, call in enumerate(self.sidecar.calls) if call.status == "extractable"]

    def extract(self, call: int | str) -> Extraction:
        """Cut a call out as a model of its own.

        Args:
            call: A row of `sidecar.calls`, or a pattern; of several matches the first.

        Raises:
            HxError: HX205 if the call is not extractable, HX401 if nothing matches, HX201 if the file lacks a
                value that the sidecar names, HX212 if a transformed model has no such part any more.
        """
        row = self.calls(call)[0] if isinstance(call, str) else call
        return extract(self, self._parent, row)

    def example_inputs(self) -> dict[str, NDArray[np.generic]]:
        """Return the inputs that were recorded at export: exact where they were small, else alike."""
        return {info.name: example_array(info) for info in self.sidecar.model.inputs}

    def compute(self, names: Iterable[str]) -> dict[str, NDArray[np.generic]]:
        """Return values of this model for the recorded inputs, by ONNX Runtime; each is computed once.

        Args:
            names: Values of the model, recovered ones included. All that are asked for at once are held in
                memory together.

        Raises:
            HxError: HX201 for a value that is not in the model.
        """
        names = list(names)
        missing = [name for name in names if name not in self._computed]
        if missing:
            self._computed |= self.run(missing, self.example_inputs())
        return {name: self._computed[name] for name in names}

    def run(self, names: Iterable[str], inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.generic]]:
        """Run the model up to some of its values, in ONNX Runtime without optimisation; nothing is kept.

        Args:
            names: Values of the model, recovered ones included.
            inputs: An array for every input of the model, brought to the element type that it takes.

        Raises:
            HxError: HX201 for a value that is not in the model, HX207 if ONNX Runtime refuses model or inputs.
        """
        names = list(dict.fromkeys(names))
        model = self._parent.up_to(names)
        dtypes = {str(value.name): value.dtype for value in model.graph.inputs}
        feeds = {
            name: array.astype(dtype.numpy(), copy=False) if (dtype := dtypes[name]) else array
            for name, array in inputs.items()
            if name in dtypes
        }
        arrays = run_model(model, self.path.parent, feeds)
        return dict(zip(names, arrays.values(), strict=True))

    def holds(self, value: str) -> bool:
        """Say whether `run` can give a value: it is in the graph, or recovered from values that are."""
        return self._parent.holds(value)


def load(path: str | Path, sidecar: str | Path | None = None) -> HierarchicalModel:
    """Open an exported model and its sidecar.

    Args:
        path: The ONNX file.
        sidecar: Its sidecar; by default `NAME_hierarchy.json` beside it, else the one inside its metadata.

    Raises:
        HxError: HX202 if the file is missing or is no ONNX model, HX204 if external data is missing, cut short
            or outside the file's folder, HX203 if the sidecar belongs to another model, HX301 to HX304 if the sidecar
            cannot be read.
    """
    path = Path(path)
    model = read_model(path)
    beside = path.with_name(f"{path.stem}_hierarchy.json")
    inside = model.metadata_props.get(EMBEDDED)
    if sidecar is None and inside is not None and not beside.exists():
        known = from_embedded(inside, path)
    else:
        known = Sidecar.load(sidecar if sidecar is not None else beside)
    if graph_digest(model) != known.model.graph_digest:
        raise ForeignSidecar(
            f"Sidecar of {known.model.file!r} does not belong to {str(path)!r}: the graphs differ.",
            hint="Export the model again, so that both files are of one run.",
        )
    return HierarchicalModel(path, known, model)


def load_transformed(path: str | Path, original: str | Path) -> HierarchicalModel:
    """Open a model that was quantised, converted or optimised, with the sidecar of the export it was made of.

    Its calls begin and end at the same values, with the types that these have now. Where a value is gone, or more
    than one call lies between what is left, `extract` raises HX212.

    Args:
        path: The transformed ONNX file.
        original: The ONNX file that `hx export` wrote, with its sidecar beside it.

    Raises:
        HxError: As `load`, for either file; HX211 if the one was not made of the other.
    """
    path = Path(path)
    model = read_model(path)
    export = load(original)
    check_descent(model, export.sidecar, str(path))
    infer_types(model)
    return HierarchicalModel(path, export.sidecar, model, exported=value_types(export.model))


def read_model(path: Path) -> ir.Model:
    """Read an ONNX file; external weights are found but not read.

    Raises:
        HxError: HX202, HX204 as for `load`.
    """
    try:
        with collector_paused():
            model = ir.load(path)
        if len(model.graph) == 0 and not model.graph.outputs:
            raise ValueError("it holds no graph")
    except OSError as error:
        raise HxError(
            f"ONNX file {str(path)!r} cannot be read: {error.strerror or error}.",
            code="HX202",
            hint="Name a file that `hx export` wrote.",
        ) from error
    except Exception as error:
        # protobuf and onnx_ir raise many kinds for bytes that are no model.
        cause: BaseException = error
        while cause.__cause__ is not None:  # onnx_ir says what is wrong in the innermost
            cause = cause.__cause__
        reason = str(cause).splitlines()[0].rstrip(".") if str(cause) else type(cause).__name__
        raise HxError(
            f"File {str(path)!r} is no ONNX model: {reason}.",
            code="HX202",
            hint="Name a file that `hx export` wrote.",
        ) from error
    _check_external(model, path)
    return model


def _check_external(model: ir.Model, path: Path) -> None:
    sizes: dict[Path, int] = {}
    folder = path.parent.resolve()
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if not isinstance(tensor, ir.ExternalTensor):
            continue
        location = Path(tensor.location)
        if location.is_absolute() or ".." in location.parts:
            raise HxError(
                f"Weight {value.name!r} of {str(path)!r} lies in {str(location)!r}, outside the model's folder.",
                code="HX204",
                hint="Put the data file beside the model; hx reads no other place.",
            )
        data = folder / location
        if data not in sizes:
            sizes[data] = data.stat().st_size if data.is_file() else -1
        if sizes[data] < (tensor.offset or 0) + tensor.nbytes:
            state = "is missing" if sizes[data] < 0 else "is cut short"
            raise HxError(
                f"External data {str(location)!r} of {str(path)!r} {state}.",
                code="HX204",
                hint="Copy it beside the model, or export the model again.",
            )
