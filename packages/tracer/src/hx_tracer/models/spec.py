"""Model specs: the ways to name a model (Hub id, folder, factory, `tiny:ARCH`, a module itself), and loading it."""

import difflib
import os
import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from hx_graph import SMALL_ELEMENTS, advice_on_pointer, is_small
from hx_sidecar_schema import HxError, first_line
from hx_tracer.models.factory import call_factory, run_factory
from hx_tracer.models.implementations import set_implementation
from hx_tracer.models.mapped import check_stored_dtype, watching_maps
from hx_tracer.models.silence import silence_loading
from hx_tracer.models.tiny import auto_class_for, disable_cache, randomize, tiny_model
from hx_tracer.models.unheld import built_unheld, fill_from_sparse_file
from hx_tracer.watch.file_weights import FileWeights
from hx_tracer.watch.uncompiled import set_eval_mode

_HINT = (
    "Give a Hub id that is reachable from here, a folder with config.json and weights, FILE.py:factory or tiny:ARCH."
)
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class LoadedModel:
    """A module to export.

    Attributes:
        module: In eval mode, on the CPU; one that was given in memory as it was given.
        name: File stem for outputs: the architecture of `tiny:ARCH`, the last part of a Hub id or folder, the
            name of a factory; of a module in memory its class name in snake case.
        example: Inputs that a factory returned with the module, or those that were made for it.
        notes: What its user should know, one sentence each.
        files: The files that weights are views of.
        in_place: Whether these are the checkpoint's own.
    """

    module: torch.nn.Module
    name: str
    example: Any = None
    notes: list[str] = field(default_factory=list[str])
    files: tuple[FileWeights, ...] = ()
    in_place: bool = False


def load_model(
    model: str | torch.nn.Module | Callable[[], Any],
    *,
    random_weights: bool = False,
    task: str | None = None,
    dtype: str | None = None,
    attn: str | None = None,
    experts: str | None = None,
    trust_remote_code: bool = False,
    in_place: bool = False,
    seed: int = 0,
) -> LoadedModel:
    """Load or build the module that a spec names, or take one that is in memory.

    Args:
        model: A Hub id or local folder (`org/name[@revision]`), `path/file.py:factory`, `package.module:factory`, or
            `tiny:ARCH`; a module, which is not changed; or a factory, which returns a module or (module, inputs).
        random_weights: For a Hub id or folder, take the configuration only. Weights of more than 4 GiB, those of a
            factory's module too, are not made then: they are zeros in a sparse file, but for small ones, and no run reads
            them.
        task: Name of a transformers pipeline task or auto class; `AutoModel` without it. Factories ignore it.
        dtype: `float32`, `float16` or `bfloat16`; `None` leaves what the model has.
        attn: How a transformers model computes attention: `eager`, `sdpa`, ...; `None` leaves what it has.
        experts: The same for its experts: `eager`, `batched_mm`, ...
        trust_remote_code: Run the code that a Hub id or folder brings along; nothing else makes it run.
        in_place: Of a local folder, say which files weights are views of; none that are converted, unless a dtype is given.
        seed: Seed of everything random. Torch's global generator is left as it was.

    Raises:
        HxError: HX101 to HX107 by the kind of spec, HX111 for an unknown task or dtype or for an option that would
            change a module in memory, HX113 if `attn` or `experts` does not fit; HX130 if weights of a folder would be converted
            and shall stay `in_place`.
    """
    if dtype is not None and dtype not in _DTYPES:
        raise HxError(f"Unknown dtype {dtype!r}.", code="HX111", hint=f"Use one of {', '.join(_DTYPES)}.")
    if isinstance(model, torch.nn.Module):
        options = {"task": task, "dtype": dtype, "attn": attn, "experts": experts}
        if changed := [name for name, value in options.items() if value is not None]:
            raise HxError(
                f"{', '.join(changed)} cannot be chosen for a module in memory: {type(model).__name__!r} is taken as it is.",
                code="HX111",
                hint="Change the module before, or give a factory that makes it.",
            )
        return LoadedModel(model, _snake_case(type(model).__name__))
    example: Any = None
    notes: list[str] = []
    files: list[FileWeights] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if not isinstance(model, str):
            name, factory = getattr(model, "__name__", ""), model
            module, example = _made(lambda: run_factory(name or repr(factory), factory), random_weights)
            if isinstance(model, type) or not name.isidentifier():  # a class, or a lambda
                name = _snake_case(type(module).__name__)
        elif model.startswith("tiny:"):
            name = model.removeprefix("tiny:")
            module = tiny_model(name, seed, _auto_classes(task))
        elif _is_factory(model):
            spec = model
            module, example = _made(lambda: call_factory(spec), random_weights)
            name = model.rpartition(":")[2]
        else:
            with watching_maps(files) if in_place else nullcontext():
                module, name, notes = _from_hub(
                    model,
                    _auto_classes(task),
                    random_weights=random_weights,
                    dtype=_DTYPES[dtype] if in_place and dtype else "auto",
                    in_place=in_place,
                    trust=trust_remote_code,
                    seed=seed,
                )
    if dtype is not None:
        module = module.to(_DTYPES[dtype])
    if attn is not None:
        set_implementation(module, "attn", attn)
    if experts is not None:
        set_implementation(module, "experts", experts)
    set_eval_mode(module)
    if random_weights and any(parameter.is_meta for parameter in module.parameters()):
        files = [fill_from_sparse_file(module, seed)]
        notes = [*notes, _unheld_note(module)]
    return LoadedModel(module, name, example, notes, tuple(files), in_place)


