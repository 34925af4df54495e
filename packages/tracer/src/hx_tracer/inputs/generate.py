"""Generated inputs: candidates from the signature and the configuration, each tried on the module.

After a failed run the candidate is changed as the error says: a parameter of forward() is added that the error, or a
source line that it came through, mentions; the number of placeholder tokens is set to the number of features that the
error has; widths of matrix products, lengths and bool masks likewise. At most 64 runs in all.
"""

import inspect
import linecache
import logging
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from hx_sidecar_schema import HxError, first_line, ignore_warnings
from hx_tracer.inputs.arguments import named_parameters, required_names, split_arguments
from hx_tracer.inputs.candidates import IDS, IMAGE, LAYOUTS, MASK, MEL, WAVE, Candidate, Sampling, sample, sample_inputs
from hx_tracer.inputs.config_sizes import ConfigSizes, config_of
from hx_tracer.watch.ports import output_ports
from hx_tracer.watch.uncompiled import run_seeded

_logger = logging.getLogger(__name__)
_MAX_RUNS = 64
_SIDE = 32
_TOKENS = 12
_BATCH = 2
_COUNTS = re.compile(r"tokens\D{0,12}(\d+)\D+(\d+)")
_MATRICES = re.compile(r"shapes cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)")
_LENGTH = re.compile(r"(?:multiple of[^,]*\D|of length |length of )(\d+)")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_Made = tuple[dict[str, Any], dict[str, Sampling]]


def generate(module: torch.nn.Module, dtype: torch.dtype, seed: int) -> _Made:
    """Return values and samplings by parameter name on which the module runs, to finite and not all zero outputs if it can.

    Raises:
        HxError: HX108 where every candidate fails, with the module's own last error.
    """
    with ignore_warnings:  # of models, about inputs that are tried
        if config_of(module) is None:
            return _from_modules(module, dtype, seed)
        try:
            return _from_config(module, dtype, seed)
        except HxError:  # what is called a configuration may say nothing of inputs
            with suppress(HxError):
                return _from_modules(module, dtype, seed)
            raise


def float_dtype(module: torch.nn.Module) -> torch.dtype:
    """Return the data type of a module's first float parameter, float32 without one."""
    floats = (p.dtype for p in module.parameters() if p.dtype.is_floating_point)
    return next(floats, torch.float32)


def _is_sound(output: Any) -> bool:
    """Return whether the float tensors of an output are finite and not all zero; true without any."""
    floats = [t for _, t in output_ports(output, ()) if t.is_floating_point() and t.numel()]
    return all(bool(torch.isfinite(t).all()) for t in floats) and (not floats or any(bool(t.any()) for t in floats))


def _from_config(module: torch.nn.Module, dtype: torch.dtype, seed: int) -> _Made:
    sizes = ConfigSizes(module)
    reasons: list[str] = []
    unsound: _Made | None = None
    runs = 0
    for start in _candidates(module, sizes):
        candidate: Candidate | None = start
        seen: list[Candidate] = []
        while candidate is not None and runs < _MAX_RUNS and candidate not in seen:
            seen.append(candidate)
            runs += 1
            made: _Made = {}, {}
            try:
                made = sample_inputs(candidate, sizes, dtype, seed)
                output = run_seeded(module, *split_arguments(module, made[0]))
            except Exception as error:  # noqa: BLE001 whatever the module raises ends this candidate only; it is reported
                reasons.append(first_line(error, with_type=True))
                _logger.debug("Inputs %s do not fit: %s", candidate, reasons[-1])
                candidate = _repaired(candidate, error, module, sizes, made[0])
                continue
            if _is_sound(output):
                return made
            unsound = unsound or made
            break
    if unsound is not None:
        return unsound
    raise _no_inputs(module, reasons)


def _no_inputs(module: torch.nn.Module, reasons: list[str]) -> HxError:
    needs = required_names(module) or list(named_parameters(module))
    last = reasons[0] if reasons else "nothing says which shapes it takes"
    name = needs[0] if needs else "NAME"
    return HxError(
        f"No inputs found for {type(module).__name__}.forward({', '.join(needs)}): {last!r}.",
        code="HX108",
        hint=f"Let a factory return (module, inputs), or give the shape of {name!r}.",
        argument="input_shapes",
    )


