"""Kinds of attributes of a model configuration by regular expressions on their names, and changes of integers in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from hx_tracer.inputs.config_sizes import attributes

LAYERS = re.compile(
    r"^(num|n)_.*(layers?|blocks)$|^n_layers?$|^num_layers$|(^|_)layers$|(^|_)depths?$|^num_layers_|(blocks|layers)_per_stage$"
    r"|_num_blocks$|repeats$|^layers_per|_layers_count$|^num_blocks"
)
_NOT_LAYERS = re.compile(
    r"^output_|feature_layers?$|feature_levels|return|drop|_ratio|share|mlp_only|no_rope|dense|^num_feature"
)
HEADS = re.compile(r"(^|_)(num_|n_)?heads?(_per_stage)?$|^num_.*heads$|attention_heads|num_heads|n_heads?$")
KV_HEADS = re.compile(r"kv_heads?$|key_value_heads|kv_n_heads|num_groups_kv|multi_query_group_num")
HEAD_DIM = re.compile(
    r"head_dim$|head_size$|d_head$|^d_kv$|dim_head$|head_width$|^kv_channels$|headdim$|rotary_dim$|size_per_head$"
)
_WIDTH = re.compile(
    r"hidden|d_model|n_embd|(^|_)dims?($|_)|embed|inner|d_ff|ffn|intermediate|channels?($|s|_)|width|_rank$|filters|"
    r"projection|feature_size|units|_size$|_sizes$|_features$|feat_dim|upsample_groups|ssm|pos_feats"
)
_NOT_WIDTH = re.compile(
    r"vocab|patch|image|img|kernel|window|batch|codebook_size|num_codebook|chunk|block|stride|merge|layers|"
    r"position|token|crop|grid|cache|tile|temperature|max_|min_|label|group_size|pool(?!er)|roi|input_feat|num_time|num_static|"
    r"num_dynamic|cell_size|state_size|tubelet|query_dim|mel|sample_rate|samples|sampling|ratio|audio_channels|num_embeddings|feature_len"
)
HIDDEN = ("hidden_size", "d_model", "n_embd", "embed_dim", "hidden_dim", "dim", "width")
POSITIONS = re.compile(
    r"^max_(source_|target_|text_)?positions?(_embeddings)?$|^n_positions$|^n_ctx$|^max_seq(uence)?_len(gth)?$"
)
VOCAB = re.compile(r"vocab_size")
IMAGE = re.compile(r"(image|img)_size$|^input_size$")
EXPERTS = re.compile(r"experts$|^n_routed_experts$|^num_experts_(?!per)")
TOP_K = re.compile(
    r"experts_per_tok(en)?$|moe_top_?k$|experts_top_?k$|num_selected_experts$|router_top_?k$|top_k_experts$"
)
TOKEN_ID = re.compile(r"token_?(id|idx|index)s?$|token_id_|_ids?$")
PLACEHOLDER = re.compile(r"^(image|audio|video)_token_(id|index|idx)$")
LAYER_INDEX = re.compile(r"(indices|indexes|idx|index|layers|_layer|blocks|layer_id)$")
EXPERT_GROUPS = re.compile(r"^n_group$|^top_?k_group$|expert_groups?$|^moe_.*_group$")
GROUPS = re.compile(r"^(num_)?groups$|^n_groups?$|norm_groups$|num_groups$")
QUERIES = re.compile(r"^num_(object_)?queries$|num_proposals$|num_query_tokens$|^num_denoising$")
SHARED_LAYERS = re.compile(r"shared_layers$")
MIN_CHANGED = 17
"""Widths below this are left as they are."""


def is_int(value: object) -> bool:
    """Return whether a value is an integer; bool is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def mapped(value: Any, change: Callable[[int], int]) -> Any:
    """Return a value with a change applied to the integer that it is, or to every integer in nested lists."""
    if isinstance(value, (list, tuple)):
        return type(value)(mapped(item, change) for item in value)
    return change(value) if is_int(value) else value


def is_heads(name: str) -> bool:
    """Return whether a name is of a number of attention heads, not of key and value heads."""
    return bool(HEADS.search(name)) and not KV_HEADS.search(name) and not HEAD_DIM.search(name)


def is_width(name: str, value: Any) -> bool:
    """Return whether an attribute is a width, or a list of widths, of which the largest is at least `MIN_CHANGED`."""
    if not _WIDTH.search(name) or _NOT_WIDTH.search(name) or HEAD_DIM.search(name) or HEADS.search(name):
        return False
    values = list(flat(value))
    return bool(values) and max(values) >= MIN_CHANGED and all(v >= 0 for v in values)


def flat(value: Any) -> Iterator[int]:
    """Yield an integer, or every integer in nested lists; nothing of other values."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from flat(item)
    elif is_int(value):
        yield value


def is_layers(name: str) -> bool:
    """Return whether a name is of a number of layers."""
    return bool(LAYERS.search(name)) and not _NOT_LAYERS.search(name)


def main_width(config: object) -> int | None:
    """Return the main width of one configuration: the first of `HIDDEN` that it has; None without one."""
    known = attributes(config)
    return next((known[n] for n in HIDDEN if is_int(known.get(n))), None)


def put(config: Any, name: str, value: Any) -> None:
    """Set a stored attribute, past the properties of the configuration's class."""
    vars(config)[name] = value