def _made(make: Callable[[], tuple[torch.nn.Module, Any]], random_weights: bool) -> tuple[torch.nn.Module, Any]:
    """Return what a factory makes; with `random_weights` without its weights, if they are large."""
    unheld = built_unheld(make, lambda made: made[0]) if random_weights else None
    return make() if unheld is None else unheld


def _unheld_note(module: torch.nn.Module) -> str:
    held, total = 0, 0
    for parameter in module.parameters():
        total += parameter.nbytes
        held += parameter.nbytes if is_small(parameter.shape) else 0
    return (
        f"Weights of {total / 1e9:.1f} GB were not made: all are zeros in a sparse file, but for vectors and those of "
        f"at most {SMALL_ELEMENTS} elements ({held / 1e6:.1f} MB), which are random. Nothing is computed with the zeros."
    )


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _is_factory(spec: str) -> bool:
    where, colon, name = spec.rpartition(":")
    return bool(colon) and name.isidentifier() and (where.endswith(".py") or "/" not in where)


def _auto_classes(task: str | None) -> list[Any]:
    """Return the auto classes of a pipeline task, in transformers' own order, or the one that is named."""
    import transformers  # where it is needed: a module in memory may be none of it

    if task is None:
        return [transformers.AutoModel]
    if task.startswith("Auto") and hasattr(getattr(transformers, task, None), "from_config"):
        return [getattr(transformers, task)]
    from transformers.pipelines import PIPELINE_REGISTRY  # takes as long to import as torch

    tasks: dict[str, Any] = PIPELINE_REGISTRY.supported_tasks
    aliases: dict[str, str] = PIPELINE_REGISTRY.task_aliases
    name = aliases.get(task, task)
    if name not in tasks:
        near = difflib.get_close_matches(task, list(tasks), n=3, cutoff=0.0)
        raise HxError(
            f"Task {task!r} is not known to transformers; closest: {', '.join(near)}.",
            code="HX111",
            hint="Use the name of a pipeline task or of an auto class such as AutoModelForMaskedLM.",
        )
    return list(tasks[name]["pt"])


def _from_hub(
    spec: str,
    classes: list[Any],
    *,
    random_weights: bool,
    dtype: torch.dtype | str,
    in_place: bool,
    trust: bool,
    seed: int,
) -> tuple[torch.nn.Module, str, list[str]]:
    from transformers import AutoConfig

    place, _, revision = spec.partition("@") if not Path(spec).is_dir() else (spec, "", "")
    folder = Path(place)
    if folder.is_file() and folder.suffix != ".json":  # transformers takes it for a configuration
        named = f"Name a function in it that makes the model, like '{place}:NAME'."
        raise HxError(
            f"Model {spec!r} is a file, and no Hub id or folder.",
            code="HX101",
            hint=named if folder.suffix == ".py" else f"{_HINT[:-1]}; an ONNX file is no PyTorch model.",
        )
    name = folder.resolve().name if folder.is_dir() else place.rpartition("/")[2]
    # Left out, transformers asks on the terminal, and runs the code of whoever answers `y`.
    options: dict[str, Any] = {"trust_remote_code": trust, **({"revision": revision} if revision else {})}
    loaded: dict[str, Any] = {}
    with silence_loading():
        try:
            config = AutoConfig.from_pretrained(place, **options)
            disable_cache(config)
            if in_place and dtype == "auto":
                check_stored_dtype(folder, config)  # before any weight is read
            auto = auto_class_for(classes, config)
            if random_weights:
                make = partial(auto.from_config, config, trust_remote_code=trust)
                module: Any = built_unheld(make, lambda made: made)
                if module is None:
                    module = make()
                    randomize(module, seed)
            else:
                # Weights of other shapes are told like missing ones then, by name.
                options |= {"ignore_mismatched_sizes": True, "output_loading_info": True}
                module, loaded = auto.from_pretrained(place, config=config, dtype=dtype, **options)
        except HxError:
            raise
        except Exception as error:  # what a folder holds makes transformers raise anything
            if not trust and "trust_remote_code" in str(error):
                raise HxError(
                    f"Model {spec!r} brings code of its own, which is not run unless you allow it.",
                    code="HX101",
                    hint="Read that code, then allow it.",
                    argument="trust_remote_code",
                ) from error
            offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("0", "")
            raise HxError(
                f"Model {spec!r} cannot be loaded{' (offline)' if offline else ''}: {first_line(error)}",
                code="HX101",
                hint=next(filter(None, map(advice_on_pointer, sorted(folder.glob("*")))), _HINT),
            ) from error
    disable_cache(getattr(module, "config", None))
    return module, name, _check_weights(spec, module, loaded)


def _check_weights(spec: str, module: torch.nn.Module, loaded: dict[str, Any]) -> list[str]:
    """Refuse a model some of whose weights are random, as transformers makes those that it does not find.

    Return a note on weights that are there and that no parameter takes.
    `loaded` is what transformers says of the loading; empty where nothing was to be loaded.
    """
    # Keys with another shape have the shapes beside them.
    mismatched = [key if isinstance(key, str) else key[0] for key in loaded.get("mismatched_keys", ())]
    missing = sorted({*loaded.get("missing_keys", ()), *mismatched})
    other = sorted(loaded.get("unexpected_keys", ()))
    if missing:
        raise HxError(
            f"Model {spec!r} has no weights for {len(missing)} of {type(module).__name__}: {_few(missing)}"
            + (f"; it has others: {_few(other)}." if other else "."),
            code="HX101",
            hint="Take random weights for all, or name the task or class that it was saved with.",
            argument="task",
        )
    return [f"{type(module).__name__} takes all weights of {spec!r} but {len(other)}: {_few(other)}."] if other else []


def _few(names: list[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
