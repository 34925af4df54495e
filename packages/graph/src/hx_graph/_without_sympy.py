"""onnx_ir without sympy until it is needed.

onnx_ir (1.1.0) imports sympy, which takes three times as long as all the rest of it, for arithmetic of symbolic
dimensions; to read, cut and write models it needs none. While onnx_ir is imported, two modules are stood in for: sympy,
and the one file of onnx_ir that uses sympy when it is imported. A stand-in imports the module itself on the first use of
one of its names. Only onnx_ir holds them: `import sympy` elsewhere gives sympy, before and after.
"""

import importlib.util
import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_DEFERRED = ("sympy", "onnx_ir._symbolic_shapes")
_withdrawing = threading.Lock()


class _StandIn(ModuleType):
    """A module by its name: imported, and not before, when it is asked for something."""

    def __getattr__(self, name: str) -> object:
        self.withdraw()
        return getattr(importlib.import_module(self.__name__), name)

    def withdraw(self) -> None:
        """Leave the name to the module itself."""
        with _withdrawing:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]


class _Loader(Loader):
    """Runs a module with stand-ins at hand for what it imports."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        stand_ins = [_StandIn(name) for name in _DEFERRED if name not in sys.modules]
        sys.modules.update((stand_in.__name__, stand_in) for stand_in in stand_ins)
        try:
            self._loader.exec_module(module)
        finally:
            for stand_in in stand_ins:
                stand_in.withdraw()


class _Finder(MetaPathFinder):
    """Finds onnx_ir, once."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "onnx_ir":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


def defer_sympy() -> None:
    """Let onnx_ir be imported without sympy, where neither is imported yet."""
    if not {"onnx_ir", "sympy"} & sys.modules.keys():
        sys.meta_path.insert(0, _Finder())
