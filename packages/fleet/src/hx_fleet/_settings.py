"""What a run is asked for, read and checked before any work."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import os
import platform
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import hx
from hx.files import sidecar_path
from hx.records.fleet import BY_CALL, STEPS, FleetRun
from hx_fleet._models import absolute, expand
from hx_fleet._units import LOCK, RunFolder, Unit
from hx_fleet.worker.memory import can_limit_memory
from hx_sidecar_schema import HxError, check_choice

PACKAGES = ("torch", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy", "hx-onnx", "hx-fleet")
Run = str | Path | Mapping[str, Any] | FleetRun


def read_run(run: Run, changes: Mapping[str, Any]) -> tuple[FleetRun, Path]:
    """Return what a run is asked for, and the folder from which its paths start.

    Args:
        run: A .toml file, or its fields.
        changes: Fields that are other than there.

    Raises:
        HxError: HX406 if the file cannot be read or a field is not what it must be.
    """
    base = Path()
    fields: Mapping[str, Any]
    if isinstance(run, FleetRun):
        fields = run.model_dump()
    elif isinstance(run, Mapping):
        fields = run
    elif not isinstance(run, str | Path):  # pyright: ignore[reportUnnecessaryIsInstance]
        hint = 'Give the path of a TOML file, or fields like `{"models": ["tiny:bert"], "steps": ["export"]}`.'
        raise HxError(f"{run!r} is no run.", code="HX406", hint=hint, argument="run")
    else:
        base = Path(run).parent
        try:
            fields = tomllib.loads(Path(run).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            hint = 'Give a TOML file with lines like `models = ["tiny:bert"]` and `steps = ["export"]`.'
            raise HxError(f"Run {str(run)!r} cannot be read: {reason}.", code="HX406", hint=hint) from error
    if isinstance(fields.get("models"), Sequence) and not isinstance(fields["models"], str):
        fields = {**fields, "models": [_plain(model) for model in fields["models"]]}
    try:
        settings = FleetRun.model_validate({**fields, **changes})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        field = FleetRun.model_fields.get(str(first["loc"][0])) if first["loc"] else None
        hint = f"A run has {', '.join(FleetRun.model_fields)}." if field is None else f"`{where}`: {field.description}"
        raise HxError(f"Field {where!r} of the run: {first['msg']}.", code="HX406", hint=hint) from error
    if settings.memory_bytes is not None and not can_limit_memory():
        hint = "Run without a limit of memory."
        raise HxError("The memory of a process cannot be limited here: there is no /proc.", code="HX406", hint=hint)
    return settings, base.resolve()


def _plain(model: Any) -> Any:
    """Return a model as a .toml file has it."""
    if isinstance(model, hx.ModelSpec):
        return {name: value for name, value in vars(model).items() if value not in (None, False)}
    return str(model) if isinstance(model, Path) else model


def units_of(settings: FleetRun, base: Path, shard: str | None, output: Path | None = None) -> list[Unit]:
    """Return a unit for each model, those of one shard where one is asked for; no file in the run's own folder is one of them.

    Raises:
        HxError: HX405 or HX406 where models, steps, options or the shard are not what they must be.
    """
    steps: list[tuple[str, str, dict[str, Any]]] = []
    for name in settings.steps:
        function = absolute(name, base)
        _check_step(name, function)
        if any(name == other for other, _, _ in steps):
            hint = "Name it once."
            raise HxError(f"Step {name!r} is named twice.", code="HX406", hint=hint, argument="steps")
        steps.append((name, function, settings.options.get(name, {})))
    for name in settings.keep:
        check_choice("keep", name, STEPS)
    _check_options(settings)
    part, parts = _shard(shard)
    models = expand(settings.models, base, output)
    if settings.split_calls > 1 and (other := [one.name for one in models if not one.model.endswith(".onnx")]):
        hint = "Export it in a run before, and name the .onnx file with `against`."
        raise HxError(f"The calls of {other[0]!r} cannot be divided: it is no .onnx file.", code="HX406", hint=hint)
    divided = settings.split_calls > 1 and not set(BY_CALL).isdisjoint(settings.steps)
    bare = [one.name for one in models if divided and not sidecar_path(Path(one.model)).exists()]
    if bare and "project" in settings.steps:
        message = f"The calls of {bare[0]!r} cannot be divided before `project`: it has no sidecar."
        hint = "Run `hx project` on the file before: it writes the sidecar beside it."
        raise HxError(message, code="HX406", hint=hint, argument="split_calls")
    return [
        Unit(
            name=model.name,
            model=model.model,
            loading=model.loading,
            against=model.against,
            base=str(base),
            written=model.written,
            steps=tuple(steps),
            keep=tuple(settings.keep),
            timeout_s=settings.timeout_s,
            memory_bytes=settings.memory_bytes,
            retries=settings.retries,
            shares=settings.split_calls,
        )
        for position, model in enumerate(models)
        if position % parts == part - 1
    ]


def _check_step(name: str, function: str) -> None:
    """Stop where a step is none, or where there is no file that its function could be in."""
    place, colon, attribute = function.rpartition(":")
    if not colon:
        check_choice("steps", name, STEPS)
    elif not (place and attribute.isidentifier()) or (place.endswith(".py") and not Path(place).is_file()):
        what = "is no function" if not (place and attribute.isidentifier()) else f"needs {place!r}, which is no file"
        hint = "Name it like file.py:function or package.module:function; a path starts from the run's folder."
        raise HxError(f"Step {name!r} {what}.", code="HX406", hint=hint, argument="steps")


def _check_options(settings: FleetRun) -> None:
    for step, options in settings.options.items():
        for name, value in options.items():
            try:
                json.dumps(value)
            except TypeError as error:
                message = f"Option {name!r} of step {step!r} is {value!r}, which JSON has not."
                hint = "Give it as a string, a number, a list or a table."
                raise HxError(message, code="HX406", hint=hint, argument="options") from error
        if step not in settings.steps:
            hint = f"Name a step of the run: {', '.join(settings.steps)}."
            raise HxError(f"Options are given for {step!r}, which is no step.", code="HX406", hint=hint)
        if step in STEPS:
            taken = inspect.signature(getattr(hx, step)).parameters
            own = {
                "f",
                "model",
                "models",
                "against",
                "output",
                "overwrite",
                "progress",
                "modules",
                "measured",
                "sidecar",
            }
            unknown = [name for name in options if name not in taken or name in own]
            if unknown:
                hint = f"`hx.{step}` takes {', '.join(name for name in taken if name not in own)}."
                raise HxError(f"Step {step!r} has no option {unknown[0]!r}.", code="HX406", hint=hint)


def _shard(text: str | None) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text or "1/1")
    part, parts = map(int, match.groups()) if match else (0, 0)
    if not 1 <= part <= parts:
        raise HxError(f"Shard {text!r} is none.", code="HX406", hint="Write it like 1/4, 2/4, ...", argument="shard")
    return part, parts


def versions() -> dict[str, str]:
    """Return the versions of what decides the results of a run."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # an ONNX file needs no transformers
            found[name] = ""
    return found


