"""A suite of modules: every distinct form once, over one or many models, as cases that runners of tests load."""

from __future__ import annotations

import math
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import onnx_ir as ir

from hx_extractor import Hierarchy, compare, tolerance
from hx_graph import dims_of, evaluate_dim, make_session, run_session
from hx_projector import strip_metadata
from hx_sidecar_schema import HxError, RuntimeRefusal, UnavailableValue, atomic_folder, file_digest
from hx_surgery.suite.cover import cover
from hx_surgery.suite.folder import MANIFEST, former, keep_equal, remove_former
from hx_surgery.suite.layout import complete, write_case
from hx_surgery.suite.parts import Part, cut
from hx_surgery.suite.records import By, LeftOut, Manifest, SuiteCase
from hx_surgery.suite.survey import Example, Form, Progress, SuiteSource, Survey, names_of, survey

BATCH_BYTES = 256 << 20
"""Values of a model that are held at once, unless one part needs more."""
EXAMPLES = 3


class Written(NamedTuple):
    """What became of a folder."""

    suite: Manifest
    written: int
    """Files that are new or other than before."""
    removed: list[str]
    changed: list[str]
    """Files of cases that are no part of the suite any more, which stay: somebody has changed them."""


def write_suite(
    sources: Sequence[SuiteSource],
    folder: Path,
    *,
    by: By,
    only_cover: bool,
    npz: bool,
    overwrite: bool,
    progress: Progress,
) -> Written:
    """Write the suite of some models into a folder, over one that is there: all or nothing. See `hx.suite`."""
    found = survey(sources, by, progress)
    known = former(folder)
    with atomic_folder(folder) as staging:
        writer = _Writer(sources, found, staging, by, npz, progress)
        cases = writer.write(only_cover)
        held = set[str]().union(*(form.operators for form in found.forms.values() if form.digest in cases))
        suite = Manifest(
            by=by,
            cover=only_cover,
            models=found.models,
            cases=sorted(cases.values(), key=lambda case: case.name),
            left_out=[_left_out(form) for form in found.forms.values() if form.reason],
            not_covered=sorted(found.operators - held),
        )
        (staging / MANIFEST).write_text(suite.model_dump_json(indent=1) + "\n", encoding="utf-8")
        read = (file for source in sources for file in _files_of(source))
        written = keep_equal(staging, folder, known, overwrite=overwrite, read=read)
    return Written(suite, written, *remove_former(folder, known, suite))


def _files_of(source: SuiteSource) -> Iterator[Path]:
    try:
        yield from source.open().files()
    except HxError:  # it could not be read before
        return


def _left_out(form: Form) -> LeftOut:
    return LeftOut(
        form=form.digest,
        class_name=form.class_name,
        calls=form.models.total(),
        examples=[example.name for example in form.examples[:EXAMPLES]],
        reason=form.reason,
    )


