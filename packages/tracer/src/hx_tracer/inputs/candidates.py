"""Candidates for the inputs of a model's forward(): shapes and values by the kind of parameter name.

A kind is a regular expression (`_RULES`); what it matches gets its shape from the sizes of the configuration.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from hx_tracer.inputs.config_sizes import ConfigSizes
from hx_tracer.inputs.sampling import Sampling, sample

IDS = re.compile(r"(^|_)(ids|tokens|codes|index|labels)(_?\d+)?$")
MASK = re.compile(r"mask(s|_?\d+)?$|^observed_|masked_pos$")
IMAGE = re.compile(r"pixel|image|^x$|frames|video")
SERIES = re.compile(r"^(past|future)_(?!key)")
GRID = re.compile(r"grid_thw$|grid_hws?$|^grids?$")
MEL = re.compile(r"features|spectrogram|mel|fbank")
WAVE = re.compile(r"values|audio|waveform|speech")
LAYOUTS = ("plain", "swapped", "channel", "patches", "tiles")

Layout = Literal["plain", "swapped", "channel", "patches", "tiles"]
Drawing = tuple[tuple[int, ...], Sampling, torch.dtype | None]
"""Shape, distribution and data type of an input; None for the model's own data type."""


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
        shape, sampling, kind = _plan(name, candidate, sizes)
        if name in candidate.widths:
            shape = (*shape[:-1], candidate.widths[name])
        if sampling.kind == "mask" and candidate.boolean:
            kind = torch.bool
        value = sample(sampling, shape, kind if kind is not None else dtype, name=name, seed=seed)
        values[name], samplings[name] = _finish(name, value, candidate, sizes), sampling
    return values, samplings


def _plan(name: str, candidate: Candidate, sizes: ConfigSizes) -> Drawing:
    """Return how one input is drawn, by the first rule that matches its name."""
    batch = candidate.batch
    length = 7 if name.startswith("decoder_") else candidate.length + sum(candidate.placeholders.values())
    if GRID.search(name):
        return (batch, 3 if name.endswith("thw") else 2), Sampling("given"), torch.int64
    if name.endswith("spatial_shapes"):
        return (batch, 2), Sampling("given"), torch.int64
    if name.endswith("merge_sizes"):
        return (batch,), Sampling("ids", sizes.merge, sizes.merge + 1), torch.int64
    packed = candidate.layout == "patches" and any(GRID.search(other) for other in candidate.names)
    if packed and name in ("hidden_states", "x", "pixel_values", "patches"):
        return _image(name, candidate, sizes, length)
    if name.startswith("bbox"):
        return (batch, length, 4), Sampling("positions", 0, 4), torch.int64
    if name.startswith(("pixel", "image")) and name.endswith("position_ids"):
        return (batch, math.prod(grid_of(sizes)), 2), Sampling("given"), torch.int64
    if name.endswith("position_ids"):
        return (batch, length), Sampling("positions"), torch.int64
    if "token_type" in name or "segment" in name:
        return (batch, length), Sampling("ids", 0, max(sizes.types, 1)), torch.int64
    for rule, plan in _RULES:
        if rule.search(name):
            return plan(name, candidate, sizes, length)
    return (batch, length, sizes.hidden), Sampling("normal"), None


