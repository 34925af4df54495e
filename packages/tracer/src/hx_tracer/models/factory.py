"""Modules from a factory: `path/file.py:factory`, `package.module:factory`, or a function itself."""

import contextlib
import difflib
import importlib.util
import itertools
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from hx_sidecar_schema import HxError

FILE_MODULES = "_hx_factory_"
"""How the names begin under which files of factories are imported: two files called model.py must not shadow each other, nor a package."""


def call_factory(spec: str) -> tuple[torch.nn.Module, Any]:
    """Import and call the factory that a spec names, as `run_factory` does.

    Raises:
        HxError: HX103 to HX106, by the step that failed.
    """
    where, _, name = spec.rpartition(":")
    is_file = where.endswith(".py")
    source = _import_file(Path(where)) if is_file else _imported(where, Path.cwd(), lambda: import_module(where))
    factory = getattr(source, name, None)
    if not callable(factory):
        callables = [n for n, v in vars(source).items() if callable(v) and not n.startswith("_")]
        near = difflib.get_close_matches(name, callables, n=3, cutoff=0.0)
        what = "is not callable" if hasattr(source, name) else "does not exist"
        raise HxError(
            f"Factory {name!r} {what} in {where!r}; closest: {', '.join(near) or 'none'}.",
            code="HX104",
            hint="Name a function there that takes no arguments and returns a module.",
        )
    return run_factory(spec, factory)


def run_factory(name: str, factory: Callable[[], Any]) -> tuple[torch.nn.Module, Any]:
    """Call a factory without arguments; return its module and the inputs that came with it, a dict or tuple, or None.

    Raises:
        HxError: HX105 if it raises, HX106 if it returns something else.
    """
    try:
        made = factory()
    except Exception as error:
        raise HxError(
            f"The function of factory {name!r} raised {_line(error)}{_place_below(error)}.",
            code="HX105",
            hint="Call the factory alone in Python and repair it; it must work without arguments.",
        ) from error
    if isinstance(made, torch.nn.Module):
        return made, None
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], torch.nn.Module):
        module, example = made
        if isinstance(example, (torch.Tensor, np.ndarray)):
            return module, (example,)
        if isinstance(example, (tuple, list)):
            return module, tuple(example)
        if isinstance(example, dict) and all(isinstance(k, str) for k in example):
            return module, dict(example)
    parts = [type(item).__name__ for item in made] if isinstance(made, tuple) else type(made).__name__
    raise HxError(
        f"Factory {name!r} returned {parts!r}, neither a module nor (module, inputs).",
        code="HX106",
        hint="Return an nn.Module, or a tuple of it and its example inputs as a dict or tuple.",
    )


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise HxError(f"File {str(path)!r} does not exist.", code="HX103", hint="Check the path before the colon.")
    path = path.resolve()
    # The same everywhere: what was pickled in one process is found in another.
    names = (f"{FILE_MODULES}{path.stem}{f'_{number}' if number else ''}" for number in itertools.count())
    name = next(name for name in names if getattr(sys.modules.get(name), "__file__", str(path)) == str(path))
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise HxError(f"File {str(path)!r} is no Python source.", code="HX103", hint="Give a .py file.")
    source, execute = importlib.util.module_from_spec(found), found.loader.exec_module

    def load() -> ModuleType:
        sys.modules[name] = source  # dataclasses and pickle look their module up there
        try:
            execute(source)
        except Exception:
            del sys.modules[name]
            raise
        return source

    return _imported(str(path), path.parent, load)


def _imported(what: str, folder: Path, load: Callable[[], ModuleType]) -> ModuleType:
    """Load a module with a folder on the path."""
    sys.path.insert(0, str(folder))
    try:
        return load()
    except Exception as error:
        raise HxError(
            f"{what!r} cannot be imported, at {_place(error)}: {_line(error)}",
            code="HX103",
            hint="Import it alone in Python, in this environment, and repair what that reports.",
        ) from error
    finally:
        with contextlib.suppress(ValueError):  # the imported code may have taken it out itself
            sys.path.remove(str(folder))


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = error if isinstance(error, SyntaxError) and error.filename else frames[-1] if frames else None
    return "an unknown line" if place is None else f"{place.filename}:{place.lineno}"


def _place_below(error: Exception) -> str:
    """Return where an exception was raised; nothing where the call itself was refused, as for missing arguments."""
    return "" if traceback.extract_tb(error.__traceback__)[-1].filename == __file__ else f", at {_place(error)}"


def _line(error: Exception) -> str:
    return traceback.format_exception_only(error)[-1].strip()
