"""Making the counts of a configuration small: layers and the lists that follow them, experts, positions, vocabulary."""

import re
from typing import Any

from hx_tracer.models.attribute_kinds import VOCAB, flat, is_int, mapped, put

_LAYERS = re.compile(
    r"^(num|n)_.*(layers?|blocks)$|(^|_)layers$|(^|_)depths?$|^num_layers_|(blocks|layers)_per_stage$"
    r"|_num_blocks$|repeats$|^layers_per|_layers_count$|^num_blocks"
)
_NOT_LAYERS = re.compile(
    r"^output_|feature_layers?$|feature_levels|return|drop|_ratio|share|mlp_only|no_rope|dense|^num_feature"
)
_LAYER_INDEX = re.compile(r"(indices|indexes|idx|index|layers|_layer|blocks|layer_id)$")
_EXPERTS = re.compile(r"experts$|^n_routed_experts$|^num_experts_(?!per)")
_LIMITS = (
    (r"experts_per_tok(en)?$|moe_top_?k$|experts_top_?k$|num_selected_experts$|router_top_?k$|top_k_experts$", 2),
    (r"^top_?k_group$|^moe_.*top.*_group$", 1),
    (r"^n_group$|expert_groups?$|^moe_.*_group$", 2),
    (r"^num_(object_)?queries$|num_proposals$|num_query_tokens$|^num_denoising$", 8),
    (r"shared_layers$", 0),
    (r"^max_(source_|target_|text_)?positions?(_embeddings)?$|^n_positions$|^n_ctx$|^max_seq(uence)?_len(gth)?$", 128),
)
"""Kinds of counts and their upper bounds."""
_WITHOUT_DEFAULT = {"vocab_size": 512, "prediction_length": 8, "context_length": 8, "max_position_embeddings": 128}
"""Required sizes that some configurations leave open."""
_VOCAB_LIMIT = 512


def shrink_counts(config: Any, layers: int, experts: int) -> None:
    """Bound layers of each kind, experts, positions and vocabulary of one configuration, and lists with a layer's entries."""
    known = dict(vars(config))
    lists = {n: v for n, v in known.items() if isinstance(v, (list, tuple)) and n != "architectures"}
    limits = dict(_LIMITS)
    if any(_EXPERTS.search(name) for name in known):  # elsewhere `top_k` belongs to text generation
        limits["^top_k$"] = 2
    per_stage = {len(v) for n, v in lists.items() if _is_per_stage(n, v)}
    depths = [v for n, v in known.items() if is_int(v) and _is_layers(n) and v not in per_stage]
    for name, value in known.items():
        if _is_layers(name) and (is_int(value) or (name in lists and all(0 <= v <= 64 for v in flat(value)))):
            indices = name in lists and _is_layer_index(value, depths)
            if not indices and not (is_int(value) and value in per_stage):
                put(config, name, mapped(value, lambda v: min(v, layers)))
        elif name in _WITHOUT_DEFAULT and value is None:
            put(config, name, _WITHOUT_DEFAULT[name])
        elif VOCAB.search(name):
            put(config, name, mapped(value, lambda v: min(v, _VOCAB_LIMIT)))
        elif is_int(value):
            is_experts = _EXPERTS.search(name) and "shared" not in name
            found = (limit for kind, limit in limits.items() if re.search(kind, name))
            put(config, name, min(value, experts if is_experts else next(found, value)))
    for depth in sorted({d for d in depths if d > layers}, reverse=True):
        _follow_layers(config, known, lists, depth, layers)


def _is_layers(name: str) -> bool:
    return bool(_LAYERS.search(name)) and not _NOT_LAYERS.search(name)


def _is_per_stage(name: str, value: Any) -> bool:
    return all(is_int(v) for v in value) and bool(re.search(r"conv|dim|stride|kernel|channel|ratio|sizes|depth", name))


def _is_layer_index(value: Any, depths: list[int]) -> bool:
    entries = list(flat(value))
    return bool(entries and depths) and len(set(entries)) == len(entries) > 1 and sorted(entries) == entries


def _follow_layers(config: Any, known: dict[str, Any], lists: dict[str, Any], depth: int, layers: int) -> None:
    """Change lists and indices that refer to `depth` layers so that they refer to `layers`."""
    for name, value in lists.items():
        if name in ("stage_names", "_out_features", "_out_indices"):
            continue
        if len(value) == depth and not _is_per_stage(name, value):
            put(config, name, type(value)(value[i] for i in _kept(value, layers)))
        elif _LAYER_INDEX.search(name) and value and all(is_int(v) and -depth <= v <= depth for v in value):
            moved = sorted({v if v < 0 else min(v * layers // depth, layers - 1) for v in value})
            moved = [v if v >= -layers else -layers for v in moved]
            put(config, name, type(value)((moved + [moved[-1]] * len(value))[: len(value)]))
    for name, value in known.items():
        if is_int(value) and _LAYER_INDEX.search(name) and not _is_layers(name) and value >= layers <= depth >= value:
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
