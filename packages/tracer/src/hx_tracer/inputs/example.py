"""Example inputs for a module: a caller's, a file's, or generated and tried."""

import inspect
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hx_sidecar_schema import UnfitInputs, ignore_warnings
from hx_tracer._torch_internals import pytree
from hx_tracer.inputs.arguments import (
    Arguments,
    argument_leaves,
    matching_paths,
    named_parameters,
    nested,
    positional_names,
    required_names,
    split_arguments,
    tensors_in,
    with_leaves,
)
from hx_tracer.inputs.candidates import IDS, MASK, Sampling, sample
from hx_tracer.inputs.config_sizes import ConfigSizes
from hx_tracer.inputs.file import read_inputs
from hx_tracer.inputs.generate import float_dtype, generate
from hx_tracer.watch.ports import forward_signature
from hx_tracer.watch.preserve import preserve_state
from hx_tracer.watch.uncompiled import run_seeded

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExampleInputs:
    """Inputs for one call of a module.

    Attributes:
        kwargs: Values by the name of forward()'s parameters: tensors, or containers of tensors. Float tensors have the
            module's own data type; where its weights have several, that which they were given in, if it runs on them.
        args: Values for a forward() that takes `*args` or positional-only parameters; they stand before `kwargs`.
        samplings: The distributions of generated inputs; `given` for the others.
    """

    kwargs: dict[str, Any]
    args: tuple[Any, ...] = ()
    samplings: dict[str, Sampling] = field(default_factory=dict[str, Sampling])


