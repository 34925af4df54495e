"""Candidates for the inputs of a model's forward(): shapes and values by the kind of parameter name.

A kind is a regular expression; what it matches gets its shape from the sizes of the configuration. How its values are
drawn is a `Sampling`: the same can be drawn again at another size.
"""

import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import torch

from hx_tracer.inputs.config_sizes import ConfigSizes

IDS = re.compile(r"(^|_)(ids|tokens|codes|index|labels)(_?\d+)?$")
MASK = re.compile(r"mask(s|_?\d+)?$|^observed_|masked_pos$")
IMAGE = re.compile(r"pixel|image|^x$|frames|video")
MEL = re.compile(r"features|spectrogram|mel|fbank")
WAVE = re.compile(r"values|audio|waveform|speech")
_SERIES = re.compile(r"^(past|future)_(?!key)")
_GRID = re.compile(r"grid_thw$|grid_hws?$|^grids?$|spatial_shapes$")
_PACKED = ("hidden_states", "x", "pixel_values", "patches")

Layout = Literal["plain", "swapped", "channel", "patches", "tiles"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)


@dataclass(frozen=True)
class Sampling:
    """The distribution of an input's values."""

    kind: Literal["ids", "mask", "positions", "normal", "given"]
    """`ids`: integers from [low, high) without `avoid`; `mask`: ones; `positions`: 0, 1, ... along the last axis;
    `normal`: standard normal; `given`: values that were not drawn."""
    low: int = 0
    high: int = 0
    avoid: tuple[int, ...] = ()


def sample(sampling: Sampling, shape: Sequence[int], dtype: torch.dtype, *, name: str, seed: int) -> torch.Tensor:
    """Draw a tensor; the same parameter name, shape and seed give the same values, another name other ones.

    `given` values cannot be drawn and count as `normal`.
    """
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    shape = tuple(shape)
    if sampling.kind == "ids":
        allowed = np.setdiff1d(np.arange(sampling.low, sampling.high), np.asarray(sampling.avoid, dtype=np.int64))
        if not len(allowed):
            allowed = np.arange(sampling.low, max(sampling.high, sampling.low + 1))
        return torch.from_numpy(rng.choice(allowed, size=shape)).to(dtype)
    if sampling.kind == "mask":
        return torch.ones(shape, dtype=dtype)
    if sampling.kind == "positions":
        return torch.arange(shape[-1]).expand(shape).contiguous().to(dtype)
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(dtype)


@dataclass(frozen=True)
class Candidate:
    """One choice of inputs.

    Attributes:
        names: Parameters of forward() to give.
        batch: Size of axis 0.
        length: Tokens of text, placeholders not counted.
        layout: Which of the usual axis orders images and audio have.
        masked: Whether masks have zeros at the end of the last row, only ones, or are left out.
        placeholders: Number of placeholder tokens of each row by token id, for features of other modalities.
        widths: Sizes of last axes by input, where an error had them.
        frames: Frames of a spectrogram, where an error had them; else 0.
        boolean: Whether masks are bool instead of int64.
    """

    names: tuple[str, ...]
    batch: int = 2
    length: int = 12
    layout: Layout = "plain"
    masked: Literal["padded", "ones", "no"] = "padded"
    placeholders: Mapping[int, int] = field(default_factory=dict[int, int])
    widths: Mapping[str, int] = field(default_factory=dict[str, int])
    frames: int = 0
    boolean: bool = False

    @property
    def padding(self) -> int:
        """Tokens at the end of the last row that are padding."""
        return 3 if self.masked == "padded" and self.batch > 1 else 0


def sample_inputs(
    candidate: Candidate, sizes: ConfigSizes, dtype: torch.dtype, seed: int
) -> tuple[dict[str, Any], dict[str, Sampling]]:
    """Return values and samplings of the inputs that `candidate.names` lists, in that order."""
    values: dict[str, Any] = {}
    samplings: dict[str, Sampling] = {}
    for name in candidate.names:
        shape, sampling = _plan(name, candidate, sizes)
        if name in candidate.widths:
            shape = (*shape[:-1], candidate.widths[name])
        kind = dtype if sampling.kind == "normal" or _SERIES.search(name) else torch.int64
        if sampling.kind == "mask" and (candidate.boolean or "bool" in name):
            kind = torch.bool
        value = sample(sampling, shape, kind, name=name, seed=seed)
        values[name], samplings[name] = _finish(name, value, candidate, sizes), sampling
    return values, samplings


def _plan(name: str, candidate: Candidate, sizes: ConfigSizes) -> tuple[tuple[int, ...], Sampling]:
    """Return shape and distribution of one input, by the first rule that its name fits."""
    batch = candidate.batch
    length = 7 if name.startswith("decoder_") else candidate.length + sum(candidate.placeholders.values())
    if _GRID.search(name):
        return (batch, 3 if name.endswith("thw") else 2), Sampling("given")
    if name.endswith("merge_sizes"):
        return (batch,), Sampling("ids", sizes.merge, sizes.merge + 1)
    if candidate.layout == "patches" and name in _PACKED and any(_GRID.search(other) for other in candidate.names):
        return _image(name, candidate, sizes), Sampling("normal")
    if name.startswith("bbox"):
        return (batch, length, 4), Sampling("positions", 0, 4)
    if name.endswith("position_ids") and name.startswith(("pixel", "image")):
        return (batch, math.prod(sizes.grid), 2), Sampling("given")
    if name.endswith("position_ids"):
        return (batch, length), Sampling("positions")
    if "token_type" in name or "segment" in name:
        return (batch, length), Sampling("ids", 0, max(sizes.types, 1))
    if _SERIES.search(name):
        return _series(name, candidate, sizes, length), Sampling("mask" if "mask" in name else "normal")
    if MASK.search(name):
        return (batch, *_masked(name, candidate, sizes, length)), Sampling("mask")
    if IDS.search(name):
        books = sizes.find("num_codebooks", "num_quantizers") if "code" in name else None
        shape = (batch, books, length) if isinstance(books, int) else (batch, length)
        return shape, Sampling("ids", 1, sizes.vocab, sizes.special_ids)
    if MEL.search(name):
        return _audio(name, candidate, sizes), Sampling("normal")
    if IMAGE.search(name):
        return _image(name, candidate, sizes), Sampling("normal")
    if WAVE.search(name):
        return _audio(name, candidate, sizes), Sampling("normal")
    return (batch, length, sizes.hidden), Sampling("normal")


