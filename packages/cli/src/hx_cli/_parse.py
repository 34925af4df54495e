"""Options that are more than one word."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hx_sidecar_schema import HxError, TorchNN


def parse_shapes(texts: Iterable[str]) -> dict[str, list[int]]:
    """Parse `NAME=2,3,224,224`; `NAME=` is the shape of a scalar.

    Raises:
        HxError: HX406 if one is not of that form, or names an input twice.
    """
    shapes: dict[str, list[int]] = {}
    for text in texts:
        match = re.fullmatch(r"([A-Za-z_]\w*)=((?:\d+(?:,\d+)*)?)", text.replace(" ", ""))
        if match is None or match[1] in shapes:
            what = "gives an input a second time" if match else "is not NAME=SIZE,SIZE,..."
            raise HxError(
                f"Input shape {text!r} {what}.",
                code="HX406",
                hint="Write it like --input-shape pixel_values=2,3,224,224, once for an input.",
            )
        shapes[match[1]] = [int(size) for size in match[2].split(",") if size]
    return shapes


def parse_torch_nn(text: str) -> TorchNN:
    """Parse `default`, `all`, `none` or class names.

    Raises:
        HxError: HX406 if a name cannot be a class.
    """
    if text == "default" or text == "all" or text == "none":  # one by one: this narrows the type
        return text
    names = [name.strip() for name in text.split(",")]
    if not all(name.isidentifier() for name in names):
        raise HxError(
            f"torch.nn classes {text!r} are neither default, all, none nor class names.",
            code="HX406",
            hint="Write them like --torch-nn Linear,Conv2d,LayerNorm.",
        )
    return names
