"""Sizes that example inputs need, read from a model's configuration or, without one, from its parameters.

Only the kind of attribute name decides (`vocab_size`, `image_size`, `num_mel_bins`, ...), in the configuration and
then in its sub-configurations; no architecture is named.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

_MAX_DEPTH = 6
_TOKEN_ID = re.compile(r"(^|_)token_?(id|idx|index)s?$")
_WIDTHS = ("hidden_size", "d_model", "n_embd", "embed_dim", "hidden_dim", "dim")
_VISION = {"patch_size", "image_size", "num_channels", "in_channels", "in_chans"}
_AUDIO = {"num_mel_bins", "feature_size", "conv_stride", "audio_channels", "sampling_rate", "n_mels", "input_feat_size"}


def config_of(module: torch.nn.Module) -> object | None:
    """Return what a module has as `config`, if that has attributes; None for a dict, a class, or what raises."""
    try:
        config = getattr(module, "config", None)
        return None if isinstance(config, Mapping) or not isinstance(vars(config), dict) else config  # pyright: ignore[reportArgumentType, reportUnnecessaryIsInstance] of a class they are no dict
    except Exception:  # noqa: BLE001 - a property of somebody's module raises anything; then there is no configuration
        return None


def configs(config: object, depth: int = 0) -> Iterator[Any]:
    """Yield a configuration and its sub-configurations, outermost first: what has `to_dict`, down to depth 6.

    Nothing where `config` has no attributes, as a dict or None.
    """
    if not hasattr(config, "__dict__") or depth > _MAX_DEPTH:
        return
    yield config
    for value in list(vars(config).values()):
        for item in value if isinstance(value, (list, tuple)) else (value,):  # pyright: ignore[reportUnknownVariableType]
            if hasattr(type(item), "to_dict") and hasattr(item, "__dict__"):
                yield from configs(item, depth + 1)


def attributes(config: object) -> dict[str, Any]:
    """Return the attributes of one configuration by their stored names and by those of its `attribute_map`."""
    found: dict[str, Any] = dict(vars(config))
    mapped = getattr(type(config), "attribute_map", None)
    for common, own in mapped.items() if isinstance(mapped, dict) else ():
        if own in found:
            found.setdefault(common, found[own])
    return found


class ConfigSizes:
    """Sizes of a module's inputs: element counts along one axis, with defaults where its configuration has none."""

    def __init__(self, module: torch.nn.Module) -> None:
        """Read `module.config`; the vocabulary, without one there, from the first embedding."""
        config = config_of(module)
        self._parts = [attributes(one) for one in configs(config)]
        vocabularies = [v for known in self._parts if isinstance(v := known.get("vocab_size"), int) and v > 1]
        embeddings = (m.num_embeddings for m in module.modules() if isinstance(m, torch.nn.Embedding))
        self.vocab = min(vocabularies, default=next(embeddings, 2))
        """The smallest vocabulary."""
        self.special = {name: token for known in reversed(self._parts) for name, token in _token_ids(known)}
        """Special token ids by attribute name; of a list, its first entry."""
        self.special_ids = tuple(sorted(set(self.special.values())))
        self.channels = self._size(3, "num_channels", "in_channels", "in_chans", "input_channels")
        image = self.find("image_size", "img_size", "input_size")
        if isinstance(image, dict):
            image = image.get("height", 0), image.get("width", 0)
        if not isinstance(image, (list, tuple)) or not image:
            image = [max((_integer(known.get("image_size"), 0) for known in self._parts), default=0)]
        self.height, self.width = _integer(image[0], 64), _integer(image[-1], 64)
        self.patch = self._size(1, "patch_size")
        self.temporal_patch = self._size(1, "temporal_patch_size", "tubelet_size")
        self.merge = self._size(1, "spatial_merge_size", "merge_size")
        """Patches along one side that become one token."""
        rows, columns = (max(n // self.patch // self.merge, 1) * self.merge for n in (self.height, self.width))
        self.grid = 1, rows, columns
        """Time, height and width of one image in patches; height and width are multiples of the merge size."""
        self.frames = self._size(2, "num_frames", "frames_per_clip")  # of a video
        mels = ("num_mel_bins", "n_mels", "input_feat_size", "mel_dim", "feature_size", "input_dim")
        self.mel_bins = self._size(80, *mels)
        positions = self.find("max_source_positions")
        self.mel_frames = 2 * positions if isinstance(positions, int) else self._size(96, "max_length")
        strides = self.find("conv_stride", "downsampling_ratios", "upsampling_ratios", "strides")
        if not isinstance(strides, (list, tuple)):
            strides = [self._size(320, "hop_length")]
        # Of a waveform: 14 frames of a convolutional front end.
        self.samples = 14 * math.prod(stride for stride in strides if isinstance(stride, int))
        self.hidden = self._size(64, *_WIDTHS)
        texts = (k for k in self._parts if k.get("vocab_size") and any(k.get(name) for name in _WIDTHS))
        text = next(texts, {})
        self.text_hidden = _integer(next((text[n] for n in _WIDTHS if text.get(n) is not None), self.hidden), 64)
        """Of the first configuration that has both a vocabulary and a width: the text part of a composite."""
        self.types = self._size(1, "type_vocab_size")  # of tokens
        self.decoder = getattr(config, "is_encoder_decoder", False) is True
        """Whether the model is an encoder with a decoder; `vision`, `audio`, `text`: whether it takes such inputs."""
        names = {name for one in configs(config) for name, value in vars(one).items() if value is not None}
        self.vision, self.audio, self.text = bool(names & _VISION), bool(names & _AUDIO), bool(vocabularies)

    def find(self, *names: str) -> Any:
        """Return the first value that is not `None` under one of `names`, outermost configuration first."""
        found = (known[name] for known in self._parts for name in names if known.get(name) is not None)
        return next(found, None)

    def _size(self, default: int, *names: str) -> int:
        return _integer(self.find(*names), default)


def _token_ids(known: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for name, value in known.items():
        first = value[0] if isinstance(value, (list, tuple)) and value else value
        if _TOKEN_ID.search(name) and isinstance(first, int) and not isinstance(first, bool) and first >= 0:
            yield name, first


def _integer(value: Any, default: int) -> int:
    """Return a positive number, or the last one of a list, as an integer; the default for all else."""
    if isinstance(value, (list, tuple)) and value:
        value = value[-1]
    return int(value) if isinstance(value, (int, float)) and 0 < value < math.inf else default
