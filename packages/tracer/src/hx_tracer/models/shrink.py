"""Making a model configuration small: fewer layers, narrower, smaller images and vocabularies.

What an attribute is follows from its name (a number of layers, a width, a number of heads, ...) and its value, never from
the architecture. Relations that models check are kept: equal widths stay equal, heads divide widths, lists with one entry
a layer follow the number of layers, token ids stay inside the vocabulary.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from hx_tracer.inputs.config_sizes import attributes, configs
from hx_tracer.models.attribute_kinds import (
    HEAD_DIM,
    HEADS,
    KV_HEADS,
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

_GROUPS = re.compile(r"^(num_)?groups$|^n_groups?$|norm_groups$|num_groups$")
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
        width, most_heads = 2 * max((_head_size(one) for one in texts or tree), default=0) or width, 2
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
            _divide(one, divisor)
        elif plan.widths == "target":
            _set_widths(one, mains, width, most_heads)
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


def _head_size(config: object) -> int:
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


def _set_widths(config: Any, mains: list[int], width: int, most: int) -> None:
    """Set every width to `width`, half or double of it, and at most `most` heads and their size so that they fit.

    `mains` are the main widths of all configurations, ascending.
    """

    def near(value: int) -> int:
        if value < MIN_CHANGED:
            return value
        if 2 * value in mains and value not in mains:
            return width // 2
        return width // 2 if value < mains[0] else 2 * width if value > mains[-1] else width

    if vars(config).get("head_dim", 0) is None and (size := _head_size(config)):
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


def _divide(config: Any, divisor: int) -> None:
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
