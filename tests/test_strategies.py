"""What the tracer notes of PyTorch's tensors is what the projector notes of ONNX Runtime's."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from hx_projector.witness.fingerprints import fingerprint as fingerprint_of_array
from hx_projector.witness.graph_run import GraphRun
from hx_sidecar_schema import Fingerprint
from hx_tracer.watch.operations import fingerprint as fingerprint_of_tensor

RANDOM = torch.Generator().manual_seed(0)
TENSORS = {
    "float32": torch.randn(3, 5, generator=RANDOM),
    "float16": torch.randn(3, 5, generator=RANDOM).half(),
    "float64": torch.randn(3, 5, generator=RANDOM).double(),
    "int64": torch.tensor([[-(2**40), 3], [0, 2**40]]),
    "uint8": torch.tensor([0, 255], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "complex": torch.randn(2, 3, dtype=torch.complex64, generator=RANDOM),
    "conjugated": torch.randn(2, 3, dtype=torch.complex64, generator=RANDOM).conj(),
    "complex 0-d": torch.tensor(1 - 2j),
    "empty": torch.empty(0, 4),
    "0-d": torch.tensor(2.5),
    "0-d bool": torch.tensor(True),
    "constant": torch.full((100,), 0.1),
    "larger than the sample": torch.randn(50, 70, generator=RANDOM),
    "strided": torch.randn(50, 70, generator=RANDOM).T[::2],
    "broadcast": torch.randn(1, 5, generator=RANDOM).expand(40, 5),
    "not finite": torch.tensor([1.0, float("nan"), float("inf"), -float("inf")]),
    "infinite": torch.full((3,), -float("inf")),
    "parameter": torch.nn.Parameter(torch.ones(2)),
}


def check(tensor: torch.Tensor) -> None:
    ours, theirs = fingerprint_of_tensor(tensor), fingerprint_of_array(tensor.detach().resolve_conj().numpy())
    exact = {"dtype", "shape", "sample", "constant"}
    for one, other in ((ours, theirs), (theirs, ours)):
        np.testing.assert_equal(one.model_dump(include=exact), other.model_dump(include=exact))
    # Sums in another order differ in their last bits.
    size = np.sqrt(ours.mean_square) if np.isfinite(ours.mean_square) else 0.0
    np.testing.assert_allclose(theirs.mean, ours.mean, rtol=1e-12, atol=1e-12 * size)
    np.testing.assert_allclose(theirs.mean_square, ours.mean_square, rtol=1e-12)


@pytest.mark.parametrize("name", TENSORS)
def test_equal_numbers_have_equal_fingerprints(name: str) -> None:
    check(TENSORS[name])


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float16, np.int64, np.int32, np.bool_, np.complex64]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9),
    )
)
def test_equal_numbers_of_any_kind_have_equal_fingerprints(array: np.ndarray) -> None:
    check(torch.from_numpy(array))


def test_what_pytorch_computed_is_found_among_what_onnx_runtime_computed() -> None:
    x = torch.randn(4, 6, generator=RANDOM)
    wanted: dict[str, Fingerprint] = {
        "x": fingerprint_of_tensor(x),
        "a": fingerprint_of_tensor(x.softmax(1)),
        "b": fingerprint_of_tensor(x.sqrt()),  # half of it NaN
        "c": fingerprint_of_tensor(x.softmax(1) * 2),
        "d": fingerprint_of_tensor(x < 0),
    }
    model = ir.from_onnx_text(
        """
        <ir_version: 10, opset_import: ["": 20]>
        m (float[4,6] x, float[6,6] e) => (float[4,6] c, bool[4,6] d) {
            a = Softmax <axis: int = 1> (x)
            b = Sqrt (x)
            c = MatMul (a, e)
            d = IsNaN (b)
        }
        """
    )
    run = GraphRun(model, {"x": x.numpy(), "e": np.eye(6, dtype=np.float32) * 2}, wanted.values())
    assert {name: run.equal_to(tensor) for name, tensor in wanted.items()} == {name: [name] for name in wanted}
    assert run.equal_to(fingerprint_of_tensor(x.softmax(1) * 1.01)) == []
    assert run.equal_to(fingerprint_of_tensor(x.softmax(1).reshape(6, 4))) == []
