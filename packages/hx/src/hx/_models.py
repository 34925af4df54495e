"""What the functions of hx take as a model: one of PyTorch, or one that was exported, as a file or in memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hx_extractor
from hx._redacted import without_folders
from hx_extractor import Hierarchy
from hx_sidecar_schema import HxError, MissingKernel, redirected

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch

    from hx_tracer import ExampleInputs, LoadedModel


@dataclass(frozen=True)
class ModelSpec:
    """A PyTorch model, and how it is loaded where a string names it.

    Examples:
        >>> import hx
        >>> hx.ModelSpec("tiny:bert", dtype="float16").name
        'tiny:bert'

    Attributes:
        model: A module; a function that returns one, or a module and its example inputs; or a string: a Hub id or local
            folder (`org/name[@revision]`), `path/file.py:factory`, `package.module:factory`, or `tiny:ARCH`.
        random_weights: Of a Hub id or folder, take the configuration only. Weights of more than 4 GiB, a factory's too, are not
            made: nothing can be computed with the model, all else can be done with it.
        task: Name of a transformers task or auto class; None for `AutoModel`.
        dtype: `float32`, `float16` or `bfloat16`; None for what the model has.
        attn: How a transformers model computes attention: `eager`, `sdpa`, ...; None for its own choice.
        experts: How a transformers model computes its experts: `eager`, `batched_mm`, ...; None for its own choice.
        trust_remote_code: Run the code that a Hub id or folder brings along.
    """

    model: str | torch.nn.Module | Callable[[], Any]
    random_weights: bool = False
    task: str | None = None
    dtype: str | None = None
    attn: str | None = None
    experts: str | None = None
    trust_remote_code: bool = False

    @property
    def name(self) -> str:
        """What records call it: the string, of a path the last part; or the name of the class or function."""
        if isinstance(self.model, str):
            return without_folders(self.model)
        return getattr(self.model, "__qualname__", type(self.model).__name__)

    def load(self, *, unread: bool = False, in_place: bool = False) -> LoadedModel:
        """Return the module, with its name and the inputs that a factory gave; imports torch.

        Args:
            unread: Take one whose weights were not made too: what it computes means nothing.
            in_place: Of a local folder, say which of its files weights are views of.

        Raises:
            HxError: As `hx_tracer.load_model`; HX217 for random weights that are too large to be made.
        """
        from hx_tracer import is_unread, load_model

        with redirected("stdout", sys.stderr):  # what a factory prints is no data of ours
            loaded = load_model(**vars(self), in_place=in_place)
        if is_unread(loaded.module) and not unread:
            raise HxError(
                f"Nothing can be computed with {self.name!r}: its random weights are too large to be made.",
                code="HX217",
                hint="Take a configuration that is small enough, or only export it.",
            )
        return loaded


AnyModel = ModelSpec | Any
"""A `ModelSpec`, or what one takes as its `model`."""


def model_spec(model: AnyModel) -> ModelSpec:
    """Return a model as a `ModelSpec`; TypeError if it is nothing that one takes."""
    if isinstance(model, ModelSpec):
        return model
    if not isinstance(model, str) and not callable(model):
        raise TypeError(f"A model is a module, a function that makes one, or a string; not {model!r}.")
    return ModelSpec(model)


def given_inputs(
    loaded: LoadedModel,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> ExampleInputs:
    """Return inputs of a module as `export` takes them; HX108 to HX110 where there are none that fit."""
    from hx_tracer import example_inputs

    given: dict[str, Any] = {"inputs_file": Path(args)} if isinstance(args, str | Path) else {"example": args}
    given["replace"] = isinstance(args, tuple) and not args and not kwargs
    if isinstance(args, tuple) and not args:
        given["example"] = None if kwargs else loaded.example
    return example_inputs(loaded.module, **given, kwargs=kwargs or None, input_shapes=input_shapes)


AnyHierarchy = Hierarchy | str | Path
"""What `load` or `export` gave, or the path of an ONNX file with its sidecar beside it."""


def load(path: str | Path, sidecar: str | Path | None = None) -> Hierarchy:
    """Open an exported, projected or relinked model with its sidecar. Weights are read when something runs or is saved.

    Examples:
        >>> import torch, hx
        >>> _ = hx.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),), "linear.onnx", overwrite=True)
        >>> [call.tag for call in hx.load("linear.onnx")]
        ['/Linear']

    Args:
        path: The ONNX file.
        sidecar: Its sidecar; None for `NAME_hierarchy.json` beside it, else the one inside its metadata.

    Returns:
        The calls, as `export` gives them.

    Raises:
        HxError: HX202 if the file is missing or is no ONNX model, HX204 if external data is missing, cut short or outside
            the file's folder, HX203 if the sidecar belongs to another model, HX301 to HX304 if the sidecar cannot be read.
    """
    return hx_extractor.load(path, sidecar)


def opened(model: AnyHierarchy) -> Hierarchy:
    """Return a hierarchy, read where it is a path, as `load` does."""
    return model if isinstance(model, Hierarchy) else load(model)


def name_of(model: AnyHierarchy) -> str:
    """Return the path of a model; of one in memory, the file name that it would have."""
    return model.name if isinstance(model, Hierarchy) else str(model)


def check_loads(hierarchy: Hierarchy, model: ir.Model) -> None:
    """Stop where ONNX Runtime does not load what was made of a model; HX207, HX209, or HX215 for a kernel that only the new one lacks."""
    from hx_graph import WEIGHTS_IN_FILES, make_session

    try:
        make_session(model, hierarchy.folder, **WEIGHTS_IN_FILES)
    except MissingKernel:
        if not hierarchy.lacks_kernel:
            raise
