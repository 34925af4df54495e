"""An exported model in memory, and how it is saved."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hx._progress import Clock
from hx.files import context_path, data_path, export_path, sidecar_path
from hx.records.export import ExportReport, NodeDisagreement, Verification
from hx.records.report import File, counts_of
from hx_extractor import Hierarchy
from hx_sidecar_schema import ModuleContext, Sidecar, atomic_folder

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    import torch
    from numpy.typing import NDArray

    from hx_tracer import Exported, LoadedModel

EXTERNAL_DATA_BYTES = 100 * 2**20
"""Weights beyond this go to NAME.onnx.data: a graph of a few megabytes opens at once everywhere."""


class Export(Hierarchy):
    """An exported model in memory, with the module that it was made of. Weights are the module's own tensors."""

    def __init__(self, spec: str, loaded: LoadedModel, exported: Exported, sidecar: Sidecar, clock: Clock) -> None:
        super().__init__(None, sidecar, exported.program.model)
        self._spec, self._loaded, self._exported, self._clock = spec, loaded, exported, clock
        self._files: list[File] = []
        self._verification: Verification | None = None

    @property
    def module(self) -> torch.nn.Module:
        """The module that was exported."""
        return self._loaded.module

    @property
    def loaded(self) -> LoadedModel:
        """The module with its example inputs."""
        return self._loaded

    @property
    def context(self) -> ModuleContext:
        """What was seen during the export."""
        return self._exported.context

    def example_inputs(self) -> dict[str, NDArray[np.generic]]:
        """Return the inputs that the model was exported with, exactly; a saved file has only the range of large ones.

        Raises:
            HxError: HX206 if the graph has inputs that the module was not given, and no example of one is recorded.
        """
        from onnx_ir.tensor_adapters import TorchTensor

        from hx_tracer import as_real

        given = self._exported.inputs
        arrays = {name: TorchTensor(as_real(tensor)).numpy() for name, tensor in given.items()}
        return arrays or super().example_inputs()

    @property
    def verification(self) -> Verification:
        """The outputs beside those of the module, on the example inputs; compared when first asked for."""
        if self._verification is not None:
            return self._verification
        with TemporaryDirectory() as folder:
            return self._compare(self._write(Path(folder) / self.sidecar.model.file))

    @property
    def report(self) -> ExportReport:
        """What was done and found: the record that `hx export --json` prints."""
        exported, sidecar = self._exported, self.sidecar
        op_types = {node.output: node.op_type for node in sidecar.nodes if not node.graph}
        return ExportReport(
            model=self._spec,
            class_name=sidecar.modules[0].class_name,
            files=self._files,
            parameters=sum(parameter.numel() for parameter in self.module.parameters()),
            modules=len(sidecar.modules),
            **counts_of(sidecar),
            category_statistics={name: row.model_dump() for name, row in sidecar.summary.category_statistics.items()},
            inputs={tensor.name: tensor.shape for tensor in sidecar.model.inputs},
            outputs={tensor.name: tensor.shape for tensor in sidecar.model.outputs},
            static_axes=exported.static_axes,
            notes=[*self._loaded.notes, *exported.notes],
            strategy=sidecar.generator.strategy,
            disagreements=[
                NodeDisagreement(
                    output=row.output,
                    op_type=op_types[row.output],
                    evidence=row.evidence,
                    owner=sidecar.tag(sidecar.calls[row.owner]),
                    against=row.against,
                    other=sidecar.tag(sidecar.calls[row.other]),
                )
                for row in sidecar.disagreements
            ],
            verification=self._verification,
            seconds=self._clock.seconds,
        )

    def save(
        self,
        path: str | Path,
        *,
        verify: bool = True,
        embed: bool = False,
        metadata: bool = True,
        keep_context: bool = False,
        overwrite: bool = False,
    ) -> ExportReport:
        """Write the model and its sidecar, all files together at the end: a failure leaves what was there before.

        Weights of more than 100 MB go to `NAME.onnx.data`.

        Args:
            path: The ONNX file; the sidecar `NAME_hierarchy.json` lies beside it.
            verify: Compare the outputs of the file with PyTorch's, where that was not done yet.
            embed: Write the sidecar into the model's metadata too, under `pkg.hx.*` keys, and `namespace`, by which Model Explorer groups nodes.
            metadata: Keep the exporter's metadata: kilobytes a node, with lines of the source.
            keep_context: Write `NAME_context.json` too: what was seen during the export.
            overwrite: Replace files that exist.

        Returns:
            The record of the export, with its files.

        Raises:
            HxError: HX402 if a file exists, HX306 if one cannot be written, HX406 if `path` is no .onnx file.
        """
        from hx_projector import embed as embed_sidecar, restored_metadata, strip_metadata

        target = export_path(path, "path", keep_context=keep_context, overwrite=overwrite)
        with atomic_folder(target.parent, "path") as staging:
            with self._clock.step("save", "Writing the files"), restored_metadata(self.model):
                info = self.sidecar.model.model_copy(update={"file": target.name})
                sidecar = self.sidecar.model_copy(update={"model": info})
                if not metadata:
                    strip_metadata(self.model)
                if embed:
                    embed_sidecar(self.model, sidecar)
                staged = self._write(staging / target.name, target.parent)
                sidecar.with_file_digest(staged).save(sidecar_path(staged))
                if keep_context:
                    context_path(staged).write_text(self.context.model_dump_json(indent=1) + "\n", encoding="utf-8")
            written = [target.parent / path.name for path in sorted(staging.iterdir()) if path.is_file()]
            if verify and self._verification is None and not self._loaded.in_place:
                self._compare(staged)
        if data_path(target) not in written:  # of the model that was there before
            data_path(target).unlink(missing_ok=True)
        if verify and self._verification is None:  # whose weights can be read from there alone
            self._compare(target)
        self._files = [File.of(path) for path in written]  # they may be moved
        return self.report

    def _write(self, path: Path, folder: Path | None = None) -> Path:
        """Write the model to a path; weights that are in place stay so if they lie below the folder in which it will be."""
        from hx_graph import write_model

        if self._loaded.files:
            write_model(self.model, path, data_file=True, kept_below=folder if self._loaded.in_place else None)
        else:
            self._exported.program.save(path, external_data=has_data_file(self.model) or None)
        return path

    def _compare(self, path: Path) -> Verification:
        from hx._export.numbers import verify_export
        from hx_tracer import is_unread

        if is_unread(self.module):
            self._verification = Verification(status="not_checked", reason="the weights were not made")
            return self._verification
        with self._clock.step("verify", "Comparing the outputs with PyTorch"):
            self._verification = verify_export(path, self.module, self._loaded.example, self._exported)
        return self._verification


def has_data_file(model: ir.Model) -> bool:
    """Say whether the weights of a model go to a file of their own."""
    tensors = (value.const_value for value in model.graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None) > EXTERNAL_DATA_BYTES
