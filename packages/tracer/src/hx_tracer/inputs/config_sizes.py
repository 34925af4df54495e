"""Sizes that example inputs need, read from a model's configuration or, without one, from its parameters.

Only the kind of attribute name decides (`vocab_size`, `image_size`, `num_mel_bins`, ...), in the configuration and
then in its sub-configurations; no architecture is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

_MAX_DEPTH = 6
_TOKEN_ID = re.compile(r"(^|_)token_?(id|idx|index)s?$")
_WIDTHS = ("hidden_size", "d_model", "n_embd", "embed_dim", "hidden_dim", "dim")
_VISION = {"patch_size", "image_size", "num_channels", "in_channels", "in_chans"}
_AUDIO = {"num_mel_bins", "feature_size", "conv_stride", "audio_channels", "sampling_rate", "n_mels", "input_feat_size"}


def configs(config: object, depth: int = 0) -> Iterator[Any]:
    """Yield a configuration and its sub-configurations, outermost first: what has `to_dict`, down to depth 6.

    Nothing where `config` has no attributes, as a dict or None.
    """
    if not hasattr(config, "__dict__") or depth > _MAX_DEPTH:
        return
    yield config
    for value in list(vars(config).values()):
        for item in value if isinstance(value, (list, tuple)) else (value,):  # pyright: ignore[reportUnknownVariableType]
            if hasattr(item, "to_dict") and hasattr(item, "__dict__"):
                yield from configs(item, depth + 1)


def attributes(config: object) -> dict[str, Any]:
    """Return the attributes of one configuration by their stored names and by those of its `attribute_map`."""
    found: dict[str, Any] = dict(vars(config))
    mapped: dict[str, str] = getattr(config, "attribute_map", None) or {}
    for common, own in mapped.items():
        if own in found:
            found.setdefault(common, found[own])
    return found


def token_ids(config: object) -> dict[str, int]:
    """Return the special token ids of one configuration by attribute name; of a list, its first entry."""
    found: dict[str, int] = {}
    for name, value in attributes(config).items():
        first = value[0] if isinstance(value, (list, tuple)) and value else value
        if _TOKEN_ID.search(name) and isinstance(first, int) and not isinstance(first, bool) and first >= 0:
            found[name] = first
    return found


@dataclass(frozen=True)
class ConfigSizes:
    """Sizes of a model's inputs: element counts along one axis, with defaults where the configuration has none."""

    vocab: int
    """The smallest vocabulary."""
    special: dict[str, int]
    """Special token ids by attribute name."""
    channels: int
    height: int
    width: int
    patch: int
    temporal_patch: int
    merge: int
    """Patches along one side that become one token."""
    frames: int
    """Of a video."""
    mel_bins: int
    mel_frames: int
    samples: int
    """Of a waveform."""
    hidden: int
    text_hidden: int
    types: int
    """Of token types."""
    decoder: bool
    """Whether the model is an encoder with a decoder; `vision`, `audio`, `text`: whether it takes such inputs."""
    vision: bool
    audio: bool
    text: bool
    config: Any
    """The configuration itself."""

    def find(self, *names: str) -> Any:
        """Return the first value that is not `None` under one of `names`, outermost configuration first."""
        return _first(self.config, *names)


def _first(config: object, *names: str) -> Any:
    for one in configs(config):
        known = attributes(one)
        for name in names:
            if known.get(name) is not None:
                return known[name]
    return None


def _integer(value: Any, default: int) -> int:
    if isinstance(value, (list, tuple)) and value:
        value = value[-1]
    return int(value) if isinstance(value, (int, float)) and value > 0 else default


def _last(config: object, name: str) -> Any:
    """Return the largest scalar called `name` anywhere in the configuration."""
    values = [attributes(one).get(name) for one in configs(config)]
    numbers = [_integer(value, 0) for value in values if value is not None]
    return max(numbers, default=None)


def _with_vocabulary(config: object) -> object:
    """Return the first configuration that has both a vocabulary and a width: the text part of a composite."""
    for one in configs(config):
        known = attributes(one)
        if known.get("vocab_size") and any(known.get(name) for name in _WIDTHS):
            return one
    return config


def _stride(config: object) -> int:
    """Return the samples per frame of a convolutional front end: the product of its strides."""
    strides = _first(config, "conv_stride", "downsampling_ratios", "upsampling_ratios", "strides")
    if not isinstance(strides, (list, tuple)):
        return _integer(_first(config, "hop_length"), 320)
    product = 1
    for stride in strides:
        product *= stride if isinstance(stride, int) else 1
    return product


def sizes_of(module: torch.nn.Module) -> ConfigSizes:
    """Return the sizes that `module.config` has; the vocabulary, without one there, from the first embedding."""
    config = getattr(module, "config", None)
    embedding = next((m for m in module.modules() if isinstance(m, torch.nn.Embedding)), None)
    vocabularies = [attributes(one).get("vocab_size") for one in configs(config)]
    vocabularies = [v for v in vocabularies if isinstance(v, int) and v > 1]
    image = _first(config, "image_size", "img_size", "input_size")
    if isinstance(image, dict):
        image = [image.get("height", 0), image.get("width", 0)]
    patch = _integer(_first(config, "patch_size"), 1)
    side = _integer(_last(config, "image_size") if not isinstance(image, (list, tuple)) else None, 64)
    height, width = (image[0], image[-1]) if isinstance(image, (list, tuple)) and image else (side, side)
    special: dict[str, int] = {}
    names: set[str] = set()
    for one in configs(config):
        names |= {name for name, value in vars(one).items() if value is not None}
        special = {**token_ids(one), **special}
    mel = _integer(
        _first(config, "num_mel_bins", "n_mels", "input_feat_size", "mel_dim", "feature_size", "input_dim"), 80
    )
    positions = _first(config, "max_source_positions")
    max_length = _first(config, "max_length")
    stride = _stride(config)
    return ConfigSizes(
        vocab=min(vocabularies) if vocabularies else (embedding.num_embeddings if embedding is not None else 2),
        special=special,
        channels=_integer(_first(config, "num_channels", "in_channels", "in_chans", "input_channels"), 3),
        height=_integer(height, 64),
        width=_integer(width, 64),
        patch=patch,
        temporal_patch=_integer(_first(config, "temporal_patch_size", "tubelet_size"), 1),
        merge=_integer(_first(config, "spatial_merge_size", "merge_size"), 1),
        frames=_integer(_first(config, "num_frames", "frames_per_clip"), 2),
        mel_bins=mel,
        mel_frames=2 * positions if isinstance(positions, int) else _integer(max_length, 96),
        samples=stride * 14,
        hidden=_integer(_first(config, *_WIDTHS), 64),
        text_hidden=_integer(_first(_with_vocabulary(config), *_WIDTHS), 64),
        types=_integer(_first(config, "type_vocab_size"), 1),
        decoder=bool(getattr(config, "is_encoder_decoder", False)),
        vision=bool(names & _VISION),
        audio=bool(names & _AUDIO),
        text=bool(vocabularies),
        config=config,
    )
