"""Texts that others may read: without paths of this machine, and without numbers of tensors."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

Redactor = Callable[[str], str]

_NUMBERS = re.compile(r"\[(?=[^][]*\d\.)(?:[-+.,\seE\d]|nan|inf)*+\]")
"""A list with a decimal number in it: shapes and axes have none."""
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_SCALAR = re.compile(r"(tensor\(|\{)-?\d+\.\d*(?:[eE][-+]?\d+)?(?=[,)}])")


def redactor(places: Sequence[Path] = (), *, numbers: bool) -> Redactor:
    """Return a function that takes out of a text what others need not see.

    The current folder becomes `.`, the home folder `~`, packages `<packages>`, Python `<python>`, and further places
    `<model>`. Not promised is that a text names nothing private: names of classes, files and inputs stay.

    Args:
        places: Folders that the model was read from.
        numbers: Take out the numbers of tensors too, where a text prints them.
    """
    named = [
        *((path, "<model>") for path in places),
        (Path(sysconfig.get_path("purelib")), "<packages>"),
        (Path(sysconfig.get_path("platlib")), "<packages>"),
        (Path(sysconfig.get_path("stdlib")), "<python>"),
        (Path(sys.prefix), "<python>"),
        (Path(sys.base_prefix), "<python>"),
        (Path(tempfile.gettempdir()), "<tmp>"),
        (Path.cwd(), "."),
        (Path.home(), "~"),
    ]
    shown: dict[str, str] = {}
    for path, name in named:
        for spelling in (os.path.abspath(path), os.path.realpath(path)):
            if len(spelling) > 1:
                shown.setdefault(spelling, name)
    longest = sorted(shown, key=len, reverse=True)
    pattern = re.compile(f"(?:{'|'.join(map(re.escape, longest))})(?![\\w-])")

    def redact(text: str) -> str:
        text = pattern.sub(lambda match: shown[match[0]], _COLOUR.sub("", text))
        if numbers:
            text = _SCALAR.sub(r"\1...", _NUMBERS.sub("[...]", text))
        return text

    return redact


def model_folders(model: object) -> list[Path]:
    """Return the folder of this machine that a model spec names, or whose file it names; none for others."""
    if not isinstance(model, str):
        return []
    path = Path(model)
    if path.is_dir():
        return [path]
    file = Path(model.rpartition(":")[0])
    return [file.parent] if file.is_file() else []