def _candidates(module: torch.nn.Module, sizes: ConfigSizes) -> Iterator[Candidate]:
    known = named_parameters(module)
    main = getattr(module, "main_input_name", None)
    mains = [main] if isinstance(main, str) else list(main or ())
    base = [name for name in known if name in mains or name in required_names(module)]
    takes = {
        "input_ids": sizes.text,
        "pixel_values": sizes.vision,
        "input_features": sizes.audio,
        "input_values": sizes.audio,
    }
    if not base:
        values = [name for name in known if any(rule.search(name) for rule in (IDS, MEL, IMAGE, WAVE))]
        base = ([name for name in known if name in takes] or values)[:1]
    sets = [[name for name in known if name in base or takes.get(name)]]
    for names in (base, [name for name in known if name == "input_ids"]):
        if names not in sets and (names or names is base):
            sets.append(names)
    for names in sets:
        has_layout = any(not IDS.search(n) and not MASK.search(n) for n in names)
        for layout in LAYOUTS if has_layout else LAYOUTS[:1]:
            yield from _masked(Candidate(tuple(names), layout=layout), known, sizes)
    yield replace(Candidate(tuple(sets[0])), batch=1, masked="no")


def _masked(candidate: Candidate, known: Mapping[str, Any], sizes: ConfigSizes) -> Iterator[Candidate]:
    """Yield the candidate with the masks and decoder inputs that go with its inputs, then with fewer of them."""
    decoder = ("decoder_input_ids",) if sizes.decoder and sizes.text else ()
    fuller = tuple(n for n in known if n in (*candidate.names, *decoder))
    if "input_ids" in candidate.names and "attention_mask" in known:
        with_mask = tuple(n for n in known if n in fuller or n == "attention_mask")
        yield replace(candidate, names=with_mask)
        yield replace(candidate, names=with_mask, masked="ones")
    yield replace(candidate, names=fuller, masked="no")
    if fuller != candidate.names:
        yield replace(candidate, masked="no")


