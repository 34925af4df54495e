"""One run of a graph in ONNX Runtime, kept as a fingerprint of every value of the main graph."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import onnx_ir as ir

from hx_graph import open_session
from hx_projector._graph_index import GraphIndex
from hx_projector.witness.fingerprints import SINGLE_TOLERANCE, Array, FingerprintIndex, fingerprint, is_identical
from hx_sidecar_schema import Fingerprint, HxError, ModelDoesNotRun

FETCHED_PER_RUN = 512
"""Values that one run of the session returns: bounds the memory, and costs a run for every so many."""


class GraphRun:
    """Fingerprints of the values of a main graph; values of bodies and functions have none."""

    def __init__(self, model: ir.Model, feeds: Mapping[str, Array], *, tolerance: float = SINGLE_TOLERANCE) -> None:
        """Run a model.

        Args:
            model: Not changed.
            feeds: Its inputs, by name.
            tolerance: How far apart equal floating-point tensors of single precision and better may be, in units of
                the largest magnitude.

        Raises:
            HxError: HX121 if ONNX Runtime cannot run the model, HX209 if it is not installed.
        """
        self.graph = GraphIndex(model)
        self.fingerprints: dict[str, Fingerprint] = {}
        for value in model.graph.initializers.values():
            if value.const_value is not None and value.const_value.dtype != ir.DataType.STRING:
                self.fingerprints[str(value.name)] = fingerprint(value.const_value.numpy())
        self.fingerprints.update(
            (name, fingerprint(array)) for name, array in feeds.items() if array.dtype.kind not in "OSU"
        )
        for name, array in _run(model, feeds, self.graph.producer):
            self.fingerprints[name] = fingerprint(array)
        self.input_dependent = set(self.graph.inputs)
        """Values that depend on an input."""
        for key, names in self.graph.reads.items():
            if not self.input_dependent.isdisjoint(names):
                self.input_dependent.update(self.graph.outputs_of(key))
        self._index = FingerprintIndex(self.fingerprints, tolerance)

    def announce(self, tensors: Iterable[Fingerprint]) -> None:
        """Take all tensors that `equal_to` will be asked for; see `FingerprintIndex.announce`."""
        self._index.announce(tensors)

    def equal_to(self, tensor: Fingerprint) -> list[str]:
        """Return the values that are equal to a tensor up to rounding, in topological order."""
        return sorted(self._index.equal_to(tensor), key=self.graph.order)

    def shape(self, name: str) -> list[int] | None:
        """Return the shape of a value; None where it has no fingerprint."""
        found = self.fingerprints.get(name)
        return None if found is None else found.shape

    def is_identical(self, name: str, other: str) -> bool:
        """Say whether two values have exactly the same numbers and shape, as far as their fingerprints tell."""
        return is_identical(self.fingerprints.get(name), self.fingerprints.get(other))


def _run(model: ir.Model, feeds: Mapping[str, Array], names: Iterable[str]) -> Iterator[tuple[str, Array]]:
    """Yield the named values of the main graph, as far as they are tensors that NumPy knows."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        ir.save(model, path, external_data="model.onnx.data")
        proto = onnx.load(path, load_external_data=False)
        present = {output.name for output in proto.graph.output}
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
        path.write_bytes(proto.SerializeToString())
        try:
            session = open_session(path, package="hx-projector")
            fetched = [out.name for out in session.get_outputs() if re.fullmatch(_NUMPY_TENSORS, out.type)]
            for start in range(0, len(fetched), FETCHED_PER_RUN):
                chunk = fetched[start : start + FETCHED_PER_RUN]
                arrays: list[Array] = session.run(chunk, dict(feeds))
                yield from zip(chunk, arrays, strict=True)
        except HxError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise ModelDoesNotRun(
                f"ONNX Runtime cannot run the model to compare it with PyTorch: {' '.join(str(error).split())[:300]}",
                hint="Export with a strategy that needs no run, such as 'dynamo'.",
                argument="strategy",
            ) from error


_NUMPY_TENSORS = r"tensor\((float|float16|double|bool|u?int(8|16|32|64)|complex(64|128))\)"
"""Types that ONNX Runtime hands to NumPy: no strings, bfloat16, 8-bit floats, 4 bits."""
