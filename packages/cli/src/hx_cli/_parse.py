"""Options that are more than one word."""

import math
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hx_sidecar_schema import HxError, TorchNN


def _refused(message: str, example: str, code: str = "HX406") -> HxError:
    return HxError(message, code=code, hint=f"Write it like {example}.")


def parse_shapes(texts: Iterable[str]) -> dict[str, list[int | None]]:
    """Parse `NAME=2,3,224,224`, each input once; `NAME=` is the shape of a scalar, `?` a size that is not given."""
    shapes: dict[str, list[int | None]] = {}
    for text in texts:
        match = re.fullmatch(r"([^=]+)=((?:(?:\d+|\?)(?:,(?:\d+|\?))*)?)", text.replace(" ", ""))
        if match is None or match[1] in shapes:
            what = "gives an input a second time" if match else "is not NAME=SIZE,SIZE,..."
            example = "--input-shape pixel_values=2,3,224,224, once for an input"
            raise _refused(f"Input shape {text!r} {what}.", example)
        shapes[match[1]] = [None if size == "?" else int(size) for size in match[2].split(",") if size]
    return shapes


def parse_axes(texts: Iterable[str]) -> dict[str, dict[int, str]]:
    """Parse `NAME:AXIS=SYMBOL`."""
    axes: dict[str, dict[int, str]] = {}
    for text in texts:
        match = re.fullmatch(r"(.+):(\d+)=([A-Za-z]\w*)", text)
        if match is None:
            message = f"Dynamic shape {text!r} is not NAME:AXIS=SYMBOL."
            raise _refused(message, "--dynamic-shape input_ids:1=sequence", code="HX112")
        axes.setdefault(match[1], {})[int(match[2])] = match[3]
    return axes


def parse_torch_nn(text: str) -> TorchNN:
    """Parse `default`, `all`, `none` or class names."""
    if text == "default" or text == "all" or text == "none":  # one by one: this narrows the type
        return text
    names = [name.strip() for name in text.split(",")]
    if not all(name.isidentifier() for name in names):
        message = f"torch.nn classes {text!r} are neither default, all, none nor class names."
        raise HxError(message, code="HX406", hint="Write them like --torch-nn Linear,Conv2d,LayerNorm.")
    return names


def parse_memory(text: str) -> int:
    """Parse a size: `500MB`, `1.5GB`, `2GiB`, or a number of bytes; return bytes. Decimal and binary units differ."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *(?:([kmgt])(i?)b?|b)?", text.strip(), re.IGNORECASE)
    number, unit, binary = match.groups() if match else ("0", None, None)
    size = int(float(number) * (1024 if binary else 1000) ** " kmgt".index((unit or " ").lower()))
    if size == 0:
        raise _refused(f"Memory {text!r} is no size.", "--memory 500MB or --memory 2GiB")
    return size


def parse_threshold(value: float | None) -> float | None:
    """Refuse a largest error that is negative, infinite or no number."""
    if value is not None and not 0 <= value < math.inf:
        example = "--fail-over 1e-3: relative to the largest magnitude of an output"
        raise _refused(f"Error {value!r} of --fail-over is no limit.", example)
    return value


def read_thresholds(texts: Iterable[str], file: Path | None) -> dict[str, float]:
    """Return the covered share, in percent, below which categories are warned of.

    Texts are `NAME=PERCENT`, and win over the file: TOML with `NAME = PERCENT`, at its top or in a table `thresholds`.
    """
    given = {} if file is None else dict(_table(file))
    for text in texts:
        name, equals, value = text.rpartition("=")
        if not equals:
            raise _refused(f"Threshold {text!r} is not NAME=PERCENT.", "--threshold activation=99")
        given[name] = value
    return {name: _percent(value, name) for name, value in given.items()}


def _table(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            content = tomllib.load(stream)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "Give a TOML file with lines like `activation = 99`."
        raise HxError(f"Thresholds {str(file)!r} cannot be read: {reason}.", code="HX406", hint=hint) from error
    table = content.get("thresholds", content)
    return table if isinstance(table, dict) else content


def _percent(value: object, name: str) -> float:
    try:
        number = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else -1.0
    except ValueError:
        number = -1.0
    if not 0 <= number <= 100:
        hint = "Give a number from 0 to 100, like --threshold activation=99."
        raise HxError(f"Threshold {value!r} of {name!r} is no percentage.", code="HX406", hint=hint)
    return number