def check_folder(folder: RunFolder) -> None:
    """Stop where a folder holds other things and no run.

    Raises:
        HxError: HX417 if it does.
    """
    if (folder.path / "run.json").exists() or not folder.path.exists():
        return
    if any(entry.name not in (LOCK, "working") for entry in folder.path.iterdir()):
        hint = "Name a folder that is empty or not there."
        message = f"Folder {str(folder.path)!r} holds other things, and no run."
        raise HxError(message, code="HX417", hint=hint, argument="output")


def check_versions(folder: RunFolder, *, overwrite: bool = False) -> None:
    """Stop where a run was begun with other versions; note them where it begins, or begins anew.

    Raises:
        HxError: HX417 if it was begun with other versions.
    """
    path, now = folder.path / "run.json", versions()
    if overwrite or not path.exists():
        written = folder.path / "working" / "run.json"
        written.parent.mkdir(exist_ok=True)
        written.write_text(json.dumps({"versions": now}, indent=1) + "\n", encoding="utf-8")
        os.replace(written, path)
        return
    try:
        before: dict[str, str] = dict(json.loads(path.read_bytes())["versions"])
    except (ValueError, TypeError, KeyError) as error:
        hint = "Begin the run anew, or name another folder."
        raise HxError(f"{str(path)!r} is not of a run.", code="HX417", hint=hint, argument="overwrite") from error
    other = [f"{name} {before.get(name)}, now {now.get(name)}" for name in now if before.get(name) != now[name]]
    if other:
        hint = "Finish it with the versions that it was begun with, or name another folder, whose run can be compared with it."
        message = f"Run {str(folder.path)!r} was begun with {'; '.join(other)}."
        raise HxError(message, code="HX417", hint=hint)


def only_failed(units: Sequence[Unit], folder: RunFolder) -> list[Unit]:
    """Return the units of which a step failed."""
    results = ((unit, folder.read(unit.id)) for unit in units)
    return [unit for unit, found in results if found and any(step.status == "failed" for step in found.steps)]