class _Writer:
    """Cases of a survey, while they are written."""

    def __init__(
        self, sources: Sequence[SuiteSource], found: Survey, staging: Path, by: By, npz: bool, progress: Progress
    ) -> None:
        self._sources, self._forms, self._staging = sources, found.forms, staging
        self._npz, self._progress = npz, progress
        self._names = names_of(list(found.forms.values()), by)
        self._total_macs = sum(model.macs or 0 for model in found.models)
        self._left = {digest: list(form.examples) for digest, form in found.forms.items()}
        """Examples that were not tried in vain."""
        self._cases: dict[str, SuiteCase] = {}

    def write(self, only_cover: bool) -> dict[str, SuiteCase]:
        """Write a case of every form, or of as few as hold all operators; where one cannot be made, others are asked."""
        while todo := [digest for digest in self._chosen(only_cover) if digest not in self._cases]:
            by_source: defaultdict[int, list[str]] = defaultdict(list)
            for digest in todo:
                by_source[self._left[digest][0].source].append(digest)
            for done, (number, digests) in enumerate(sorted(by_source.items())):
                self._progress(f"Writing cases of {self._sources[number].name}", done, len(by_source))
                self._write_of(self._sources[number].read(), digests)
        chosen = set(self._chosen(only_cover))
        for digest in self._cases.keys() - chosen:
            shutil.rmtree(self._staging / self._names[digest])
        return {digest: case for digest, case in self._cases.items() if digest in chosen}

    def _chosen(self, only_cover: bool) -> list[str]:
        usable = {digest: form for digest, form in self._forms.items() if not form.reason}
        if not only_cover:
            return list(usable)
        operators = {digest: form.operators for digest, form in usable.items()}
        return cover(operators, {digest: form.nodes for digest, form in usable.items()})

    def _write_of(self, hierarchy: Hierarchy, digests: Sequence[str]) -> None:
        """Write cases with the numbers of one model; what they need is computed together, as far as memory goes."""
        sizes = _sizes(hierarchy)
        parts = [(digest, cut(hierarchy, self._left[digest][0].key)) for digest in digests]
        while parts:
            batch, held = list[tuple[str, Part]](), 0
            while parts and (not batch or held + _size_bytes(parts[0][1], sizes) <= BATCH_BYTES):
                held += _size_bytes(parts[0][1], sizes)
                batch.append(parts.pop(0))
            with suppress(RuntimeRefusal, UnavailableValue):  # each is asked for its own below, and has the reason then
                hierarchy.compute(name for _, part in batch for name in (*part.inputs.values(), *part.outputs.values()))
            for digest, part in batch:
                self._try(hierarchy, digest, part)
            hierarchy.forget()

    def _try(self, hierarchy: Hierarchy, digest: str, part: Part) -> None:
        form, example = self._forms[digest], self._left[digest].pop(0)
        try:
            self._cases[digest] = self._write_case(hierarchy, form, example, part)
        except (RuntimeRefusal, UnavailableValue) as error:
            if not self._left[digest]:
                form.reason = error.message

    def _write_case(self, hierarchy: Hierarchy, form: Form, example: Example, part: Part) -> SuiteCase:
        inputs = part.example_inputs()
        computed = hierarchy.compute(part.outputs.values())
        outputs = {name: computed[carrier] for name, carrier in part.outputs.items()}
        for port in (*part.model.graph.inputs, *part.model.graph.outputs):
            complete(port, {**inputs, **outputs}[str(port.name)])
        error = compare(outputs, run_session(make_session(part.model, hierarchy.folder), inputs)).relative_error
        dtypes = [value.dtype for value in part.model.graph.outputs]
        if not error <= tolerance(dtypes):
            message = f"Alone it differs from what it gives in the whole model by {error:.1e} of the largest value."
            raise UnavailableValue(message, hint="Compare both with PyTorch: `hx verify`.")
        name = self._names[form.digest]
        folder = self._staging / name
        strip_metadata(part.model)
        rtol, atol = write_case(folder, part.model, inputs, outputs, npz=self._npz)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        others = [other.name for other in form.examples if other != example]
        return SuiteCase(
            name=name,
            form=form.digest,
            class_name=form.class_name,
            calls=form.models.total(),
            models=dict(form.models),
            examples=[example.name, *others][:EXAMPLES],
            nodes=form.nodes,
            macs=form.macs,
            macs_percent=round(100 * form.total_macs / self._total_macs, 4) if self._total_macs else None,
            operators=sorted(form.operators),
            rtol=rtol,
            atol=atol,
            files={path.relative_to(folder).as_posix(): file_digest(path) for path in files},
        )


def _sizes(hierarchy: Hierarchy) -> dict[str, int]:
    """Return the sizes of symbols, as the recorded inputs have them."""
    sizes: dict[str, int] = {}
    for info in hierarchy.sidecar.model.inputs:
        if info.example is not None and info.shape:
            sizes |= {str(dim): size for dim, size in zip(info.shape, info.example.shape, strict=True)}
    return sizes


def _size_bytes(part: Part, sizes: Mapping[str, int]) -> int:
    """Return about how many bytes the inputs and outputs of a part have; a size that is not known counts as one."""

    def of(value: ir.Value) -> int:
        dims = [dim if isinstance(dim, int) else evaluate_dim(dim, sizes) or 1 for dim in dims_of(value.shape)]
        dtype = value.dtype
        itemsize = 8 if dtype is None or dtype == ir.DataType.STRING else dtype.itemsize
        return math.ceil(math.prod(dims) * itemsize)

    return sum(map(of, (*part.model.graph.inputs, *part.model.graph.outputs)))
