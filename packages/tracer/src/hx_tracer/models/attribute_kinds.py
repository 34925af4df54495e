"""Kinds of attributes of a model configuration, by regular expressions on their names, and the integers in their values."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from hx_tracer.inputs.config_sizes import attributes

HEADS = re.compile(r"(^|_)heads?(_per_stage)?$|^num_.*heads$|attention_heads|num_heads")
KV_HEADS = re.compile(r"kv_heads?$|key_value_heads|kv_n_heads|num_groups_kv|multi_query_group_num")
HEAD_DIM = re.compile(
    r"head_dim$|head_size$|d_head$|^d_kv$|dim_head$|head_width$|^kv_channels$|headdim$|rotary_dim$|size_per_head$"
)
VOCAB = re.compile(r"vocab_size")
_WIDTH = re.compile(
    r"hidden|d_model|n_embd|(^|_)dims?($|_)|embed|inner|d_ff|ffn|intermediate|channels?($|s|_)|width|_rank$|filters|"
    r"projection|feature_size|units|_size$|_sizes$|_features$|feat_dim|upsample_groups|ssm|pos_feats"
)
_NOT_WIDTH = re.compile(
    r"vocab|patch|image|img|kernel|window|batch|codebook_size|num_codebook|chunk|block|stride|merge|layers|"
    r"position|token|crop|grid|cache|tile|temperature|max_|min_|label|group_size|pool(?!er)|roi|input_feat|num_time|num_static|"
    r"num_dynamic|cell_size|state_size|tubelet|query_dim|mel|sample_rate|samples|sampling|ratio|audio_channels|num_embeddings|feature_len"
)
_MAIN_WIDTHS = ("hidden_size", "d_model", "n_embd", "embed_dim", "hidden_dim", "dim", "width")
MIN_CHANGED = 17
"""Widths below this are left as they are."""


def entries(tree: Iterable[Any]) -> list[tuple[Any, str, Any]]:
    """Return configuration, name and value of every stored attribute of some configurations."""
    return [(one, name, value) for one in tree for name, value in vars(one).items()]


def put(config: Any, name: str, value: Any) -> None:
    """Set a stored attribute, past the properties of the configuration's class."""
    vars(config)[name] = value


def is_int(value: object) -> bool:
    """Return whether a value is an integer; bool is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def mapped(value: Any, change: Callable[[int], int]) -> Any:
    """Return a value with a change applied to the integer that it is, or to every integer in nested lists."""
    if isinstance(value, (list, tuple)):
        return type(value)(mapped(item, change) for item in value)
    return change(value) if is_int(value) else value


def flat(value: Any) -> Iterator[int]:
    """Yield an integer, or every integer in nested lists; nothing of other values."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from flat(item)
    elif is_int(value):
        yield value


def is_width(name: str, value: Any) -> bool:
    """Return whether an attribute is a width, or a list of widths, of which the largest is at least `MIN_CHANGED`."""
    if not _WIDTH.search(name) or _NOT_WIDTH.search(name) or HEAD_DIM.search(name) or HEADS.search(name):
        return False
    values = list(flat(value))
    return max(values, default=0) >= MIN_CHANGED and min(values) >= 0


def main_width(config: object) -> int | None:
    """Return the main width of one configuration, by the usual names of it; None without one."""
    known = attributes(config)
    return next((known[name] for name in _MAIN_WIDTHS if is_int(known.get(name))), None)