def _mask(name: str, candidate: Candidate, sizes: ConfigSizes, length: int) -> Drawing:
    if "bool" in name:
        patches = (sizes.height // sizes.patch) * (sizes.width // sizes.patch)
        return (candidate.batch, patches), Sampling("mask"), torch.bool
    if "pixel" in name and _is_flat(candidate):
        return (candidate.batch, math.prod(grid_of(sizes))), Sampling("mask"), torch.int64
    if "pixel" in name:
        return (candidate.batch, sizes.height, sizes.width), Sampling("mask"), torch.int64
    if "feature" in name and candidate.layout != "patches":
        return (candidate.batch, candidate.frames or sizes.mel_frames), Sampling("mask"), torch.int64
    if any(IDS.search(other) for other in candidate.names) or not any(WAVE.search(other) for other in candidate.names):
        return (candidate.batch, length), Sampling("mask"), torch.int64
    return (candidate.batch, sizes.samples), Sampling("mask"), torch.int64


def _ids(name: str, candidate: Candidate, sizes: ConfigSizes, length: int) -> Drawing:
    books = sizes.find("num_codebooks", "num_quantizers") if "code" in name else None
    shape = (candidate.batch, books, length) if isinstance(books, int) else (candidate.batch, length)
    special = tuple(sorted(set(sizes.special.values())))
    return shape, Sampling("ids", 1, sizes.vocab, special), torch.int64


def _image(name: str, candidate: Candidate, sizes: ConfigSizes, length: int) -> Drawing:
    height, width, channels = sizes.height, sizes.width, sizes.channels
    frames = max(sizes.frames, sizes.temporal_patch) if sizes.frames else 2
    if _is_flat(candidate):
        return ((candidate.batch, math.prod(grid_of(sizes)), channels * sizes.patch**2), Sampling("normal"), None)
    if candidate.layout == "patches":
        grid = grid_of(sizes)
        cells = candidate.batch * math.prod(grid)
        return (cells, channels * sizes.temporal_patch * sizes.patch**2), Sampling("normal"), None
    if candidate.layout == "tiles":
        return (candidate.batch, 2, channels, height, width), Sampling("normal"), None
    video = ("video" in name) != (candidate.layout == "swapped")
    if video:
        return (candidate.batch, frames, channels, height, width), Sampling("normal"), None
    if candidate.layout == "channel":
        return (candidate.batch, channels, frames, height, width), Sampling("normal"), None
    return (candidate.batch, channels, height, width), Sampling("normal"), None


def _mel(name: str, candidate: Candidate, sizes: ConfigSizes, length: int) -> Drawing:
    bins, frames = sizes.mel_bins, candidate.frames or sizes.mel_frames
    shapes: dict[str, tuple[int, ...]] = {
        "plain": (candidate.batch, bins, frames),
        "swapped": (candidate.batch, frames, bins),
        "channel": (candidate.batch, 1, frames, bins),
        "patches": (candidate.batch, sizes.samples),
        "tiles": (candidate.batch, 1, sizes.samples),
    }
    return shapes[candidate.layout], Sampling("normal"), None


def _wave(name: str, candidate: Candidate, sizes: ConfigSizes, length: int) -> Drawing:
    shapes: dict[str, tuple[int, ...]] = {
        "plain": (candidate.batch, sizes.samples),
        "swapped": (candidate.batch, sizes.mel_frames, sizes.mel_bins),
        "channel": (candidate.batch, 1, sizes.samples),
        "patches": (candidate.batch, sizes.mel_bins, sizes.mel_frames),
        "tiles": (candidate.batch, 2, sizes.samples),
    }
    return shapes[candidate.layout], Sampling("normal"), None


def _series(name: str, candidate: Candidate, sizes: ConfigSizes, length: int) -> Drawing:
    context = sizes.find("context_length", "prediction_length") or length
    lags = sizes.find("lags_sequence")
    steps = context + (max(lags) if isinstance(lags, (list, tuple)) and lags and candidate.layout != "channel" else 0)
    if name.startswith("future_"):
        steps = sizes.find("prediction_length") or steps
    width = sizes.find("num_input_channels", "input_size") or 1
    if "mask" in name:
        sampling = Sampling("mask")
    elif name.endswith("features"):
        return (candidate.batch, steps, sizes.find("num_time_features") or 1), Sampling("normal"), None
    else:
        sampling = Sampling("normal")
    shape = (
        (candidate.batch, steps)
        if width == 1 and candidate.layout in ("plain", "channel")
        else (candidate.batch, steps, width)
    )
    return shape, sampling, None


def _is_flat(candidate: Candidate) -> bool:
    """Return whether images are (batch, patches, elements of a patch), beside their sizes or patch positions."""
    return any(n.endswith("spatial_shapes") or re.match(r"(pixel|image)_position_ids$", n) for n in candidate.names)


_RULES: tuple[tuple[re.Pattern[str], Callable[[str, Candidate, ConfigSizes, int], Drawing]], ...] = (
    (SERIES, _series),
    (MASK, _mask),
    (IDS, _ids),
    (MEL, _mel),
    (IMAGE, _image),
    (WAVE, _wave),
)


def grid_of(sizes: ConfigSizes) -> tuple[int, int, int]:
    """Return time, height and width of one image in patches; height and width are multiples of the merge size."""
    rows = max(sizes.height // sizes.patch // sizes.merge, 1) * sizes.merge
    columns = max(sizes.width // sizes.patch // sizes.merge, 1) * sizes.merge
    return 1, rows, columns


def _finish(name: str, value: torch.Tensor, candidate: Candidate, sizes: ConfigSizes) -> torch.Tensor:
    """Return the value with what is not drawn: end, padding and placeholder tokens of ids, zeros of masks, sizes."""
    if name.endswith("spatial_shapes"):
        return torch.tensor([grid_of(sizes)[1:]] * candidate.batch, dtype=value.dtype)
    if value.ndim == 3 and name.endswith("position_ids") and value.shape[-1] == 2:
        _, rows, columns = grid_of(sizes)
        cells = torch.cartesian_prod(torch.arange(columns), torch.arange(rows))
        return cells.expand(candidate.batch, -1, -1).contiguous()
    if GRID.search(name):
        return torch.tensor([grid_of(sizes)[-value.shape[-1] :]] * candidate.batch, dtype=value.dtype)
    text = value.ndim == 2 and not name.startswith("decoder_")
    if MASK.search(name) and text and "pixel" not in name and candidate.padding and value.shape[1] > candidate.padding:
        value[-1, -candidate.padding :] = 0
    if (
        not (IDS.search(name) and name.endswith("ids") and value.ndim == 2)
        or "token_type" in name
        or "position" in name
    ):
        return value
    if name.startswith("decoder_"):
        start = sizes.special.get("decoder_start_token_id")
        if start is not None and start < sizes.vocab:
            value[:, 0] = start
        return value
    at = 1
    for token, count in candidate.placeholders.items():
        value[:, at : at + count] = token
        at += count
    ends = [value.shape[1] - 1] * (candidate.batch - 1) + [value.shape[1] - 1 - candidate.padding]
    end, pad = sizes.special.get("eos_token_id"), sizes.special.get("pad_token_id")
    for row, last in enumerate(ends):
        if end is not None and end < sizes.vocab:
            value[row, last] = end
        if pad is not None and pad < sizes.vocab:
            value[row, last + 1 :] = pad
    return value
