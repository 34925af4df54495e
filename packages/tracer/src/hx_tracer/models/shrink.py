"""Making a model configuration small: fewer layers, narrower, smaller images and vocabularies.

What an attribute is follows from its name (a number of layers, a width, a number of heads, ...) and its value, never from
the architecture. Relations that models check are kept: equal widths stay equal, heads divide widths, lists with one entry
a layer follow the number of layers, token ids stay inside the vocabulary.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from hx_tracer.inputs.config_sizes import configs
from hx_tracer.models.attribute_kinds import (
    IMAGE,
    MIN_CHANGED,
    PLACEHOLDER,
    TOKEN_ID,
    VOCAB,
    flat,
    is_int,
    is_width,
    main_width,
    mapped,
    put,
)
from hx_tracer.models.shrink_counts import shrink_counts
from hx_tracer.models.shrink_widths import divide, head_size, set_widths

_PATCH_COUNT = re.compile(r"(num|max|image|mm).*(patch|tokens|seq_len)|^num_position_embeddings$")


@dataclass(frozen=True)
class Plan:
    """How far to shrink.

    Attributes:
        widths: `target` sets widths near `width`; `ratio` divides all widths of the tree by one power of two;
            `keep` leaves them.
        width: The size that the main widths should reach, about.
        layers: Upper bound on layers of one kind.
        images: Whether image sizes are shrunk.
        experts: Upper bound on experts of a mixture.
        keep_heads: With `target`, whether the size of one head stays and widths become two of them.
    """

    widths: Literal["target", "ratio", "keep"] = "target"
    width: int = 64
    layers: int = 2
    images: bool = True
    experts: int = 4
    keep_heads: bool = False


PLANS = (
    Plan(),
    Plan(widths="ratio"),
    Plan(keep_heads=True),
    Plan(widths="ratio", images=False),
    Plan(layers=4),
    Plan(widths="ratio", layers=4, width=96),
    Plan(widths="ratio", layers=6, width=192, images=False, experts=8),
    Plan(widths="keep", layers=2),
    Plan(widths="keep", layers=4, images=False),
)


def shrink(config: Any, plan: Plan) -> None:
    """Shrink a configuration and its sub-configurations in place.

    Args:
        config: Changed.
        plan: How far.
    """
    tree = list(configs(config))
    mains = sorted({w for one in tree if (w := main_width(one)) is not None and w >= MIN_CHANGED}) or [256]
    # One power of two for the whole tree, so that equal widths stay equal and sums and multiples hold.
    divisor = 2 ** max(0, math.ceil(math.log2(max(mains) / (1.5 * plan.width))))
    uses_ratio = plan.widths == "ratio" or (plan.widths == "target" and len(tree) == 1 and _width_lists(config))
    if plan.keep_heads:
        texts = [one for one in tree if "vocab_size" in vars(one)]
        plan = replace(plan, width=2 * max((head_size(one) for one in texts or tree), default=0) or plan.width)
    if plan.images:
        _shrink_images(tree)
    for one in tree:
        if uses_ratio:
            lists = _narrowest(tree)
            while divisor > 1 and lists / divisor < 8:
                divisor //= 2
            divide(one, divisor)
        elif plan.widths == "target":
            set_widths(one, mains, plan.width, 2 if plan.keep_heads else 4)
        shrink_counts(one, plan.layers, plan.experts)
    _shrink_tokens(tree)


def _width_lists(config: object) -> bool:
    known = vars(config)
    return any(isinstance(v, (list, tuple)) and is_width(n, v) for n, v in known.items()) or any(
        isinstance(v, (list, tuple)) and n.startswith(("depth", "num_heads", "num_attention_heads"))
        for n, v in known.items()
    )


def _narrowest(tree: list[Any]) -> int:
    found = [
        min(v for v in flat(value) if v > 3)
        for one in tree
        for name, value in vars(one).items()
        if isinstance(value, (list, tuple)) and is_width(name, value)
    ]
    return min(found, default=1 << 30)


def _shrink_images(tree: list[Any]) -> None:
    """Set image sizes to four patches a side, and numbers of patches with them."""
    patches = [v for one in tree for n, v in vars(one).items() if n == "patch_size" for v in flat(v)]
    sizes = [v for one in tree for n, v in vars(one).items() if IMAGE.search(n) for v in flat(v)]
    patch = max(patches, default=16)
    large = max(sizes, default=0)
    small = max(patch * 4, 64 if patch * 4 < 64 and 64 % patch == 0 else 0)
    if large <= small or min(sizes) < small:
        return
    old, new = large // patch, small // patch
    for one in tree:
        for name, value in list(vars(one).items()):
            if IMAGE.search(name):
                if isinstance(value, dict):
                    put(one, name, {k: min(v, small) if is_int(v) else v for k, v in value.items()})
                else:
                    put(one, name, mapped(value, lambda v: small if v >= small else v))
            elif name == "window_size":
                put(one, name, mapped(value, lambda v: min(v, 2)))
            elif value == old and re.search(r"image|grid", name):
                put(one, name, new)
            elif is_int(value) and _PATCH_COUNT.search(name):
                # There are no more tokens than patches: a larger default belongs to a larger image.
                count = min(value, old * old) if "tokens" in name else value
                scaled = count * new * new // (old * old)
                if count <= old * old and scaled and math.isqrt(scaled) ** 2 == scaled:
                    put(one, name, scaled)


def _shrink_tokens(tree: list[Any]) -> None:
    """Replace special token ids outside the vocabulary by unused ids at its end, equal ones by one id."""
    sizes = [
        v for one in tree for n, v in vars(one).items() if VOCAB.search(n) and is_int(v) and v > 16 and "type" not in n
    ]
    if not sizes:
        return
    limit = min(sizes)
    found = [(one, n, v) for one in tree for n, v in vars(one).items() if TOKEN_ID.search(n) and "type" not in n]
    used = {i for _, _, v in found for i in flat(v)}
    free = iter(i for i in range(limit - 1, -1, -1) if i not in used)
    moved: dict[int, int] = {}

    def move(value: int) -> int:
        if value < limit:
            return value
        if value not in moved:
            moved[value] = next(free, limit - 1)
        return moved[value]

    for one, name, value in found:
        put(one, name, mapped(value, move))
    for one in tree:
        for name, value in list(vars(one).items()):
            if value is None and PLACEHOLDER.search(name):
                put(one, name, next(free, limit - 1))