def _repaired(
    candidate: Candidate, error: Exception, module: torch.nn.Module, sizes: ConfigSizes, made: dict[str, Any]
) -> Candidate | None:
    """Return the candidate changed as an error says; None where it says nothing that is known."""
    text = str(error)
    if counts := _COUNTS.search(text):
        features = int(counts[2])
        if counts[1] == counts[2] and features % sizes.text_hidden == 0:
            features //= sizes.text_hidden  # some messages count the numbers of all features, not the features
        return _with_placeholders(candidate, text, features, sizes)
    if "bool" in text and not candidate.boolean:
        return replace(candidate, boolean=True)
    if product := _MATRICES.search(text):  # of the last float input whose last axis has the size that was refused
        floats = {n: v.shape[-1] for n, v in made.items() if v.is_floating_point() and n not in candidate.widths}
        if names := [name for name, width in floats.items() if width == int(product[1])]:
            return replace(candidate, widths={**candidate.widths, names[-1]: int(product[2])})
    if (length := _LENGTH.search(text)) and not candidate.frames and any(MEL.search(n) for n in candidate.names):
        frames = int(length[1])
        return replace(candidate, frames=frames * max(1, -(-32 // max(frames, 1))))  # the first multiple from 32
    known = named_parameters(module)
    for name in _mentioned(error):
        if name not in known or name in candidate.names or not _may_add(name, candidate, known[name]):
            continue
        names = tuple(n for n in known if n in candidate.names or n == name)
        layout = "patches" if name.endswith(("grid_thw", "grid_hws")) else candidate.layout
        return replace(candidate, names=names, layout=layout)
    return None


def _may_add(name: str, candidate: Candidate, parameter: inspect.Parameter) -> bool:
    if name.endswith("inputs_embeds") and name.replace("inputs_embeds", "input_ids") in candidate.names:
        return False
    return not isinstance(parameter.default, (bool, int, float, str)) and not re.search(
        r"^(labels|return_dict|output_|use_cache|past_key_values|cache_|config)|encoder_outputs$", name
    )


def _mentioned(error: Exception) -> Iterator[str]:
    """Yield the words of an error, then those of the source lines that it came through, innermost first."""
    yield from _WORD.findall(str(error))
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        yield from _WORD.findall(linecache.getline(frame.f_code.co_filename, line))


def _with_placeholders(candidate: Candidate, text: str, features: int, sizes: ConfigSizes) -> Candidate | None:
    if not features or features % candidate.batch or "input_ids" not in candidate.names:
        return None
    kind = next((word for word in ("image", "video", "audio") if word in text.lower()), "")
    for name, token in sizes.special.items():
        if token < sizes.vocab and re.fullmatch(rf"{kind}_token_(id|index|idx)", name):
            return replace(candidate, placeholders={**candidate.placeholders, token: features // candidate.batch})
    return None


def _from_modules(module: torch.nn.Module, dtype: torch.dtype, seed: int) -> _Made:
    names = required_names(module) or list(named_parameters(module))[:1]
    reasons: list[str] = []
    for shape, vocab in _guessed_shapes(module):
        sampling = Sampling("normal") if vocab is None else Sampling("ids", 0, vocab)
        kind = dtype if vocab is None else torch.int64
        kwargs = {name: sample(sampling, shape, kind, name=name, seed=seed) for name in names}
        try:
            run_seeded(module, *split_arguments(module, kwargs))
        except Exception as error:  # noqa: BLE001 whatever the module raises ends this shape only; it is reported
            reasons.append(first_line(error, with_type=True))
            continue
        return kwargs, dict.fromkeys(names, sampling)
    raise _no_inputs(module, reasons)


def _guessed_shapes(module: nn.Module) -> Iterator[tuple[tuple[int, ...], int | None]]:
    """Yield likely shapes of a module's inputs, likeliest first, each with the size of a vocabulary or None.

    Nothing where no submodule is of a `torch.nn` class that fixes an input size.
    """
    for leaf in module.modules():
        if isinstance(leaf, (nn.Embedding, nn.EmbeddingBag)):
            yield (_BATCH, _TOKENS), leaf.num_embeddings
        elif isinstance(leaf, nn.Conv3d):
            yield (_BATCH, leaf.in_channels, 8, _SIDE, _SIDE), None
        elif isinstance(leaf, (nn.Conv2d, nn.ConvTranspose2d)):
            yield (_BATCH, leaf.in_channels, _SIDE, _SIDE), None
            yield (_BATCH, leaf.in_channels, 7 * _SIDE, 7 * _SIDE), None
        elif isinstance(leaf, (nn.Conv1d, nn.ConvTranspose1d)):
            yield (_BATCH, leaf.in_channels, 4 * _SIDE), None
        elif isinstance(leaf, nn.RNNBase):
            shape = (_BATCH, _TOKENS) if leaf.batch_first else (_TOKENS, _BATCH)
            yield (*shape, leaf.input_size), None
        elif isinstance(leaf, nn.MultiheadAttention):
            yield (_BATCH, _TOKENS, leaf.embed_dim), None
        elif isinstance(leaf, nn.Linear):
            yield (_BATCH, leaf.in_features), None
            yield (_BATCH, _TOKENS, leaf.in_features), None
        elif isinstance(leaf, (nn.RNNCell, nn.GRUCell, nn.LSTMCell)):
            yield (_BATCH, leaf.input_size), None
        elif isinstance(leaf, (nn.BatchNorm1d, nn.BatchNorm2d)):
            yield ((_BATCH, leaf.num_features, *([_SIDE, _SIDE] if isinstance(leaf, nn.BatchNorm2d) else [])), None)
        elif isinstance(leaf, nn.LayerNorm):
            yield (_BATCH, _TOKENS, *leaf.normalized_shape), None
        elif isinstance(leaf, nn.Bilinear):
            yield (_BATCH, leaf.in1_features), None
        else:
            continue
        return