def example_inputs(
    module: torch.nn.Module,
    *,
    example: Mapping[str, Any] | Sequence[Any] | torch.Tensor | np.ndarray[Any, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    inputs_file: Path | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    replace: bool = True,
    seed: int = 0,
) -> ExampleInputs:
    """Return inputs that fit a module's forward().

    The first source that is present counts: `inputs_file`, `example`, else generated inputs. `input_shapes` then
    replaces or adds inputs of these shapes. Only generated inputs are tried on the module; given ones are bound to
    the signature.

    Args:
        module: Run under `torch.no_grad` to try generated inputs; its buffers and attributes are then as before.
        example: Inputs by name, which are brought into the order of the signature, or by position, or a single one.
            Arrays of numpy among them, at any depth, become tensors.
        kwargs: Further inputs by name beside positional ones; they keep their order, as `torch.onnx.export` has it.
        inputs_file: `.pt` (a dict, loaded with `weights_only`), `.npz` or `.safetensors`.
        input_shapes: Shapes by parameter name, or by what `matching_paths` takes for tensors inside of containers.
        replace: Whether a shape may stand for what `example` or `inputs_file` has too.
        seed: Seed of the generated values.

    Raises:
        HxError: HX108 where no inputs could be made, HX109 where given ones do not fit, HX110 for an unreadable file.
    """
    shapes = input_shapes or {}
    if inputs_file is not None:
        example = read_inputs(inputs_file)
    elif isinstance(example, (torch.Tensor, np.ndarray)):
        example = (example,)
    elif example is None and kwargs is not None:
        example = ()
    if example is not None or shapes:
        args, given = _in_accepted_dtype(module, *_bound(module, example if example is not None else {}, kwargs or {}))
        samplings = dict.fromkeys(given, Sampling("given"))
        missing = _missing(module, {**given, **shapes}, args)
        if not missing or example is not None:
            return _with_shapes(module, ExampleInputs(given, args, samplings), shapes, seed, replace=replace)
        _logger.info("Inputs %s have no shape given; generated.", missing)
    with preserve_state(module):
        generated, samplings = generate(module, float_dtype(module), seed)
    args, named = split_arguments(module, generated)
    return _with_shapes(module, ExampleInputs(named, args, samplings), shapes, seed)


def _takes(module: torch.nn.Module, kind: Any) -> bool:
    """Return whether a `forward` takes `*args` or `**kwargs`, by the kind of parameter; true without a signature."""
    signature = forward_signature(module)
    return signature is None or any(p.kind is kind for p in signature.parameters.values())


def _in_order(module: torch.nn.Module, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by name in the order of the signature, those that `**kwargs` takes at the end."""
    order = filter(values.__contains__, named_parameters(module))
    return {name: values[name] for name in (*order, *values)}


def _missing(module: torch.nn.Module, given: Mapping[str, Any], args: tuple[Any, ...]) -> list[str]:
    by_position = positional_names(module, len(args))
    return [name for name in required_names(module) if name not in given and name not in by_position]


def _check_names(module: torch.nn.Module, given: Mapping[str, Any]) -> None:
    known = list(named_parameters(module))
    unknown = [name for name in given if name not in known]
    if unknown and not _takes(module, inspect.Parameter.VAR_KEYWORD):
        raise UnfitInputs(
            f"Inputs {unknown!r} are no parameters of {type(module).__name__}.forward(), which takes {known!r}.",
            hint="Name the inputs as forward() does.",
        )


def _bound(module: torch.nn.Module, example: Mapping[str, Any] | Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
    """Bind given inputs to the signature: by name where that can be, else by position."""
    if isinstance(example, Mapping):
        example = nested(example) | dict(kwargs)
        _check_names(module, example)
        ordered = _in_order(module, example)
        return split_arguments(module, {name: _converted(module, name, ordered[name]) for name in ordered})
    _check_names(module, kwargs)
    known = named_parameters(module)
    names = positional_names(module, len(example))
    takes_any = _takes(module, inspect.Parameter.VAR_POSITIONAL)
    if not takes_any and not set(names) <= known.keys():
        raise UnfitInputs(
            f"{len(example)!r} inputs were given, {type(module).__name__}.forward() takes {list(known)!r}.",
            hint="Give at most one input for each parameter of forward().",
        )
    if twice := [name for name in names if name in kwargs]:
        raise UnfitInputs(
            f"Inputs {twice!r} of {type(module).__name__}.forward() are given by position and by name.",
            hint="Give each input once.",
        )
    values = tuple(_converted(module, name, value) for name, value in zip(names, example, strict=True))
    named = {name: _converted(module, name, value) for name, value in kwargs.items()}
    if not takes_any and all(known[name].kind is not inspect.Parameter.POSITIONAL_ONLY for name in names):
        return (), dict(zip(names, values, strict=True)) | named
    return values, named


def _converted(module: torch.nn.Module, name: str, value: Any) -> Any:
    """Return an input with tensors for arrays; those of doubles, which are numpy's default, in the module's data type."""

    def converted(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        tensor = as_tensor(leaf)
        return tensor.to(float_dtype(module)) if tensor.dtype == torch.float64 else tensor

    leaves, spec = pytree.tree_flatten(value)
    try:
        new = [converted(leaf) for leaf in leaves]
    except TypeError as error:
        raise UnfitInputs(
            f"Input {name!r} of {type(module).__name__}.forward() cannot be made a tensor: {error}.",
            hint="Give numbers.",
        ) from error
    same = all(one is other for one, other in zip(leaves, new, strict=True))
    return value if same else pytree.tree_unflatten(new, spec)


def _in_accepted_dtype(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """Return inputs with floats in the data type of the module; where it has several, as they are given, if it runs on them."""
    dtype = float_dtype(module)
    if all(not leaf.is_floating_point() or leaf.dtype == dtype for leaf in tensors_in((args, kwargs))):
        return args, kwargs
    if len({weight.dtype for weight in module.parameters() if weight.is_floating_point()}) > 1:
        with (
            suppress(Exception),
            preserve_state(module),
            ignore_warnings,
        ):  # a model raises anything on what it does not take
            run_seeded(module, *pytree.tree_map_only(torch.Tensor, torch.clone, (args, kwargs)))
            return args, kwargs
    return pytree.tree_map_only(
        torch.Tensor, lambda one: one.to(dtype) if one.is_floating_point() else one, (args, kwargs)
    )


def as_tensor(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """Return a copy of an array as a tensor; bfloat16, which numpy has from ml_dtypes, stays that.

    Raises:
        TypeError: If torch has no such numbers.
    """
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def _with_shapes(
    module: torch.nn.Module,
    made: ExampleInputs,
    shapes: Mapping[str, Sequence[int]],
    seed: int,
    *,
    replace: bool = True,
) -> ExampleInputs:
    """Return the inputs with new ones for those that `shapes` has; check that none is missing."""
    kwargs, samplings = dict(made.kwargs), dict(made.samplings)
    leaves = argument_leaves(module, made.args, kwargs)
    inner = {
        path: shape
        for name, shape in shapes.items()
        if name not in named_parameters(module)
        for path in matching_paths(name, [path for path, leaf in leaves if isinstance(leaf, torch.Tensor)])
    }
    if not replace and (twice := [name for name in shapes if name in kwargs or matching_paths(name, inner)]):
        raise UnfitInputs(
            f"Inputs {twice!r} of {type(module).__name__}.forward() are given twice, by their numbers and by their shapes.",
            hint="Give each input once.",
            argument="input_shapes",
        )
    if unknown := [name for name, shape in shapes.items() if None in shape]:
        raise UnfitInputs(
            f"The shapes of {unknown!r} leave sizes open.",
            hint="Give all sizes: only an ONNX file can be tried on others.",
            argument="input_shapes",
        )
    shapes = {name: shape for name, shape in shapes.items() if not matching_paths(name, inner)}
    _check_names(module, shapes)
    sizes, dtype = ConfigSizes(module), float_dtype(module)

    def made_anew(name: str, old: Any, shape: Sequence[int]) -> tuple[torch.Tensor, Sampling]:
        kind = old.dtype if isinstance(old, torch.Tensor) else dtype
        sampling = samplings.get(name, Sampling("given"))
        if sampling.kind == "given":
            if MASK.search(name):
                sampling = Sampling("mask")
            elif IDS.search(name) or (old is not None and not kind.is_floating_point):
                sampling = Sampling("ids", 0, sizes.vocab, sizes.special_ids)
            else:
                sampling = Sampling("normal")
            kind = dtype if sampling.kind == "normal" else torch.int64
        return sample(sampling, shape, kind, name=name, seed=seed), sampling

    new = [made_anew(path, leaf, inner[path])[0] if path in inner else leaf for path, leaf in leaves]
    args, kwargs = with_leaves(made.args, kwargs, new)
    for name, shape in shapes.items():
        kwargs[name], samplings[name] = made_anew(name, kwargs.get(name), shape)
    if missing := _missing(module, kwargs, args):
        raise UnfitInputs(
            f"{type(module).__name__}.forward() also needs {missing!r}; given were {list(kwargs)!r}.",
            hint=f"Give {missing[0]!r} too, or its shape.",
            argument="input_shapes",
        )
    if shapes:
        kwargs, samplings = _in_order(module, kwargs), _in_order(module, samplings)
    return ExampleInputs(kwargs, args, samplings)
