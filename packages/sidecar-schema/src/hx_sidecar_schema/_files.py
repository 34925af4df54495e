"""Writing files so that a failure leaves what was there before."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from hx_sidecar_schema._errors import HxError

_PREFIX = ".hx-writing-"


@contextmanager
def atomic_folder(folder: Path, argument: str = "output") -> Generator[Path]:
    """Yield an empty folder; on success move its files into `folder`, over what is there, last of all.

    The staging folder lies inside `folder`, so that moving is renaming. After an exception nothing has
    changed; after `kill -9` the old files are whole and the next write removes the staging folder. Nothing is
    promised for a power cut: flushing half a gigabyte of weights to the disk would cost more than the export.

    Args:
        folder: Destination, made if missing.
        argument: Of the caller, which names it.

    Raises:
        HxError: HX306 if the folder cannot be written or the disk is full.
    """
    made: list[Path] = []
    staging: Path | None = None
    try:
        made = [path for path in reversed((folder, *folder.parents)) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        staging = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=folder))
        yield staging
        files = sorted(path for path in staging.rglob("*") if path.is_file())
        targets = [folder / path.relative_to(staging) for path in files]
        for target in targets:  # what cannot be replaced is found before anything is
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
        for path, target in zip(files, targets, strict=True):
            os.replace(path, target)
        made = []
    except OSError as error:
        named = error.filename or str(folder)
        raise HxError(
            f"Cannot write {str(named)!r}: {error.strerror or error}.",
            code="HX306",
            hint="Choose a folder that you may write to and that has room.",
            argument=argument,
        ) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        for path in reversed(made):
            if path.exists() and not any(path.iterdir()):
                path.rmdir()


def refuse_existing(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Stop before any work where it would replace something.

    Raises:
        HxError: HX402 if a path exists and `overwrite` is off.
    """
    existing = [str(path) for path in paths if path.exists()]
    if existing and not overwrite:
        raise HxError(
            f"Output {', '.join(map(repr, existing))} already {'exists' if len(existing) == 1 else 'exist'}.",
            code="HX402",
            hint="Allow replacing it, or name another output.",
            argument="overwrite",
        )


def final_folder(folder: Path) -> Path:
    """Return where the files of a folder will lie: of a staging folder, the one around it."""
    return folder.parent if folder.name.startswith(_PREFIX) else folder


def _remove_abandoned(folder: Path) -> None:
    for path in folder.glob(f"{_PREFIX}*"):
        pid = path.name.removeprefix(_PREFIX).split("-")[0]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(path, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
