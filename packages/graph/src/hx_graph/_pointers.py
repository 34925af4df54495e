"""Pointers of Git LFS: a clone without it has them in the place of large files."""

from pathlib import Path

_START = b"version https://git-lfs"


def advice_on_pointer(path: Path) -> str:
    """Return how to get a file for which a pointer of Git LFS lies there; nothing of another file, or of none."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        is_pointer = file.read(len(_START)) == _START
    return f"Fetch what {path.name!r}, a pointer of Git LFS, stands for: `git lfs pull`." if is_pointer else ""
