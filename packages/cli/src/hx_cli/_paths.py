"""Which model a command reads, and under which name it writes one."""

import json
import re
from pathlib import Path

from hx.files import file_stem
from hx_sidecar_schema import SIDECAR_SUFFIX, HxError, read_file


def export_path(output: Path | None, spec: str, *, beside: bool = False) -> Path:
    """Return where an exported model goes: what is given, else the last part of the model spec, here or in the folder it names."""
    if output is not None:
        return output
    place = spec if Path(spec).is_dir() or "@" not in spec else spec.rpartition("@")[0]
    place = Path(place).resolve().name if Path(place).is_dir() else place
    name = f"{file_stem(re.split(r'[/:]', place)[-1])}.onnx"
    return Path(spec) / name if beside and Path(spec).is_dir() else Path(name)


def find_model(given: Path | None) -> Path:
    """Return the model to read: the one that is named, or the only export in the current folder."""
    if given is not None:
        return given
    sidecars = sorted(Path().glob(f"*{SIDECAR_SUFFIX}"))
    if len(sidecars) > 1:
        sidecars = [path for path in sidecars if _is_whole(path)] or sidecars
    held = [f"{path.name.removesuffix(SIDECAR_SUFFIX)}.onnx" for path in sidecars]
    if len(held) == 1:
        return Path(held[0])
    if held:
        message = f"The current folder holds {len(held)} exports: {', '.join(map(repr, held))}."
        raise HxError(message, code="HX403", hint=f"Name one of them, like {held[0]!r}.")
    models = sorted(path.name for path in Path().glob("*.onnx"))
    what = f"only {', '.join(map(repr, models))} without a sidecar" if models else "no model at all"
    hint = "Name the .onnx file, or make one with `hx export MODEL`."
    raise HxError(f"The current folder {str(Path.cwd())!r} holds no export of hx, {what}.", code="HX403", hint=hint)


def _is_whole(sidecar: Path) -> bool:
    """Say whether a sidecar is of an export, and not of a module that was cut out of one into the same folder."""
    try:
        return json.loads(read_file(sidecar))["modules"][0]["fqn"] == ""
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return True
