"""The models that a list of names stands for."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import hx
from hx_sidecar_schema import HxError

TINY = "tiny:"
LOADING = {one.name for one in fields(hx.ModelSpec)} - {"model"}
COLUMNS = {"model", "name", "against", *LOADING}
FLAGS = {"random_weights", "trust_remote_code"}


@dataclass(frozen=True)
class Listed:
    """A model of a list."""

    name: str
    """As it is named, of a file the path below the list's folder."""
    model: str
    """As `hx.ModelSpec` takes it, or an ONNX file; a path is absolute."""
    against: str | None = None
    loading: dict[str, Any] = field(default_factory=dict[str, Any])
    written: tuple[str, str | None] = ("", None)
    """`model` and `against` as the list has them: the same wherever it lies."""


def expand(entries: Sequence[str | dict[str, Any]], base: Path, without: Path | None = None) -> list[Listed]:
    """Return the models that entries of a list stand for, each once, in the order of the list.

    Args:
        entries: As in `FleetRun.models`.
        base: The folder that relative paths start from.
        without: A folder whose files no folder or glob stands for: what the run itself writes.

    Raises:
        HxError: HX405 if an entry stands for nothing, if there is none, or if two models have one name; HX406 if a table has
            a field that is none, or a .csv file cannot be read.
    """
    listed: dict[str, Listed] = {}
    for entry in entries:
        found = list(_expand(entry, base, without))
        if not found:
            raise _refused(f"{entry!r} stands for no model.", "Name a folder, glob or list that has models.")
        for model in found:
            if listed.setdefault(model.name, model) != model:
                hint = "Give one of them a `name`."
                raise _refused(f"Two models of the run are called {model.name!r}.", hint)
    if not listed:
        raise _refused("No model is named.", "Name the models of the run.")
    return list(listed.values())


def absolute(spec: str, base: Path) -> str:
    """Return a model, or a function, with the path in it made absolute: a file or folder, or the file before a colon."""
    path, colon, function = spec.rpartition(":") if not Path(base, spec).exists() else (spec, "", "")
    if (base / path).exists() and path:
        return f"{_absolute(base / path)}{colon}{function}"
    return spec


def _absolute(path: Path) -> Path:
    """Return a path without `..`; a link stays one: what it leads to may have another name, as in the cache of the Hub."""
    return Path(os.path.abspath(path))


def _expand(entry: str | dict[str, Any], base: Path, without: Path | None) -> Iterator[Listed]:
    if isinstance(entry, dict):
        yield _from_table(entry, base)
    elif entry.startswith(TINY) and _is_glob(entry):
        from hx_tracer import architectures

        names = (f"{TINY}{name}" for name in architectures())
        yield from (Listed(name, name, written=(name, None)) for name in names if fnmatchcase(name, entry))
    elif (base / entry).is_file() or (base / entry).is_dir() or (entry.endswith(".csv") and not _is_glob(entry)):
        yield from _from_path(base / entry, base, without)
    elif _is_glob(entry):
        paths = base.glob(entry) if not Path(entry).is_absolute() else Path("/").glob(entry[1:])
        for path in _apart(paths, without):
            yield from _from_path(path, base, without)
    else:
        yield Listed(entry, absolute(entry, base), written=(entry, None))


def _apart(paths: Iterable[Path], without: Path | None) -> list[Path]:
    return sorted(path for path in paths if without is None or not path.resolve().is_relative_to(without.resolve()))


def _from_path(path: Path, base: Path, without: Path | None) -> Iterator[Listed]:
    """Yield the models of a file or folder; a folder with a configuration is one of the Hub's."""
    if path.suffix == ".csv":
        yield from (_from_table(row, path.parent) for row in _csv_rows(path))
    elif path.suffix == ".onnx" or (path / "config.json").exists():
        yield _from_file(path, base)
    elif path.is_dir():
        inside = (*path.rglob("*.onnx"), *(config.parent for config in path.rglob("config.json")))
        yield from (_from_file(one, base) for one in _apart(inside, without))


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield a table for each line of a .csv file under its head."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            head = list(reader.fieldnames or ())
            if twice := [name for name in head if name and head.count(name) > 1]:
                raise csv.Error(f"it has two columns {twice[0]!r}")
            for row in reader:
                if row.pop(None, None):  # pyright: ignore[reportArgumentType] the key of cells beyond the head
                    raise csv.Error(f"line {reader.line_num} has more cells than the first")
                if row.get(""):  # as pandas writes an index
                    raise csv.Error(f"line {reader.line_num} has {row['']!r} in a column without a name")
                yield {key: _cell(text) if key in LOADING else text for key, text in row.items() if text}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "Give a file in UTF-8 with commas, the columns in its first line; quote a cell that has a comma."
        raise HxError(f"List {str(path)!r} cannot be read: {reason}.", code="HX406", hint=hint) from error


def _from_file(path: Path, base: Path) -> Listed:
    name = _below(path, base)
    return Listed(name, str(_absolute(path)), written=(name, None))


def _from_table(table: dict[str, Any], base: Path) -> Listed:
    unknown = [str(key) for key in table if key not in COLUMNS]
    if unknown or not isinstance(table.get("model"), str):
        what = f"has {', '.join(map(repr, unknown))}, which is nothing of a model" if unknown else "names no model"
        hint = f"Give it `model`, and of {', '.join(sorted(COLUMNS - {'model'}))} what it needs."
        raise HxError(f"Model {table!r} {what}.", code="HX406", hint=hint, argument="models")
    for key, value in table.items():
        if not isinstance(value, bool if key in FLAGS else str):
            hint = f"Give it as {'true or false' if key in FLAGS else 'a string'}."
            raise HxError(f"Model {table!r}: {key!r} is {value!r}.", code="HX406", hint=hint, argument="models")
    model, against = table["model"], table.get("against")
    return Listed(
        table.get("name", model),
        absolute(model, base),
        against and absolute(against, base),
        {key: value for key, value in table.items() if key in LOADING},
        (model, against),
    )


def _cell(text: str) -> str | bool:
    return {"true": True, "false": False}.get(text.lower(), text)


def _below(path: Path, base: Path) -> str:
    whole, folder = _absolute(path), _absolute(base)
    name = whole.relative_to(folder).as_posix() if whole.is_relative_to(folder) else str(whole)
    return name.encode("utf-8", "backslashreplace").decode()  # a file's name may be any bytes


def _is_glob(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _refused(message: str, hint: str) -> HxError:
    return HxError(message, code="HX405", hint=hint, argument="models")
