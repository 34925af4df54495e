"""Making the counts of a configuration small: layers and the lists that follow them, experts, positions, vocabulary."""

from __future__ import annotations

import re
from typing import Any

from hx_tracer.models.attribute_kinds import (
    EXPERT_GROUPS,
    EXPERTS,
    LAYER_INDEX,
    POSITIONS,
    QUERIES,
    SHARED_LAYERS,
    TOP_K,
    VOCAB,
    flat,
    is_int,
    is_layers,
    mapped,
    put,
)

# Required sizes that some configurations leave open.
_WITHOUT_DEFAULT = {"vocab_size": 512, "prediction_length": 8, "context_length": 8, "max_position_embeddings": 128}
_VOCAB_LIMIT = 512
_POSITION_LIMIT = 128


def shrink_counts(config: Any, layers: int, experts: int) -> None:
    """Bound layers, experts, positions and vocabulary of one configuration, and the lists that follow the layers.

    Args:
        config: Changed.
        layers: Upper bound on layers of one kind.
        experts: Upper bound on experts.
    """
    known = dict(vars(config))
    lists = {n: v for n, v in known.items() if isinstance(v, (list, tuple)) and n != "architectures"}
    has_experts = any(EXPERTS.search(n) for n in known)  # elsewhere `top_k` belongs to text generation
    per_stage = {len(v) for n, v in lists.items() if _is_per_stage(n, v)}
    depths = [v for n, v in known.items() if is_int(v) and is_layers(n) and v not in per_stage]
    for name, value in known.items():
        if is_layers(name) and (is_int(value) or (name in lists and all(0 <= v <= 64 for v in flat(value)))):
            if is_int(value) and value in per_stage:
                continue
            if name in lists and _is_layer_index(name, value, depths):
                continue
            put(config, name, mapped(value, lambda v: min(v, layers)))
        elif EXPERTS.search(name) and is_int(value) and value > experts and "shared" not in name:
            put(config, name, experts)
        elif is_int(value) and (TOP_K.search(name) or (has_experts and name == "top_k")):
            put(config, name, min(value, 2))
        elif EXPERT_GROUPS.search(name) and is_int(value):
            put(config, name, min(value, 1 if "top" in name else 2))
        elif QUERIES.search(name) and is_int(value):
            put(config, name, min(value, 8))
        elif SHARED_LAYERS.search(name) and is_int(value):
            put(config, name, 0)
        elif name in _WITHOUT_DEFAULT and value is None:
            put(config, name, _WITHOUT_DEFAULT[name])
        elif POSITIONS.search(name) and is_int(value):
            put(config, name, min(value, _POSITION_LIMIT))
        elif VOCAB.search(name):
            put(config, name, mapped(value, lambda v: min(v, _VOCAB_LIMIT)))
    for depth in sorted({d for d in depths if d > layers}, reverse=True):
        _follow_layers(config, known, lists, depth, layers)


def _is_per_stage(name: str, value: Any) -> bool:
    return all(is_int(v) for v in value) and bool(re.search(r"conv|dim|stride|kernel|channel|ratio|sizes|depth", name))


def _is_layer_index(name: str, value: Any, depths: list[int]) -> bool:
    entries = list(flat(value))
    return bool(entries and depths) and len(set(entries)) == len(entries) > 1 and sorted(entries) == entries


def _follow_layers(config: Any, known: dict[str, Any], lists: dict[str, Any], depth: int, layers: int) -> None:
    """Change lists and indices that refer to `depth` layers so that they refer to `layers`."""
    for name, value in lists.items():
        if name in ("stage_names", "_out_features", "_out_indices"):
            continue
        if len(value) == depth and not _is_per_stage(name, value):
            put(config, name, type(value)(value[i] for i in _kept(value, layers)))
        elif LAYER_INDEX.search(name) and value and all(is_int(v) and -depth <= v <= depth for v in value):
            moved = sorted({v if v < 0 else min(v * layers // depth, layers - 1) for v in value})
            moved = [v if v >= -layers else -layers for v in moved]
            put(config, name, type(value)((moved + [moved[-1]] * len(value))[: len(value)]))
    for name, value in known.items():
        if is_int(value) and LAYER_INDEX.search(name) and not is_layers(name) and value >= layers <= depth >= value:
            put(config, name, layers - 1)
    names = known.get("stage_names")
    if isinstance(names, list) and len(names) == depth + 1:
        kept: list[str] = names[: layers + 1]
        indices = sorted({min(max(round(i * layers / depth), 1), layers) for i in known.get("_out_indices") or [depth]})
        put(config, "stage_names", kept)
        put(config, "_out_indices", indices)
        put(config, "_out_features", [kept[i] for i in indices])


def _kept(entries: Any, layers: int) -> list[int]:
    """Return the indices of the entries to keep: the first of each kind, then the earliest others, in order."""
    firsts = [i for i, entry in enumerate(entries) if all(repr(entry) != repr(e) for e in entries[:i])]
    chosen = firsts[:layers]
    chosen += [i for i in range(len(entries)) if i not in chosen][: layers - len(chosen)]
    return sorted(chosen)
