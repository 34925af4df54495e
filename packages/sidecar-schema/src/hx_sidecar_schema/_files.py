"""Writing files so that a failure leaves what was there before."""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

from hx_sidecar_schema._errors import HxError

SIDECAR_SUFFIX = "_hierarchy.json"
"""Ends the name of a sidecar, behind that of its model without `.onnx`."""
_UNLOCKED, _PREFIX = ".hx-new-", ".hx-writing-"
"""Of a staging folder before and after its writer has locked it."""
_MAKING_S = 60
"""A folder that has not been locked for so long never will be."""
_LOCK, _COMPLETE, _FILES, _REPLACED = "lock", "complete", "files", "replaced"


@contextmanager
def atomic_folder(folder: Path, argument: str = "output") -> Generator[Path]:
    """Yield an empty folder; on success move its files into `folder`, over what is there, last of all.

    The folder to fill lies inside `folder`, which is made if missing, so that moving is renaming. After an exception
    nothing has changed. After `kill -9` either all old files are there, or all new ones are ready and `finish_writes` moves
    the rest of them; the next write into the folder calls it, and so does `finished` for a file that is missing. At no
    moment does a model lie beside the weights or the sidecar of another. Nothing is promised for a power cut: flushing
    half a gigabyte of weights to the disk would cost more than the export. An error names the caller's `argument`.

    Raises:
        HxError: HX306 if the folder cannot be written, the disk is full, or a target is no regular file.
    """
    made: list[Path] = []
    staging: Path | None = None
    try:
        made = [path for path in reversed((folder, *folder.parents)) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        finish_writes(folder)
        staging = Path(tempfile.mkdtemp(prefix=_UNLOCKED, dir=folder))
        (staging / _LOCK).touch()
        (staging / _FILES).mkdir()
        with _locked(staging):
            staging = staging.rename(folder / f"{_PREFIX}{staging.name.removeprefix(_UNLOCKED)}")
            yield staging / _FILES
            if not (staging / _LOCK).exists():
                raise OSError(errno.ENOENT, "its staging folder was taken away", str(folder))
            for target in (folder / path for path in _staged(staging)):
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.exists() and not target.is_file():  # found before anything is replaced
                    raise OSError(errno.EEXIST, "it is no regular file", str(target))
            (staging / _COMPLETE).touch()
            try:
                _move(staging, folder)
            except BaseException:
                (staging / _COMPLETE).unlink()
                raise
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
        if staging is not None and not (staging / _COMPLETE).exists():
            shutil.rmtree(staging, ignore_errors=True)
        for path in reversed(made):
            if path.exists() and not any(path.iterdir()):
                path.rmdir()


def finish_writes(folder: Path) -> None:
    """Complete what a killed process had begun to move into a folder, and remove what it had not finished.

    Whether a process still writes is told by a lock, which holds in other containers and on other hosts too, where
    the file system has locks; where it has none, nothing is touched.
    """
    for staging in folder.glob(f"{_PREFIX}*"):
        with _locked(staging) as is_ours:
            if is_ours and (staging / _COMPLETE).exists():
                with suppress(OSError):  # what cannot be moved now must not stop other writes
                    _move(staging, folder)
            elif is_ours:
                shutil.rmtree(staging, ignore_errors=True)
    for staging in folder.glob(f"{_UNLOCKED}*"):
        with suppress(FileNotFoundError):  # its writer has locked it meanwhile
            if time.time() - staging.stat().st_mtime > _MAKING_S:
                shutil.rmtree(staging, ignore_errors=True)


def finished(path: Path) -> Path:
    """Return the path of a file to read, after completing the write of a killed process where it is not there."""
    if not path.exists():
        finish_writes(path.parent)
    return path


def read_file(path: Path) -> bytes:
    """Return the bytes of a file, as `finished` finds it.

    Raises:
        OSError: If it cannot be read, or is a FIFO or a device, which would be waited for.
    """
    if finished(path).exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return path.read_bytes()


def _staged(staging: Path) -> list[Path]:
    """Return the staged files, relative to where they go: sidecars, then models, then data."""
    files = [path.relative_to(staging / _FILES) for path in (staging / _FILES).rglob("*") if path.is_file()]
    return sorted(files, key=lambda path: ({".json": 0, ".onnx": 1}.get(path.suffix, 2), path))


def _move(staging: Path, folder: Path) -> None:
    """Move staged files to their places, or the rest of them where a process was killed on the way; all or none.

    What is replaced goes first, the sidecar before the model and the model before its weights; the new files come in the
    other order. One file that has no others beside it is replaced in one step.
    """
    files = _staged(staging)
    old = [path for path in files if (folder / path).exists()] if len(files) > 1 else []
    moves = [(folder / path, staging / _REPLACED / path) for path in old]
    moves += [(staging / _FILES / path, folder / path) for path in reversed(files)]
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)
            done.append((source, target))
    except BaseException:
        for source, target in reversed(done):
            os.replace(target, source)
        raise
    shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _locked(staging: Path) -> Generator[bool]:
    """Hold the lock of a staging folder; yield whether no living process has it, as far as the system can tell."""
    try:
        import fcntl

        file = (staging / _LOCK).open("ab")
    except (ImportError, OSError):  # Windows; it is gone, or not ours
        yield False
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another process has it, or the file system knows no locks
            yield False
        else:
            yield True


def refuse_existing(paths: Iterable[Path], *, overwrite: bool, read: Iterable[Path] = ()) -> None:
    """Stop before any work where it would replace something.

    `read` are files that the caller reads, under any of their names; they are asked for only where something exists.

    Raises:
        HxError: HX402 if a path exists and `overwrite` is off; HX306 if it is neither a regular file nor a folder; HX408 if
            it is one of those in `read`.
    """
    existing = [path for path in paths if os.path.lexists(path)]  # a link that leads nowhere too
    for path in existing:
        if path.exists() and not path.is_file() and not path.is_dir():
            message = f"Cannot write {str(path)!r}: it is a device, a FIFO or a socket."
            raise HxError(message, code="HX306", hint="Name a file.", argument="output")
    if existing and not overwrite:
        named = ", ".join(repr(str(path)) for path in existing)
        message = f"Output {named} already {'exists' if len(existing) == 1 else 'exist'}."
        raise HxError(message, code="HX402", hint="Allow replacing it, or name another output.", argument="overwrite")
    for source in filter(Path.exists, read if existing else ()):
        for path in existing:
            if path.exists() and path.samefile(source):
                message = f"Output {str(path)!r} is read: what is read is never replaced."
                raise HxError(message, code="HX408", hint="Name another output.", argument="output")


def final_folder(folder: Path) -> Path:
    """Return where the files of a folder will lie: of a staging folder, the one around it."""
    return folder.parents[1] if folder.parent.name.startswith(_PREFIX) else folder