def _masked(name: str, candidate: Candidate, sizes: ConfigSizes, length: int) -> tuple[int, ...]:
    """Return the shape of one row of a mask: that of what it masks, as its name says, else text or a waveform."""
    if "bool" in name:
        return ((sizes.height // sizes.patch) * (sizes.width // sizes.patch),)
    if "pixel" in name:
        return (math.prod(sizes.grid),) if _is_flat(candidate) else (sizes.height, sizes.width)
    if "feature" in name and candidate.layout != "patches":
        return (candidate.frames or sizes.mel_frames,)
    if any(IDS.search(other) for other in candidate.names) or not any(WAVE.search(other) for other in candidate.names):
        return (length,)
    return (sizes.samples,)


def _image(name: str, candidate: Candidate, sizes: ConfigSizes) -> tuple[int, ...]:
    batch, channels, cells = candidate.batch, sizes.channels, math.prod(sizes.grid)
    if _is_flat(candidate):
        return batch, cells, channels * sizes.patch**2
    if candidate.layout == "patches":
        return batch * cells, channels * sizes.temporal_patch * sizes.patch**2
    if candidate.layout == "tiles":
        return batch, 2, channels, sizes.height, sizes.width
    frames = max(sizes.frames, sizes.temporal_patch)
    if ("video" in name) != (candidate.layout == "swapped"):
        return batch, frames, channels, sizes.height, sizes.width
    if candidate.layout == "channel":
        return batch, channels, frames, sizes.height, sizes.width
    return batch, channels, sizes.height, sizes.width


def _audio(name: str, candidate: Candidate, sizes: ConfigSizes) -> tuple[int, ...]:
    """Return the shape of a spectrogram or, by its name, a waveform; some models take one under the other's name."""
    bins, frames, samples = sizes.mel_bins, candidate.frames or sizes.mel_frames, sizes.samples
    shapes: dict[Layout, tuple[int, ...]] = {
        "plain": (bins, frames),
        "swapped": (frames, bins),
        "channel": (1, frames, bins),
        "patches": (samples,),
        "tiles": (1, samples),
    }
    if not MEL.search(name):
        shapes |= {"plain": (samples,), "channel": (1, samples), "patches": (bins, frames), "tiles": (2, samples)}
    return candidate.batch, *shapes[candidate.layout]


def _series(name: str, candidate: Candidate, sizes: ConfigSizes, length: int) -> tuple[int, ...]:
    steps = sizes.find("context_length", "prediction_length") or length
    lags = sizes.find("lags_sequence")
    if isinstance(lags, (list, tuple)) and candidate.layout != "channel":
        steps += max(lags, default=0)
    if name.startswith("future_"):
        steps = sizes.find("prediction_length") or steps
    width = sizes.find("num_input_channels", "input_size") or 1
    if "mask" not in name and name.endswith("features"):
        width = sizes.find("num_time_features") or 1
    elif width == 1 and candidate.layout in ("plain", "channel"):
        return candidate.batch, steps
    return candidate.batch, steps, width


def _is_flat(candidate: Candidate) -> bool:
    """Return whether images are (batch, patches, elements of a patch), beside their sizes or patch positions."""
    return any(n.endswith("spatial_shapes") or re.match(r"(pixel|image)_position_ids$", n) for n in candidate.names)


def _finish(name: str, value: torch.Tensor, candidate: Candidate, sizes: ConfigSizes) -> torch.Tensor:
    """Return the value with what is not drawn: end, padding and placeholder tokens of ids, zeros of masks, sizes."""
    if _GRID.search(name):
        return torch.tensor([sizes.grid[-value.shape[-1] :]] * candidate.batch, dtype=value.dtype)
    if value.ndim == 3 and name.endswith("position_ids") and value.shape[-1] == 2:
        _, rows, columns = sizes.grid
        cells = torch.cartesian_prod(torch.arange(columns), torch.arange(rows))
        return cells.expand(candidate.batch, -1, -1).contiguous()
    padding, decoder = candidate.padding, name.startswith("decoder_")
    if MASK.search(name) and value.ndim == 2 and not decoder and "pixel" not in name and 0 < padding < value.shape[1]:
        value[-1, -padding:] = 0
    if value.ndim != 2 or not re.search(r"(^|_)ids$", name) or "token_type" in name or "position" in name:
        return value
    special = {kind: token for kind, token in sizes.special.items() if token < sizes.vocab}
    if decoder:
        value[:, 0] = special.get("decoder_start_token_id", value[:, 0])
        return value
    at = 1
    for token, count in candidate.placeholders.items():
        value[:, at : at + count] = token
        at += count
    ends = [value.shape[1] - 1] * (candidate.batch - 1) + [value.shape[1] - 1 - padding]
    for row, last in enumerate(ends):
        value[row, last] = special.get("eos_token_id", value[row, last])
        value[row, last + 1 :] = special.get("pad_token_id", value[row, last + 1 :])
    return value
