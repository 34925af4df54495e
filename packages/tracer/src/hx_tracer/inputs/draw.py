"""Example values for the parameters of a model's forward(), by the kind of parameter name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from hx_tracer.inputs.config_sizes import Facts
from hx_tracer.inputs.sampling import Recipe, redraw

IDS = re.compile(r"(^|_)(ids|tokens|codes|index|labels)(_?\d+)?$")
MASK = re.compile(r"mask(s|_?\d+)?$|^observed_|masked_pos$")
IMAGE = re.compile(r"pixel|image|^x$|frames|video")
SERIES = re.compile(r"^(past|future)_(?!key)")
GRID = re.compile(r"grid_thw$|grid_hws?$|^grids?$")
MEL = re.compile(r"features|spectrogram|mel|fbank")
WAVE = re.compile(r"values|audio|waveform|speech")
LAYOUTS = ("plain", "swapped", "channel", "patches", "tiles")

Layout = Literal["plain", "swapped", "channel", "patches", "tiles"]


@dataclass(frozen=True)
class Trial:
    """One way to make the inputs.

    Attributes:
        names: Parameters of forward() to give.
        batch: Size of axis 0.
        length: Tokens of text, placeholders not counted.
        layout: Which of the usual axis orders images and audio have.
        masked: Whether masks have zeros at the end of the last row, only ones, or are left out.
        placeholders: Placeholder tokens of each row by token id, for features of other modalities.
        widths: Sizes of last axes by input, where an error told them.
        frames: Frames of a spectrogram, where an error told them.
        boolean: Masks are bool instead of int64.
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
        return 3 if self.masked == "padded" and self.batch > 1 else 0


def draw(
    trial: Trial, facts: Facts, dtype: torch.dtype, seed: int
) -> tuple[dict[str, Any], dict[str, Recipe]]:
    """Make every input that `trial.names` lists, in that order."""
    values: dict[str, Any] = {}
    recipes: dict[str, Recipe] = {}
    for name in trial.names:
        shape, recipe, kind = _plan(name, trial, facts)
        if name in trial.widths:
            shape = (*shape[:-1], trial.widths[name])
        if recipe.kind == "mask" and trial.boolean:
            kind = torch.bool
        value = redraw(recipe, shape, kind if kind is not None else dtype, name=name, seed=seed)
        values[name], recipes[name] = _finish(name, value, trial, facts), recipe
    return values, recipes


def _plan(name: str, trial: Trial, facts: Facts) -> tuple[tuple[int, ...], Recipe, torch.dtype | None]:
    """Shape, recipe and data type (`None` for the model's own) of one input."""
    batch = trial.batch
    length = 7 if name.startswith("decoder_") else trial.length + sum(trial.placeholders.values())
    if GRID.search(name):
        return (batch, 3 if name.endswith("thw") else 2), Recipe("given"), torch.int64
    if name.endswith("spatial_shapes"):
        return (batch, 2), Recipe("given"), torch.int64
    if name.endswith("merge_sizes"):
        return (batch,), Recipe("ids", facts.merge, facts.merge + 1), torch.int64
    packed = trial.layout == "patches" and any(GRID.search(other) for other in trial.names)
    if packed and name in ("hidden_states", "x", "pixel_values", "patches"):
        return _image(name, trial, facts, length)
    if name.startswith("bbox"):
        return (batch, length, 4), Recipe("positions", 0, 4), torch.int64
    if name.startswith(("pixel", "image")) and name.endswith("position_ids"):
        return (batch, math.prod(grid_of(facts)), 2), Recipe("given"), torch.int64
    if name.endswith("position_ids"):
        return (batch, length), Recipe("positions"), torch.int64
    if "token_type" in name or "segment" in name:
        return (batch, length), Recipe("ids", 0, max(facts.types, 1)), torch.int64
    for rule, plan in _RULES:
        if rule.search(name):
            return plan(name, trial, facts, length)
    return (batch, length, facts.hidden), Recipe("normal"), None


