"""A folder that holds a suite: what did not change is not written again, what is no part of it any more goes."""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from hx_sidecar_schema import HxError, file_digest, read_file, refuse_existing
from hx_surgery.suite.records import Manifest

MANIFEST = "manifest.json"


def former(folder: Path) -> Manifest | None:
    """Return the suite that a folder holds; None where it holds none, or one of another version."""
    try:
        return Manifest.model_validate_json(read_file(folder / MANIFEST))
    except (OSError, ValidationError):
        return None


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Stop before any work where a folder holds anything but a suite.

    Raises:
        HxError: HX402 if it does and `overwrite` is off; HX306 if it is no folder.
    """
    if folder.is_dir() and any(folder.iterdir()) and former(folder) is None:
        refuse_existing([folder], overwrite=overwrite)
    elif folder.exists() and not folder.is_dir():
        message = f"Cannot write to {str(folder)!r}: it is no folder."
        raise HxError(message, code="HX306", hint="Name a folder.", argument="output")


def keep_equal(staging: Path, folder: Path, known: Manifest | None, *, overwrite: bool, read: Iterable[Path]) -> int:
    """Take out of a staging folder the files that the suite has already; return how many are left to write.

    Raises:
        HxError: HX402 if a file was changed since the suite was written and `overwrite` is off; HX408 if it is read.
    """
    written = set() if known is None else {digest for _, digest in _files(known)}
    left: list[Path] = []
    for path in [path for path in staging.rglob("*") if path.is_file()]:
        place = path.relative_to(staging)
        target = folder / place
        digest = file_digest(target) if target.is_file() else None
        if digest == file_digest(path):
            path.unlink()
            continue
        left.append(target)
        if digest is not None and digest not in written and place != Path(MANIFEST):
            refuse_existing([target], overwrite=overwrite)
    refuse_existing(left, overwrite=True, read=read)
    return len(left)


def remove_former(folder: Path, known: Manifest | None, now: Manifest) -> tuple[list[str], list[str]]:
    """Remove the files of a former suite that the new one does not have; return these, and those that were changed since."""
    kept = {path for path, _ in _files(now)}
    removed, changed = list[str](), list[str]()
    for path, digest in _files(known) if known is not None else ():
        target = folder / path
        if path in kept or not target.is_file() or target.is_symlink():
            continue
        if file_digest(target) != digest:
            changed.append(path)
            continue
        target.unlink()
        removed.append(path)
        for parent in list(target.relative_to(folder).parents)[:-1]:
            if not any((folder / parent).iterdir()):
                (folder / parent).rmdir()
    return removed, changed


def _files(suite: Manifest) -> Iterator[tuple[str, str]]:
    """Yield the paths of a suite's files in its folder, with their digests; none that lead out of it."""
    for case in suite.cases:
        for file, digest in case.files.items():
            path = PurePosixPath(case.name) / file
            if not path.is_absolute() and ".." not in path.parts:
                yield str(path), digest
