"""A part with the weights of safetensors files in place of those that its model has, by the names of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import onnx_ir as ir

from hx_extractor._extraction import Extraction
from hx_graph import StoredTensor, is_unwritten, stored_tensors, tensors_in
from hx_sidecar_schema import STRATEGIES, HxError, Initializer, Sidecar

_SELF_CONTAINED_BYTES = 2
"""A number in fewer is a weight's only with a scale, which has a name that each quantiser chooses."""
_WHOLE = "Export the model with weights as they are when it is trained: with the files', or with random ones that are not 0 or 1."
_ANOTHER = (
    "Export it again where they have other numbers: `--random-weights` draws the parameters of a Hub id or folder, "
    "and a factory has to draw its own."
)
_TIED = "Export a model that has them as two weights."
_NAMES = "Export the model as the class that was saved."
_SHARDS = "Name the folder, where other shards lie in it. Else export the model as the class that was saved."


class StoredWeights:
    """Tensors of safetensors files, as weights of parts of one exported model.

    Args:
        place: A file, or a folder with its shards.
        sidecar: Of the model.

    Raises:
        HxError: HX219 if files cannot be read, HX218 if no parameter's name, or more than one way of naming them, is there, or
            if the model is not as it was exported by dynamo: a tool may have put other weights under the names of parameters.
    """

    def __init__(self, place: Path, sidecar: Sidecar) -> None:
        """Read the headers of the files."""
        self._place = place
        if sidecar.is_relinked or sidecar.generator.strategy not in STRATEGIES:
            what = (
                "cannot stand for those of a file that another tool wrote: what it made of a weight may have its name"
            )
            self._refuse(what, "Extract from the file that `hx export` wrote.")
        if STRATEGIES[sidecar.generator.strategy].exporter == "torchscript":
            what = "cannot stand for those of a TorchScript export, which does not tell what it merged or computed with"
            self._refuse(what, "Export the model with the strategy 'dynamo'.")
        self._tensors = stored_tensors(place)
        self._rows = {row.name: row for row in sidecar.initializers}
        self._parameters = {
            f"{module.fqn}.{name}".removeprefix(".") for module in sidecar.modules for name in module.direct_parameters
        }
        tied = {name for row in sidecar.initializers for name in (row.parameter, *row.aliases) if name}
        self._names = sidecar.stored_names
        self._prefix, self._added = self._naming(self._parameters | tied | {*self._names.values()})

    def fill(self, extraction: Extraction) -> Extraction:
        """Return a part, which is changed, with the stored weights, mapped; what is no weight of the files stays: constants, tables made at the start.

        Raises:
            HxError: HX218 for a weight that the files do not have, in another shape or with another type, or that the exporter
                computed of several or in other ways than by a transposition.
        """
        graph = extraction.model.graph
        missing: list[str] = []
        computed: list[str] = []
        tensors: dict[str, ir.TensorProtocol] = {}
        for name, value in graph.initializers.items():
            row = self._rows.get(extraction.origins.get(name, name))
            assert value.const_value is not None
            if row is None or (row.parameter is None and row.transform is None):
                computed += [name] if value.const_value.dtype.is_floating_point() else []
            elif row.transform == "folded" or (row.transform and not row.permutation):
                known = row.sources is not None and not any(map(self._is_stored, row.sources))
                computed += [] if known else [f"{name} of {', '.join(row.sources or ()) or 'what is not known'}"]
            elif row.parameter is not None and (found := self._found(row)) is not None:
                tensors[name] = self._tensor(row, found, value.const_value)
            elif row.parameter in self._parameters or row.unmade:
                missing.append(str(row.parameter))
        for node in graph:  # a small weight whose reader was recovered is written as a constant
            origin = extraction.origins.get(str(node.outputs[0].name), "")
            computed += [origin] if node.op_type == "Constant" and self._is_stored(origin) else []
        if missing:
            self._refuse(
                f"lack {len(missing)} of the weights of {extraction.tag!r}: {_few(missing)}",
                _NAMES if self._place.is_dir() else _SHARDS,
            )
        if computed:
            what = f"cannot stand for what the exporter computed in {extraction.tag!r}: {_few(computed)}"
            self._refuse(
                what, "Extract a module that reads its weights as they are, or export the model with its weights."
            )
        modules = extraction.sidecar.modules
        dropped = [f"{module.fqn}.{name}".removeprefix(".") for module in modules for name in module.dropped]
        if gone := [name for name in dropped if self._is_stored(name)]:
            self._refuse(
                f"have {_few(gone)}, which the exporter left out of {extraction.tag!r} for its numbers, such as zeros",
                _WHOLE,
            )
        for name, tensor in tensors.items():
            graph.initializers[name].const_value = tensor
        if left := [slot.name for slot in tensors_in(extraction.model) if is_unwritten(slot.tensor)]:
            self._refuse(f"lack what {extraction.tag!r} reads: {_few(left)}", _NAMES)
        rows = [row.model_copy(update={"unmade": False}) for row in extraction.sidecar.initializers]
        return replace(extraction, sidecar=extraction.sidecar.model_copy(update={"initializers": rows}))

    def _naming(self, parameters: Iterable[str]) -> tuple[str, bool]:
        """Return what is before the parameters' names in the files, or, if not added, before the files' in the parameters.

        So a checkpoint of a model with a head names its base model.
        """
        names = set(parameters)
        ways: set[tuple[str, bool]] = {("", True)}
        ends = {name.rpartition(".")[2] for name in names}
        for stored in self._tensors:
            parts = stored.split(".")
            if parts[-1] in ends:
                ways |= {
                    (f"{'.'.join(parts[:n])}.", True) for n in range(1, len(parts)) if ".".join(parts[n:]) in names
                }
        for name in names:
            parts = name.split(".")
            starts = (".".join(parts[n:]) for n in range(1, len(parts)))
            ways |= {(name.removesuffix(rest), False) for rest in starts if rest in self._tensors}
        count = {way: sum(_stored_name(name, *way) in self._tensors for name in names) for way in ways}
        best = max(count.values())
        chosen = [way for way in ways if count[way] == best]
        if not best:
            self._refuse(f"have no weight that the model names, such as {_few(sorted(names)[:3])}", _NAMES)
        if len(chosen) > 1:
            prefixes = ", ".join(sorted(repr(prefix) for prefix, _ in chosen))
            self._refuse(f"have the model's weights in more than one place: below {prefixes}", _NAMES)
        return chosen[0]

    def _stored(self, name: str) -> StoredTensor | None:
        names = (_stored_name(one, self._prefix, self._added) for one in (self._names.get(name, name), name))
        return next((self._tensors[one] for one in names if one in self._tensors), None)

    def _is_stored(self, name: str) -> bool:
        return name in self._parameters or self._stored(name) is not None

    def _found(self, row: Initializer) -> StoredTensor | None:
        """Return the tensor of a parameter; where others are one with it, all that are there must have the same numbers."""
        tied = {name: one for name in (str(row.parameter), *row.aliases) if (one := self._stored(name)) is not None}
        if not tied:
            return None
        (name, found), *others = tied.items()
        for other, tensor in others:
            if not found.equals(tensor):
                self._refuse(f"have other numbers for {name!r} and {other!r}, which are tied in the model", _TIED)
        for other in row.merged:
            tensor = self._stored(other)
            if tensor is None or not found.equals(tensor):
                self._refuse(
                    f"have other numbers for {row.parameter!r} and {other!r}, which were equal when the model was exported, "
                    "and are one weight in it",
                    _ANOTHER,
                )
        return found

    def _tensor(self, row: Initializer, stored: StoredTensor, old: ir.TensorProtocol) -> ir.TensorProtocol:
        """Return a stored tensor in the layout and type of the weight that it stands for; types are widened only."""
        order = row.permutation or [*range(len(stored.shape))]
        shape = tuple(old.shape.numpy())
        if len(order) != len(stored.shape) or tuple(stored.shape[axis] for axis in order) != shape:
            expected = [size for _, size in sorted(zip(order, shape, strict=False))]
            what = f"have {row.parameter!r} in the shape {list(stored.shape)}, and the model in {expected}"
            self._refuse(what, "Name the weights of this model, or export it from their configuration.")
        if stored.dtype == old.dtype:
            return ir.Tensor(stored.array().transpose(order), name=old.name)
        if stored.dtype.itemsize < _SELF_CONTAINED_BYTES:
            what = f"have {row.parameter!r} in {stored.dtype.name}, which is quantised: its scale is elsewhere"
            self._refuse(what, "Convert the weights to the type of the model.")
        floats = stored.dtype.is_floating_point() and old.dtype.is_floating_point()
        if not floats or not np.can_cast(stored.dtype.numpy(), old.dtype.numpy(), "safe"):
            what = f"have {row.parameter!r} in {stored.dtype.name}, of which {old.dtype.name}, the model's, cannot hold all numbers"
            self._refuse(what, "Export the model with the `--dtype` of the weights, or a wider one.")
        wide = old.dtype.numpy()
        return ir.LazyTensor(
            lambda: ir.Tensor(stored.array().transpose(order).astype(wide)),
            dtype=old.dtype,
            shape=ir.Shape(shape),
            name=old.name,
        )

    def _refuse(self, what: str, hint: str) -> NoReturn:
        raise HxError(f"The weights in {str(self._place)!r} {what}.", code="HX218", hint=hint, argument="weights_from")


def _stored_name(name: str, prefix: str, added: bool) -> str | None:
    if added:
        return prefix + name
    return name.removeprefix(prefix) if name.startswith(prefix) else None


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
