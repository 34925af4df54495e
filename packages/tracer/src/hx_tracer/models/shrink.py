"""Making a model configuration small: fewer layers, narrower, smaller images and vocabularies.

What an attribute is follows from its name (a number of layers, a width, a number of heads, ...) and its value, never from
the architecture. Relations that models check are kept: equal widths stay equal, heads divide widths, lists with one entry
a layer follow the number of layers, token ids stay inside the vocabulary.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from hx_tracer.inputs.config_sizes import configs
from hx_tracer.models.attribute_kinds import (
    MIN_CHANGED,
    VOCAB,
    entries,
    flat,
    is_int,
    is_width,
    main_width,
    mapped,
    put,
)
from hx_tracer.models.shrink_counts import shrink_counts
from hx_tracer.models.shrink_widths import divide, head_size, set_widths

_IMAGE = re.compile(r"(image|img)_size$|^input_size$")
_TOKEN_ID = re.compile(r"token_?(id|idx|index)s?$|token_id_|_ids?$")
_PLACEHOLDER = re.compile(r"^(image|audio|video)_token_(id|index|idx)$")
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
    """Shrink a configuration and its sub-configurations in place."""
    tree = list(configs(config))
    mains = sorted({w for one in tree if (w := main_width(one)) is not None and w >= MIN_CHANGED}) or [256]
    width, most_heads = plan.width, 4
    if plan.keep_heads:
        texts = [one for one in tree if "vocab_size" in vars(one)]
        width, most_heads = 2 * max((head_size(one) for one in texts or tree), default=0) or width, 2
    stages = any(is_width(n, v) or n.startswith(("depth", "num_heads", "num_attention_heads")) for n, v in _lists(tree))
    uses_ratio = plan.widths == "ratio" or (plan.widths == "target" and len(tree) == 1 and stages)
    # One power of two for the whole tree, so that equal widths stay equal and sums and multiples hold.
    divisor = 2 ** max(0, math.ceil(math.log2(max(mains) / (1.5 * plan.width))))
    if plan.images:
        _shrink_images(tree)
    for one in tree:
        if uses_ratio:
            widths = [v for name, value in _lists(tree) if is_width(name, value) for v in flat(value) if v > 3]
            while divisor > 1 and min(widths, default=divisor * 8) / divisor < 8:
                divisor //= 2
            divide(one, divisor)
        elif plan.widths == "target":
            set_widths(one, mains, width, most_heads)
        shrink_counts(one, plan.layers, plan.experts)
    _shrink_tokens(tree)


def _lists(tree: list[Any]) -> list[tuple[str, Any]]:
    return [(name, value) for _, name, value in entries(tree) if isinstance(value, (list, tuple))]


def _shrink_images(tree: list[Any]) -> None:
    """Set image sizes to four patches a side, and numbers of patches with them."""
    patches = [v for _, name, value in entries(tree) if name == "patch_size" for v in flat(value)]
    sizes = [v for _, name, value in entries(tree) if _IMAGE.search(name) for v in flat(value)]
    patch = max(patches, default=16)
    small = max(patch * 4, 64 if 64 % patch == 0 else 0)
    if max(sizes, default=0) <= small or min(sizes) < small:
        return
    old, new = max(sizes) // patch, small // patch
    for one, name, value in entries(tree):
        if _IMAGE.search(name):
            if isinstance(value, dict):
                put(one, name, {k: min(v, small) if is_int(v) else v for k, v in value.items()})
            else:
                put(one, name, mapped(value, lambda v: min(v, small)))
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
    known = [(one, name, value) for one, name, value in entries(tree) if "type" not in name]
    sizes = [value for _, name, value in known if VOCAB.search(name) and is_int(value) and value > 16]
    if not sizes:
        return
    limit = min(sizes)
    ids = [(one, name, value) for one, name, value in known if _TOKEN_ID.search(name)]
    used = {token for _, _, value in ids for token in flat(value)}
    free = iter(token for token in range(limit - 1, -1, -1) if token not in used)
    moved: dict[int, int] = {}

    def move(token: int) -> int:
        if token >= limit and token not in moved:
            moved[token] = next(free, limit - 1)
        return moved.get(token, token)

    for one, name, value in ids:
        put(one, name, mapped(value, move))
    for one, name, value in known:
        if value is None and _PLACEHOLDER.search(name):
            put(one, name, next(free, limit - 1))
