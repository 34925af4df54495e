"""What others may read: what made a file, and texts without paths of this machine and without numbers of tensors."""

from __future__ import annotations

import os
import re
import shlex
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hx_sidecar_schema import Provenance

command_line: ContextVar[Sequence[str]] = ContextVar("hx.command_line", default=())
"""The words of the command that runs, for programs in front of this library; empty where the library was called."""
PACKAGES = ("hx-onnx", "hx-tracer", "hx-projector", "hx-extractor", "hx-sidecar-schema")

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


def provenance_of(base: Provenance) -> Provenance:
    """Return the record of a run: `base`, with versions of hx, the command line and the time added."""
    import importlib.metadata

    versions = {name: importlib.metadata.version(name) for name in PACKAGES} | base.versions
    command = shlex.join(map(without_folders, command_line.get()))
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")  # https://reproducible-builds.org/specs/source-date-epoch/
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)
    made = {"versions": versions, "command": command, "timestamp": moment.isoformat(timespec="seconds")}
    return base.model_copy(update=made)
