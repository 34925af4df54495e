"""Making the widths of a configuration small: heads still divide them, equal ones stay equal."""

from __future__ import annotations

import math
import re
from typing import Any

from hx_tracer.inputs.config_sizes import attributes
from hx_tracer.models.attribute_kinds import (
    HEAD_DIM,
    HEADS,
    KV_HEADS,
    MIN_CHANGED,
    flat,
    is_int,
    is_width,
    main_width,
    mapped,
    put,
)

_GROUPS = re.compile(r"^(num_)?groups$|^n_groups?$|norm_groups$|num_groups$")


def head_size(config: object) -> int:
    """Return the size of one attention head: as stored, or the main width over the number of heads; 0 without either."""
    known = attributes(config)
    stored = known.get("head_dim")
    if isinstance(stored, int) and stored:
        return stored
    main, heads = main_width(config), _heads(known)
    return main // heads if main and heads else 0


def _heads(known: dict[str, Any]) -> int | None:
    """Return the number of attention heads, not of key and value heads; None without one."""
    names = (name for name, value in known.items() if is_int(value) and HEADS.search(name))
    return next((known[name] for name in names if not KV_HEADS.search(name) and not HEAD_DIM.search(name)), None)


def set_widths(config: Any, mains: list[int], width: int, most: int) -> None:
    """Set every width to `width`, half or double of it, and at most `most` heads and their size so that they fit.

    `mains` are the main widths of all configurations, ascending.
    """

    def near(value: int) -> int:
        if value < MIN_CHANGED:
            return value
        if 2 * value in mains and value not in mains:
            return width // 2
        return width // 2 if value < mains[0] else 2 * width if value > mains[-1] else width

    if vars(config).get("head_dim", 0) is None and (size := head_size(config)):
        put(config, "head_dim", size)
    known = dict(vars(config))
    heads = _heads(known)
    new_heads = min(heads, most) if heads else most
    sizes = {n: v for n, v in known.items() if is_int(v) and v > 0 and HEAD_DIM.search(n)}
    reference = sizes.get("head_dim", min(sizes.values(), default=16))
    target = width // new_heads if new_heads > 1 else 16
    for name, value in known.items():
        if name in sizes:
            scaled = value * target // reference if reference > target else value
            put(config, name, max(scaled - scaled % 2, 2))
        elif KV_HEADS.search(name) and is_int(value) and heads:
            put(config, name, max(1, min(value, heads) * new_heads // heads))
        elif HEADS.search(name) and is_int(value) and value > most:
            put(config, name, most)
        elif is_width(name, value):
            put(config, name, mapped(value, near))
        elif _GROUPS.search(name) and is_int(value) and value > 4:
            put(config, name, 4)
    old = reference if sizes else (main_width(config) or width) // (heads or 1)
    _shrink_sections(config, old, target if old > target else old)


def divide(config: Any, divisor: int) -> None:
    """Divide every width by a power of two, `divisor`: the number of heads by a part of it, their size by the rest."""
    known = dict(vars(config))
    heads = [v for n, v in known.items() if HEADS.search(n) and not KV_HEADS.search(n) for v in flat(v) if v > 0]
    sizes = [v for n, value in known.items() if HEAD_DIM.search(n) for v in flat(value) if v > 0]
    main = main_width(config)
    if not sizes and main and heads and main % max(heads) == 0:
        sizes = [main // max(heads)]
    fewer = 1
    common = math.gcd(*heads) if heads else 1
    while fewer < divisor and common % (fewer * 2) == 0 and common // (fewer * 2) >= 2:
        fewer *= 2
    smaller = max(divisor // fewer, 1)
    while sizes and smaller > 1 and min(sizes) // smaller < 4:
        smaller //= 2
    for name, value in known.items():
        if HEAD_DIM.search(name):
            put(config, name, mapped(value, lambda v: max(2, v // smaller)))
        elif KV_HEADS.search(name) or HEADS.search(name):
            put(config, name, mapped(value, lambda v: max(1, v // fewer)))
        elif is_width(name, value):
            put(config, name, mapped(value, lambda v: v // divisor if v // divisor >= 2 and v > 3 else v))
        elif _GROUPS.search(name):
            put(config, name, mapped(value, lambda v: min(v, 4)))
    if sizes:
        _shrink_sections(config, min(sizes), min(sizes) // smaller)


def _shrink_sections(config: Any, old: int, new: int) -> None:
    """Scale rotary sections (rotary pairs of each axis) with the size of one head."""
    if not 0 < new < old:
        return
    for name, value in list(vars(config).items()):
        if isinstance(value, dict):
            for key, item in value.items():
                if "section" in str(key) and isinstance(item, (list, tuple)):
                    value[key] = _rescaled(item, old, new)
        elif "section" in name and isinstance(value, (list, tuple)):
            put(config, name, _rescaled(value, old, new))


def _rescaled(sections: Any, old: int, new: int) -> Any:
    total = max(sum(sections) * new // old, 1)
    kept = [max(s * new // old, 1) for s in sections]
    kept[-1] += total - sum(kept)
    return type(sections)(kept)
