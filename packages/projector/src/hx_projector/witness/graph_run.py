"""One run of a graph in ONNX Runtime: a fingerprint of every value of the main graph, and what it depends on."""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import onnx_ir as ir

from hx_graph import open_session, refusal_of, write_model
from hx_projector._graph_index import GraphIndex
from hx_projector.witness.fingerprints import SINGLE_TOLERANCE, Array, FingerprintIndex, fingerprint, is_identical
from hx_sidecar_schema import Fingerprint, HxError, ModelDoesNotRun

FETCHED_PER_RUN = 512
"""Values that one run of the session returns: bounds the memory, and costs a run for every so many."""


class GraphRun:
    """The values of a main graph in one run, by name; values of bodies and functions are left out."""

    def __init__(
        self,
        model: ir.Model,
        feeds: Mapping[str, Array],
        tensors: Iterable[Fingerprint] = (),
        *,
        tolerance: float = SINGLE_TOLERANCE,
    ) -> None:
        """Run a model, which is not changed, on named inputs; `FingerprintIndex` says what tensors and tolerance are.

        HX121 is raised if ONNX Runtime cannot run the model, HX209 if it is not installed.
        """
        self.index = index = GraphIndex(model.graph)
        inputs = [value for value in model.graph.inputs if not value.is_initializer()]
        self.is_static = all(value.shape is not None and value.shape.is_static() for value in inputs)
        """Whether no dimension of an input is symbolic."""
        weights = ((name, value.const_value) for name, value in model.graph.initializers.items())
        given = ((name, tensor.numpy()) for name, tensor in weights if tensor is not None)
        arrays = chain(given, feeds.items(), _run(model, feeds, index.producer))
        self.fingerprints = {name: fingerprint(array) for name, array in arrays if array.dtype.kind not in "OSU"}
        self.input_dependent = set(index.inputs)
        """Values that depend on an input. Those among them that are not in `index.data` depend on sizes alone."""
        self.copy_of: dict[str, str] = {}
        """Values that hold exactly what the only value in `index.data` that their node reads holds."""
        known = self.fingerprints
        for key, names in index.reads.items():
            outputs = index.outputs_of(key)
            if not self.input_dependent.isdisjoint(names):
                self.input_dependent.update(outputs)
            data = [name for name in names if name in index.data]
            if len(data) == 1 and data[0] in known:
                same = (out for out in outputs if out in known and is_identical(known[out], known[data[0]]))
                self.copy_of |= dict.fromkeys(same, data[0])
        self._by_numbers = FingerprintIndex(self.fingerprints, tensors, tolerance)

    def equal_to(self, tensor: Fingerprint) -> list[str]:
        """Return the values that are equal to a tensor up to rounding, in topological order."""
        return sorted(self._by_numbers.equal_to(tensor), key=self.index.order)

    def shape(self, name: str) -> list[int] | None:
        """Return the shape of a value; None where it has no fingerprint."""
        found = self.fingerprints.get(name)
        return None if found is None else found.shape

    def copied_from(self, name: str) -> str:
        """Return the value at the start of the chain of copies that a value ends; itself where it is no copy."""
        while name in self.copy_of:
            name = self.copy_of[name]
        return name


def _run(model: ir.Model, feeds: Mapping[str, Array], names: Iterable[str]) -> Iterator[tuple[str, Array]]:
    """Yield the named values of the main graph, as far as they are tensors that NumPy knows."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write_model(model, path, data_file=True)
        proto = onnx.load(path, load_external_data=False)
        present = {output.name for output in proto.graph.output}
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
        path.write_bytes(proto.SerializeToString())
        try:
            session = open_session(path)
            fetched = [out.name for out in session.get_outputs() if re.fullmatch(_NUMPY_TENSORS, out.type)]
            for start in range(0, len(fetched), FETCHED_PER_RUN):
                chunk = fetched[start : start + FETCHED_PER_RUN]
                arrays: list[Array] = session.run(chunk, dict(feeds))
                yield from zip(chunk, arrays, strict=True)
        except HxError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise ModelDoesNotRun(
                f"ONNX Runtime cannot run the model to compare it with PyTorch: {refusal_of(error)}.",
                hint="Export with a strategy that needs no run, such as 'dynamo'.",
                argument="strategy",
            ) from error


_NUMPY_TENSORS = r"tensor\((float|float16|double|bool|u?int(8|16|32|64)|complex(64|128))\)"
"""Types that ONNX Runtime hands to NumPy: no strings, bfloat16, 8-bit floats, 4 bits."""
