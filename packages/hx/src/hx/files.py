"""Which files are written, settled before any work."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from hx_sidecar_schema import SIDECAR_SUFFIX, HxError, atomic_folder, file_digest, refuse_existing

_NAME_BYTES = 180  # of the 255 that file systems allow; sidecar and staging names are longer than the model's


def onnx_path(output: Path, argument: str = "output") -> Path:
    """Return the path of an output model, which the caller's `argument` names; HX406 for no .onnx file, or a folder."""
    if output.suffix != ".onnx" or output.is_dir():
        raise HxError(
            f"Output {str(output)!r} is not the name of an .onnx file.",
            code="HX406",
            hint="Give a path that ends in .onnx.",
            argument=argument,
        )
    return output


def sidecar_path(model: Path) -> Path:
    """Return where the sidecar of a model lies."""
    return model.with_name(f"{model.stem}{SIDECAR_SUFFIX}")


def data_path(model: Path) -> Path:
    """Return where large weights of a model lie."""
    return model.with_name(f"{model.name}.data")


def model_files(model: Path) -> list[Path]:
    """Return the files that a model that hx writes may consist of."""
    return [model, sidecar_path(model), data_path(model)]


def context_path(model: Path) -> Path:
    """Return where lies what was seen during an export."""
    return model.with_name(f"{model.stem}_context.json")


def check_writable(folder: Path, argument: str = "output") -> None:
    """Stop with HX306 before any work if the folder, or the nearest one above that exists, takes no files."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        reason = "no write permission" if existing.is_dir() else f"{str(existing)!r} is not a folder"
        raise HxError(
            f"Cannot write to {str(folder)!r}: {reason}.",
            code="HX306",
            hint="Choose a folder that you may write to and that has room.",
            argument=argument,
        )


def export_path(path: str | Path, argument: str, *, keep_context: bool, overwrite: bool) -> Path:
    """Return the path of a model to export; HX402, HX306 or HX406 before any work where it cannot be written."""
    target = onnx_path(Path(path), argument)
    context = [context_path(target)] if keep_context else []
    refuse_existing([target, data_path(target), sidecar_path(target), *context], overwrite=overwrite)
    check_writable(target.parent, argument)
    return target


def model_target(model: str, output: str | Path | None, ending: str, *, overwrite: bool, read: Iterable[Path]) -> Path:
    """Return the path of a model that is made of another, by default `NAME_ENDING.onnx` in the current folder.

    Raises:
        HxError: HX402, HX406, HX408 or HX306 before any work where it cannot be written; `read` are files that it must not replace.
    """
    target = onnx_path(Path(output) if output is not None else Path(f"{Path(model).stem}_{ending}.onnx"))
    refuse_existing(model_files(target), overwrite=overwrite, read=read)
    check_writable(target.parent)
    return target


def is_part_as_written(model: Path) -> bool:
    """Say whether a file is a part of a model that hx wrote and nobody has changed since."""
    from hx_sidecar_schema import Sidecar  # the help does without pydantic

    try:
        sidecar = Sidecar.load(sidecar_path(model))
        return sidecar.cut_from is not None and sidecar.model.file_digest == file_digest(model)
    except (HxError, OSError):
        return False


def write_text(path: Path, text: str) -> None:
    """Write a text file, over one that exists, whole or not at all; HX306 if it cannot be written."""
    with atomic_folder(path.parent) as staging:
        (staging / path.name).write_text(text, encoding="utf-8", newline="")


def file_stem(name: str) -> str:
    """Return a name as a file stem that every system takes."""
    stem = re.sub(r"[^\w.-]+", "_", name).strip(".") or "model"
    while len(stem.encode()) > _NAME_BYTES:
        stem = stem[:-1]
    return stem


def call_stems(calls: Iterable[tuple[str, int]], root: str) -> list[str]:
    """Return one file stem for each call: its fqn, dots as underscores, and its index where it is not the first.

    The fqn of the root is empty: its stem is given. No two are equal, on file systems that fold case either.
    """
    taken: set[str] = set()
    stems: list[str] = []
    for fqn, index in calls:
        base = file_stem(fqn.replace(".", "_") or root) + (f"_{index}" if index else "")
        stem, count = base, 2
        while stem.lower() in taken:
            stem, count = f"{base}_{count}", count + 1
        taken.add(stem.lower())
        stems.append(stem)
    return stems
