"""Texts that others may read: without paths of this machine, and without numbers of tensors."""

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
_SOURCE_FOLDER = r'(?<=File ")/[^"\n]*/(?=[^"/\n]*")|(?<![\w./~>])/(?:[^\s"\'():,/]+/)+(?=[^\s"\'():,/]+\.py\b)'
_REPORT = re.compile(r"(<tmp>/)tmp\w{8}/(onnx_export)_[\d_-]+")
"""Where torch.onnx.export (2.13) put its own report: in a folder of a random name, with the time."""
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_SCALAR = re.compile(r"(tensor\(|\{)-?\d+\.\d*(?:[eE][-+]?\d+)?(?=[,)}])")


def redactor(places: Sequence[Path] = (), *, numbers: bool) -> Redactor:
    """Return a function that takes out of a text what others need not see.

    The current folder and those that modules are imported from become `.`, the home folder `~`, packages `<packages>`,
    Python `<python>`, further places `<model>`, and of other Python sources the name alone is left. Not promised is that a text names nothing private: names of classes, files and inputs stay.
    `places` are folders that the model was read from. With `numbers`, those of tensors are taken out too, where a text
    prints them.
    """
    shown: dict[str, str] = {}
    for name, paths in {
        "<model>": places,
        "<packages>": map(sysconfig.get_path, ("purelib", "platlib")),
        "<python>": (sysconfig.get_path("stdlib"), sys.prefix, sys.base_prefix),
        "<tmp>": [tempfile.gettempdir()],
        ".": [*filter(os.path.isdir, sys.path), os.curdir],
        "~": [Path.home()],
    }.items():
        for path in paths:
            for spelling in (os.path.abspath(path), os.path.realpath(path)):
                if len(spelling) > 1:
                    shown.setdefault(spelling, name)
    longest = sorted(shown, key=len, reverse=True)
    pattern = re.compile(f"(?:{'|'.join(map(re.escape, longest))})(?![\\w-])|{_SOURCE_FOLDER}")

    def redact(text: str) -> str:
        text = pattern.sub(lambda match: shown.get(match[0], ""), _COLOUR.sub("", text))
        text = _REPORT.sub(r"\1\2_", text)
        return _SCALAR.sub(r"\1...", _NUMBERS.sub("[...]", text)) if numbers else text

    return redact


def without_folders(word: str) -> str:
    """Return a word of a command line or a model spec; of one that is a path, or begins with one, the last part."""
    path, colon, factory = word.rpartition(":") if word.rpartition(":")[0].endswith(".py") else (word, "", "")
    option, equals, path = path.rpartition("=") if path.startswith("-") else ("", "", path)
    is_path = os.path.isabs(path) or path.startswith(("./", "../", "~")) or path.endswith((".py", ".onnx", ".json"))
    if is_path or os.path.exists(path):
        path = Path(path).name or Path(path).resolve().name
    return f"{option}{equals}{path}{colon}{factory}"


def model_folders(model: object) -> list[Path]:
    """Return the folder of this machine that a model spec names, or whose file it names; none for others."""
    if not isinstance(model, str):
        return []
    file = Path(model.rpartition(":")[0])
    return [Path(model)] if os.path.isdir(model) else [file.parent] if file.is_file() else []