def _mask(
    name: str, trial: Trial, facts: Facts, length: int
) -> tuple[tuple[int, ...], Recipe, torch.dtype | None]:
    if "bool" in name:
        patches = (facts.height // facts.patch) * (facts.width // facts.patch)
        return (trial.batch, patches), Recipe("mask"), torch.bool
    if "pixel" in name and _is_flat(trial):
        return (trial.batch, math.prod(grid_of(facts))), Recipe("mask"), torch.int64
    if "pixel" in name:
        return (trial.batch, facts.height, facts.width), Recipe("mask"), torch.int64
    if "feature" in name and trial.layout != "patches":
        return (trial.batch, trial.frames or facts.mel_frames), Recipe("mask"), torch.int64
    if any(IDS.search(other) for other in trial.names) or not any(
        WAVE.search(other) for other in trial.names
    ):
        return (trial.batch, length), Recipe("mask"), torch.int64
    return (trial.batch, facts.samples), Recipe("mask"), torch.int64


def _ids(
    name: str, trial: Trial, facts: Facts, length: int
) -> tuple[tuple[int, ...], Recipe, torch.dtype | None]:
    books = facts.find("num_codebooks", "num_quantizers") if "code" in name else None
    shape = (trial.batch, books, length) if isinstance(books, int) else (trial.batch, length)
    special = tuple(sorted(set(facts.special.values())))
    return shape, Recipe("ids", 1, facts.vocab, special), torch.int64


def _image(
    name: str, trial: Trial, facts: Facts, length: int
) -> tuple[tuple[int, ...], Recipe, torch.dtype | None]:
    height, width, channels = facts.height, facts.width, facts.channels
    frames = max(facts.frames, facts.temporal_patch) if facts.frames else 2
    if _is_flat(trial):
        return (trial.batch, math.prod(grid_of(facts)), channels * facts.patch**2), Recipe("normal"), None
    if trial.layout == "patches":
        grid = grid_of(facts)
        cells = trial.batch * math.prod(grid)
        return (cells, channels * facts.temporal_patch * facts.patch**2), Recipe("normal"), None
    if trial.layout == "tiles":
        return (trial.batch, 2, channels, height, width), Recipe("normal"), None
    video = ("video" in name) != (trial.layout == "swapped")
    if video:
        return (trial.batch, frames, channels, height, width), Recipe("normal"), None
    if trial.layout == "channel":
        return (trial.batch, channels, frames, height, width), Recipe("normal"), None
    return (trial.batch, channels, height, width), Recipe("normal"), None


def _mel(
    name: str, trial: Trial, facts: Facts, length: int
) -> tuple[tuple[int, ...], Recipe, torch.dtype | None]:
    bins, frames = facts.mel_bins, trial.frames or facts.mel_frames
    shapes: dict[str, tuple[int, ...]] = {
        "plain": (trial.batch, bins, frames),
        "swapped": (trial.batch, frames, bins),
        "channel": (trial.batch, 1, frames, bins),
        "patches": (trial.batch, facts.samples),
        "tiles": (trial.batch, 1, facts.samples),
    }
    return shapes[trial.layout], Recipe("normal"), None


def _wave(
    name: str, trial: Trial, facts: Facts, length: int
) -> tuple[tuple[int, ...], Recipe, torch.dtype | None]:
    shapes: dict[str, tuple[int, ...]] = {
        "plain": (trial.batch, facts.samples),
        "swapped": (trial.batch, facts.mel_frames, facts.mel_bins),
        "channel": (trial.batch, 1, facts.samples),
        "patches": (trial.batch, facts.mel_bins, facts.mel_frames),
        "tiles": (trial.batch, 2, facts.samples),
    }
    return shapes[trial.layout], Recipe("normal"), None


def _series(
    name: str, trial: Trial, facts: Facts, length: int
) -> tuple[tuple[int, ...], Recipe, torch.dtype | None]:
    context = facts.find("context_length", "prediction_length") or length
    lags = facts.find("lags_sequence")
    steps = context + (
        max(lags) if isinstance(lags, (list, tuple)) and lags and trial.layout != "channel" else 0
    )
    if name.startswith("future_"):
        steps = facts.find("prediction_length") or steps
    width = facts.find("num_input_channels", "input_size") or 1
    if "mask" in name:
        recipe = Recipe("mask")
    elif name.endswith("features"):
        return (trial.batch, steps, facts.find("num_time_features") or 1), Recipe("normal"), None
    else:
        recipe = Recipe("normal")
    shape = (
        (trial.batch, steps)
        if width == 1 and trial.layout in ("plain", "channel")
        else (trial.batch, steps, width)
    )
    return shape, recipe, None


def _is_flat(trial: Trial) -> bool:
    """Whether images come as (batch, patches, numbers of a patch), beside their sizes or patch positions."""
    return any(
        n.endswith("spatial_shapes") or re.match(r"(pixel|image)_position_ids$", n) for n in trial.names
    )


_Plan = Callable[[str, Trial, Facts, int], tuple[tuple[int, ...], Recipe, torch.dtype | None]]
_RULES: tuple[tuple[re.Pattern[str], _Plan], ...] = (
    (SERIES, _series),
    (MASK, _mask),
    (IDS, _ids),
    (MEL, _mel),
    (IMAGE, _image),
    (WAVE, _wave),
)


def grid_of(facts: Facts) -> tuple[int, int, int]:
    """Time, height and width of one image in patches, height and width a multiple of the merge size."""
    rows = max(facts.height // facts.patch // facts.merge, 1) * facts.merge
    columns = max(facts.width // facts.patch // facts.merge, 1) * facts.merge
    return 1, rows, columns


def _finish(name: str, value: torch.Tensor, trial: Trial, facts: Facts) -> torch.Tensor:
    """Give ids their ends, padding and placeholders, and masks their padding."""
    if name.endswith("spatial_shapes"):
        return torch.tensor([grid_of(facts)[1:]] * trial.batch, dtype=value.dtype)
    if value.ndim == 3 and name.endswith("position_ids") and value.shape[-1] == 2:
        _, rows, columns = grid_of(facts)
        cells = torch.cartesian_prod(torch.arange(columns), torch.arange(rows))
        return cells.expand(trial.batch, -1, -1).contiguous()
    if GRID.search(name):
        return torch.tensor([grid_of(facts)[-value.shape[-1] :]] * trial.batch, dtype=value.dtype)
    text = value.ndim == 2 and not name.startswith("decoder_")
    if (
        MASK.search(name)
        and text
        and "pixel" not in name
        and trial.padding
        and value.shape[1] > trial.padding
    ):
        value[-1, -trial.padding :] = 0
    if (
        not (IDS.search(name) and name.endswith("ids") and value.ndim == 2)
        or "token_type" in name
        or "position" in name
    ):
        return value
    if name.startswith("decoder_"):
        start = facts.special.get("decoder_start_token_id")
        if start is not None and start < facts.vocab:
            value[:, 0] = start
        return value
    at = 1
    for token, count in trial.placeholders.items():
        value[:, at : at + count] = token
        at += count
    ends = [value.shape[1] - 1] * (trial.batch - 1) + [value.shape[1] - 1 - trial.padding]
    end, pad = facts.special.get("eos_token_id"), facts.special.get("pad_token_id")
    for row, last in enumerate(ends):
        if end is not None and end < facts.vocab:
            value[row, last] = end
        if pad is not None and pad < facts.vocab:
            value[row, last + 1 :] = pad
    return value
