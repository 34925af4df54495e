"""Generated inputs: candidates from the signature and the configuration, each tried on the module.

What a failed run says is used: a parameter of forward() that the error, or the source line it came from, mentions is
added; counts of placeholder tokens and features that do not match are made to match.
"""

from __future__ import annotations

import inspect
import linecache
import logging
import re
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from hx_sidecar_schema import HxError
from hx_tracer.inputs.config_sizes import Facts, facts_of
from hx_tracer.inputs.draw import IDS, IMAGE, LAYOUTS, MASK, MEL, WAVE, Trial, draw
from hx_tracer.inputs.module_shapes import plain_shapes
from hx_tracer.inputs.sampling import Recipe, redraw

_logger = logging.getLogger(__name__)
_MAX_RUNS = 64
_COUNTS = re.compile(r"tokens\D{0,12}(\d+)\D+(\d+)")
_MATRICES = re.compile(r"shapes cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)")
_LENGTH = re.compile(r"(?:multiple of[^,]*\D|of length |length of )(\d+)")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MODALITIES = ("input_ids", "pixel_values", "input_features", "input_values")
_Made = tuple[dict[str, Any], dict[str, Recipe]]


def generate(module: torch.nn.Module, dtype: torch.dtype, seed: int) -> _Made:
    """Make inputs that the module runs on, with finite outputs where any candidate gives them.

    Raises:
        HxError: HX108 where every candidate fails, with the module's own last error.
    """
    with warnings.catch_warnings():
        # A model's remarks about unusual inputs are of no use while looking for usual ones.
        warnings.simplefilter("ignore")
        return _from_config(module, dtype, seed) if hasattr(module, "config") else _plain(module, dtype, seed)


def float_dtype(module: torch.nn.Module) -> torch.dtype:
    """The data type of a module's first float parameter, float32 without one."""
    floats = (p.dtype for p in module.parameters() if p.dtype.is_floating_point)
    return next(floats, torch.float32)


def _signature(module: torch.nn.Module) -> dict[str, inspect.Parameter]:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = inspect.signature(module.forward).parameters
    return {name: p for name, p in found.items() if p.kind not in variadic}


def _required(module: torch.nn.Module) -> list[str]:
    return [name for name, p in _signature(module).items() if p.default is inspect.Parameter.empty]


def _run(module: torch.nn.Module, kwargs: Mapping[str, Any]) -> Any:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        return module(**kwargs)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _is_sound(output: Any) -> bool:
    """Whether all numbers are finite and some are not zero, where the output has float tensors."""
    floats = [t for t in _tensors(output) if t.is_floating_point() and t.numel()]
    return all(bool(torch.isfinite(t).all()) for t in floats) and (
        not floats or any(bool(t.any()) for t in floats)
    )


def _from_config(module: torch.nn.Module, dtype: torch.dtype, seed: int) -> _Made:
    facts = facts_of(module)
    reasons: list[str] = []
    unsound: _Made | None = None
    runs = 0
    for start in _trials(module, facts):
        trial: Trial | None = start
        seen: set[str] = set()
        while trial is not None and runs < _MAX_RUNS and repr(trial) not in seen:
            seen.add(repr(trial))
            runs += 1
            made: _Made = {}, {}
            try:
                made = draw(trial, facts, dtype, seed)
                output = _run(module, made[0])
            except Exception as error:  # noqa: BLE001 any error of the module's own code only ends this trial; reported
                reasons.append(_last_line(error))
                _logger.debug("Inputs %s do not fit: %s", trial, reasons[-1])
                trial = _repaired(trial, error, module, facts, made[0])
                continue
            if _is_sound(output):
                return made
            unsound = unsound or made
            break
        if runs >= _MAX_RUNS:
            break
    if unsound is not None:
        return unsound
    raise _no_inputs(module, reasons)


def _last_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"[:300]


def _no_inputs(module: torch.nn.Module, reasons: list[str]) -> HxError:
    needs = _required(module) or list(_signature(module))
    last = reasons[0] if reasons else "nothing says which shapes it takes"
    name = needs[0] if needs else "NAME"
    return HxError(
        f"No inputs found for {type(module).__name__}.forward({', '.join(needs)}): {last!r}.",
        code="HX108",
        hint=f"Give shapes with `--input-shape {name}=...`, or a factory that returns (module, inputs).",
    )


def _trials(module: torch.nn.Module, facts: Facts) -> Iterator[Trial]:
    known = _signature(module)
    main = getattr(module, "main_input_name", None)
    mains = [main] if isinstance(main, str) else list(main or ())
    base = [name for name in known if name in mains or name in _required(module)]
    if not base:
        base = [name for name in known if name in _MODALITIES][:1] or [n for n in known if _is_value(n)][:1]
    every = [name for name in known if name in base or (name in _MODALITIES and _suits(name, facts))]
    sets = [every, base] if every != base else [base]
    texts = [name for name in known if name == "input_ids"]
    if texts and texts not in sets:
        sets.append(texts)
    for names in sets:
        has_layout = any(not IDS.search(n) and not MASK.search(n) for n in names)
        for layout in LAYOUTS if has_layout else LAYOUTS[:1]:
            yield from _masked(Trial(tuple(names), layout=layout), known, facts)
    yield replace(Trial(tuple(sets[0])), batch=1, masked="no")


