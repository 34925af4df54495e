"""One law over all tests: what hx wrote passes `hx validate`."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, which is later: a core for each worker

SUFFIX = "_hierarchy.json"
PLACES = ("packages/cli", "packages/hx", "tests")
"""Tests of real exports; those of other packages write parts of sidecars by hand."""


@pytest.fixture(scope="session")
def written() -> Generator[set[bytes]]:
    """Digests of all sidecars that hx wrote in this process; what a test changed by hand is none of them."""
    from hx_sidecar_schema import Sidecar

    digests: set[bytes] = set()
    save = Sidecar.to_json

    @functools.wraps(save)
    def noted(self: Sidecar) -> bytes:
        content = save(self)
        digests.add(hashlib.sha256(content).digest())
        return content

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sidecar, "to_json", noted)
        yield digests


@pytest.fixture(autouse=True)
def nothing_invalid_is_written(request: pytest.FixtureRequest, written: set[bytes]) -> Generator[None]:
    """Validate what a test left in its folder: models and sidecars that are as hx wrote them.

    `@pytest.mark.findings("V02")` names codes of what is wrong there with the test's own model, or by its wish.
    """
    folder: Path | None = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    expected = {code for marker in request.node.iter_markers("findings") for code in marker.args}
    place = request.path.relative_to(Path(__file__).parent).as_posix()
    if folder is None or "hx_projector" not in sys.modules or not place.startswith(PLACES):
        return
    import hx_graph
    import hx_projector
    from hx_sidecar_schema import Sidecar, file_digest

    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        model = path.with_name(path.name.removesuffix(SUFFIX) + ".onnx")
        if not path.is_file() or not model.is_file() or hashlib.sha256(path.read_bytes()).digest() not in written:
            continue
        sidecar = Sidecar.load(path)
        if (sidecar.model.file, sidecar.model.file_digest) != (model.name, file_digest(model)):
            continue
        result = hx_projector.validate(hx_graph.read_model(model, check=False), sidecar, model)
        found = [finding for finding in result.findings if finding.code not in expected]
        assert not found, f"{model.name}: " + "; ".join(f"{one.code} {one.subject} {one.message}" for one in found[:3])
