"""The PyTorch module that a model is compared with, and inputs of one run, as it and as the ONNX model take them."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hx._file_inputs import Shapes, with_inputs
from hx._models import given_inputs
from hx._tensors import to_numpy
from hx._verify.arguments import as_example, from_names
from hx_extractor import Hierarchy
from hx_sidecar_schema import HxError, Sidecar, TensorInfo, simple_name
from hx_tracer import (
    ExampleInputs,
    LoadedModel,
    as_tensor,
    example_inputs,
    float_dtype,
    forward_signature,
    read_inputs,
    tensors_in,
)

Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class ModuleInputs:
    """The same tensors twice: as arguments of the module, and as arrays under the names of the ONNX model's inputs."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    arrays: Arrays


def inputs_of_both(loaded: LoadedModel, model: Hierarchy, inputs: Any, shapes: Shapes | None) -> ModuleInputs:
    """Return given inputs for a module and an ONNX model, by the names of either, else the recorded ones.

    HX109, HX110 or HX409 where they do not fit; else as `recorded_inputs`.
    """
    if isinstance(inputs, str | Path):
        inputs = read_inputs(Path(inputs))
    names = {info.name for info in model.sidecar.model.inputs}
    arrays = isinstance(inputs, Mapping) and all(isinstance(one, torch.Tensor | np.ndarray) for one in inputs.values())
    if inputs is None or (arrays and names.issuperset(inputs)):
        model = with_inputs(model, inputs, shapes)
        return recorded_inputs(loaded, model.sidecar, model.example_inputs())
    given = given_inputs(loaded, inputs)
    found = _named(given.args, given.kwargs, model.sidecar.model.inputs)
    if found is None or shapes:
        own = [*(f"args.{index}" for index in range(len(given.args))), *given.kwargs]
        raise HxError(
            f"The inputs do not fit the ONNX model: they are {own!r}, the ONNX model takes {[*names]!r}.",
            code="HX409",
            hint="Give exactly the inputs that the model was exported with; shapes go with inputs by the ONNX model's names.",
            argument="inputs",
        )
    return ModuleInputs(given.args, given.kwargs, with_inputs(model, found).example_inputs())


def recorded_inputs(loaded: LoadedModel, sidecar: Sidecar, arrays: Arrays) -> ModuleInputs:
    """Bring arrays under ONNX names to the module's arguments, beside what else the export was given.

    They are nested as in the module's own example, else as the names of the root's ports say. What the ONNX model has no
    input for, as exporters drop what nothing uses, is the example's own, else zero. HX407 if the module takes another number
    of tensors, under other names; HX128 if it was given what no file holds.
    """
    module, call = loaded.module, sidecar.calls[0]
    own_dtype, halves = float_dtype(module), (torch.float16, torch.bfloat16)
    tensors = {name: as_tensor(array) for name, array in arrays.items()}
    # a converter may have halved the model's own inputs
    tensors = {name: tensor.to(own_dtype) if tensor.dtype in halves else tensor for name, tensor in tensors.items()}
    paths = {port.value: port.name for port in call.inputs}
    named = {paths.get(name, name): tensor for name, tensor in tensors.items()}
    example = loaded.example
    if example is None and _takes(module, named):
        return ModuleInputs(*from_names(module, sidecar, tensors), arrays)
    if not isinstance(example, ExampleInputs):
        example = example_inputs(module, example=example)
    found = as_example(module, call, example, named)
    if found is None and _takes(module, named):
        found = from_names(module, sidecar, tensors)
    if found is None:
        raise HxError(
            f"{type(module).__name__} takes {len(tensors_in((example.args, example.kwargs)))} tensors, "
            f"the ONNX model {list(arrays)!r}.",
            code="HX407",
            hint="Compare with the model that the ONNX file was exported from.",
        )
    return ModuleInputs(*found, arrays)


def _takes(module: torch.nn.Module, tensors: Iterable[str]) -> bool:
    """Say whether `forward` takes arguments of these names."""
    signature = forward_signature(module)
    known = {} if signature is None else signature.parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    return takes_any or {name.partition(".")[0] for name in tensors} <= known.keys()


def _named(args: tuple[Any, ...], kwargs: Mapping[str, Any], wanted: Sequence[TensorInfo]) -> Arrays | None:
    """Return the tensors that the ONNX model takes by its names; None where their names or number are others."""
    names = [info.name for info in wanted]
    if not args and all(isinstance(value, torch.Tensor) for value in kwargs.values()):
        return {name: to_numpy(kwargs[name]) for name in names} if kwargs.keys() >= set(names) else None
    tensors = tensors_in((args, dict(kwargs)))
    if len(tensors) != len(names):
        return None
    return {name: to_numpy(tensor) for name, tensor in zip(names, tensors, strict=True)}


def counterpart(loaded: LoadedModel, sidecar: Sidecar) -> LoadedModel:
    """Return the module that an ONNX model is compared with: of a part the one that it was cut out of, by its name or given itself.

    HX407 if neither is of the part's class, HX128 if the part has inputs that its module does not take: of a stage, values
    of other stages.
    """
    if sidecar.cut_from is None:
        return loaded
    root = sidecar.modules[0]
    arguments = {port.carrier for port in sidecar.calls[0].inputs if not port.implicit}
    if others := [info.name for info in sidecar.model.inputs if info.name not in arguments]:
        raise HxError(
            f"{sidecar.model.file!r} takes {', '.join(map(repr, others))} past the arguments of {root.tag!r}: PyTorch cannot be given that.",
            code="HX128",
            hint="Compare the whole model, which `hx join` makes of stages, or a part around this one.",
        )
    named = dict(loaded.module.named_modules(remove_duplicate=False))
    for module in (named.get(root.fqn), loaded.module):
        if module is not None and type(module).__name__ == simple_name(root.class_name):
            return loaded if module is loaded.module else LoadedModel(module, loaded.name)
    raise HxError(
        f"{type(loaded.module).__name__} is not, and has not as {root.fqn!r}, the {simple_name(root.class_name)} "
        "that the part was cut out of.",
        code="HX407",
        hint="Compare with the model that the part was exported with, or with the module itself.",
        argument="against",
    )
