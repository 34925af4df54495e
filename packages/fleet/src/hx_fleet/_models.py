"""The models that a list of names stands for."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import hx
from hx_sidecar_schema import HxError

TINY = "tiny:"
LOADING = {one.name for one in fields(hx.ModelSpec)} - {"model"}
COLUMNS = {"model", "name", "against", *LOADING}


@dataclass(frozen=True)
class Listed:
    """A model of a list."""

    name: str
    """As it is named, of a file the path below the list's folder."""
    model: str
    """As `hx.ModelSpec` takes it, or an ONNX file; a path is absolute."""
    against: str | None = None
    loading: dict[str, Any] = field(default_factory=dict[str, Any])


def expand(entries: Sequence[str | dict[str, Any]], base: Path) -> list[Listed]:
    """Return the models that entries of a list stand for, each once, in the order of the list.

    Args:
        entries: As in `FleetRun.models`.
        base: The folder that relative paths start from.

    Raises:
        HxError: HX405 if an entry stands for nothing, if there is none, or if two models have one name; HX406 if a table or a
            .csv file has a column that is none.
    """
    listed: dict[str, Listed] = {}
    for entry in entries:
        found = list(_expand(entry, base))
        if not found:
            raise _refused(f"Models {entry!r} are none.", "Name a folder, glob or list that has models.")
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
        return f"{(base / path).resolve()}{colon}{function}"
    return spec


def _expand(entry: str | dict[str, Any], base: Path) -> Iterator[Listed]:
    if isinstance(entry, dict):
        yield _from_table(entry, base)
    elif entry.startswith(TINY) and _is_glob(entry):
        from hx_tracer import architectures

        names = (f"{TINY}{name}" for name in architectures())
        yield from (Listed(name, name) for name in names if fnmatchcase(name, entry))
    elif _is_glob(entry):
        for path in sorted(base.glob(entry) if not Path(entry).is_absolute() else Path("/").glob(entry[1:])):
            yield from _from_path(path, base)
    elif (base / entry).is_file() or (base / entry).is_dir():
        yield from _from_path(base / entry, base)
    else:
        yield Listed(entry, absolute(entry, base))


def _from_path(path: Path, base: Path) -> Iterator[Listed]:
    """Yield the models of a file or folder; a folder with a configuration is one of the Hub's."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                yield _from_table({key: _cell(text) for key, text in row.items() if text}, path.parent)
    elif path.suffix == ".onnx" or (path / "config.json").exists():
        yield Listed(_below(path, base), str(path.resolve()))
    elif path.is_dir():
        inside = (*path.rglob("*.onnx"), *(config.parent for config in path.rglob("config.json")))
        yield from (Listed(_below(one, base), str(one.resolve())) for one in sorted(inside))


def _from_table(table: dict[str, Any], base: Path) -> Listed:
    unknown = [str(key) for key in table if key not in COLUMNS]
    if unknown or not isinstance(table.get("model"), str):
        what = f"has {', '.join(map(repr, unknown))}, which is nothing of a model" if unknown else "names no model"
        hint = f"Give it `model`, and of {', '.join(sorted(COLUMNS - {'model'}))} what it needs."
        raise HxError(f"Model {table!r} {what}.", code="HX406", hint=hint, argument="models")
    model, against = table["model"], table.get("against")
    return Listed(
        str(table.get("name", model)),
        absolute(model, base),
        against and absolute(against, base),
        {key: value for key, value in table.items() if key in LOADING},
    )


def _cell(text: str) -> str | bool:
    return {"true": True, "false": False}.get(text.lower(), text)


def _below(path: Path, base: Path) -> str:
    resolved, folder = path.resolve(), base.resolve()
    return resolved.relative_to(folder).as_posix() if resolved.is_relative_to(folder) else str(resolved)


def _is_glob(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _refused(message: str, hint: str) -> HxError:
    return HxError(message, code="HX405", hint=hint, argument="models")