def _is_value(name: str) -> bool:
    return any(rule.search(name) for rule in (IDS, MEL, IMAGE, WAVE))


def _suits(name: str, facts: Facts) -> bool:
    if name == "input_ids":
        return facts.text
    return facts.vision if name == "pixel_values" else facts.audio


def _masked(trial: Trial, known: Mapping[str, Any], facts: Facts) -> Iterator[Trial]:
    """The trial with the companions of its inputs, then with fewer of them."""
    ordered = [
        n for n in known if n in trial.names or (n == "decoder_input_ids" and facts.decoder and facts.text)
    ]
    fuller = tuple(ordered)
    if "input_ids" in trial.names and "attention_mask" in known:
        with_mask = tuple(n for n in known if n in fuller or n == "attention_mask")
        yield replace(trial, names=with_mask)
        yield replace(trial, names=with_mask, masked="ones")
    yield replace(trial, names=fuller, masked="no")
    if fuller != trial.names:
        yield replace(trial, masked="no")


def _repaired(
    trial: Trial, error: Exception, module: torch.nn.Module, facts: Facts, made: dict[str, Any]
) -> Trial | None:
    """The next trial that an error suggests, or `None`."""
    text = str(error)
    if counts := _COUNTS.search(text):
        features = int(counts[2])
        if counts[1] == counts[2] and features % facts.text_hidden == 0:
            features //= (
                facts.text_hidden
            )  # some messages count the numbers of all features, not the features
        return _with_placeholders(trial, text, features, facts)
    if "bool" in text and not trial.boolean:
        return replace(trial, boolean=True)
    if (sizes := _MATRICES.search(text)) and (name := _free_width(trial, made, int(sizes[1]))):
        return replace(trial, widths={**trial.widths, name: int(sizes[2])})
    if (frames := _LENGTH.search(text)) and not trial.frames and any(MEL.search(n) for n in trial.names):
        return replace(trial, frames=_multiple(int(frames[1])))
    known = _signature(module)
    for name in _mentioned(error):
        if name not in known or name in trial.names or not _may_add(name, trial, known[name]):
            continue
        names = tuple(n for n in known if n in trial.names or n == name)
        layout = "patches" if name.endswith(("grid_thw", "grid_hws")) else trial.layout
        return replace(trial, names=names, layout=layout)
    return None


def _free_width(trial: Trial, made: Mapping[str, Any], width: int) -> str | None:
    """A float input whose last axis has the size that a matrix product refused."""
    names = [
        n for n, v in made.items() if v.is_floating_point() and v.shape[-1] == width and n not in trial.widths
    ]
    return names[-1] if names else None


def _multiple(frames: int) -> int:
    """A number of frames, at least 32, that is a multiple of `frames`."""
    return frames * max(1, -(-32 // max(frames, 1)))


def _may_add(name: str, trial: Trial, parameter: inspect.Parameter) -> bool:
    if name.endswith("inputs_embeds") and name.replace("inputs_embeds", "input_ids") in trial.names:
        return False
    return not isinstance(parameter.default, (bool, int, float, str)) and not re.search(
        r"^(labels|return_dict|output_|use_cache|past_key_values|cache_|config)|encoder_outputs$", name
    )


def _mentioned(error: Exception) -> Iterator[str]:
    """Words of an error, then those of the source lines it came through, innermost first."""
    yield from _WORD.findall(str(error))
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        yield from _WORD.findall(linecache.getline(frame.f_code.co_filename, line))


def _with_placeholders(trial: Trial, text: str, features: int, facts: Facts) -> Trial | None:
    if not features or features % trial.batch or "input_ids" not in trial.names:
        return None
    kind = next((word for word in ("image", "video", "audio") if word in text.lower()), "")
    candidates = {name: token for name, token in facts.special.items() if token < facts.vocab}
    exact = [
        token for name, token in candidates.items() if re.fullmatch(rf"{kind}_token_(id|index|idx)", name)
    ]
    token = next(iter(exact), None)
    if token is None:
        return None
    return replace(trial, placeholders={**trial.placeholders, token: features // trial.batch})


def _plain(module: torch.nn.Module, dtype: torch.dtype, seed: int) -> _Made:
    names = _required(module) or list(_signature(module))[:1]
    reasons: list[str] = []
    for shape, vocab in plain_shapes(module):
        recipe = Recipe("normal") if vocab is None else Recipe("ids", 0, vocab)
        kind = dtype if vocab is None else torch.int64
        kwargs = {name: redraw(recipe, shape, kind, name=name, seed=seed) for name in names}
        try:
            _run(module, kwargs)
        except Exception as error:  # noqa: BLE001 any error of the module's own code only ends this trial; reported
            reasons.append(_last_line(error))
            continue
        return kwargs, dict.fromkeys(names, recipe)
    raise _no_inputs(module, reasons)
