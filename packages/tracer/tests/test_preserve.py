"""What a forward leaves behind: it is not in the graph, and the next run does not find it."""

from __future__ import annotations

import functools
import random
import weakref
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from hx_tracer import export, plain_export, preserve_state

X = torch.linspace(-1, 1, 8).reshape(2, 4)


class _Slots:
    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Base(nn.Module):
    """Runs `b` behind `a` in its first run only; `is_first` changes what tells."""

    def __init__(self, held: Any = None) -> None:
        super().__init__()
        self.a, self.b, self.held = nn.Linear(4, 4), nn.Linear(4, 4), held

    def is_first(self) -> bool:
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.a(x)
        return self.b(y) if self.is_first() else y


def counting(held: Any, count: Callable[[Any], int]) -> Callable[[], nn.Module]:
    class Net(Base):
        def is_first(self) -> bool:
            return count(self.held) == 1

    return lambda: Net(held)


def _appended(held: Any) -> int:
    held.append(1)
    return len(held)


def _entered(held: Any) -> int:
    held["runs"] = held.get("runs", 0) + 1
    return held["runs"]


def _counted(held: Any) -> int:
    held.count += 1
    return held.count


def _listed(held: Any) -> int:
    held["runs"].append(1)
    return len(held["runs"])


def _nested(held: Any) -> int:
    return _entered(held.rows[0])


_KEPT = nn.Identity()


def _weakly(held: Any) -> int:
    held[len(held)] = _KEPT
    return len(held)


def _array(held: Any) -> int:
    held += 1
    return int(held[0])


class LazyHooks(Base):
    """Registers hooks of both sorts on its modules in its first run, and remembers that."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "installed"):
            self.b.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
            for module in (self.a, self.b):
                module.register_forward_hook(lambda module, args, result: self.taken.append(result))
            self.installed = True
        self.taken.clear()
        self.b(self.a(x))
        return torch.cat(self.taken)


class LazyParts(Base):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "late"):
            self.late = nn.Sequential(nn.ReLU())
            self.register_buffer("table", torch.arange(4.0).cos(), persistent=False)
        return self.late(self.a(x)) + self.table


class SwapsItself(Base):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.b(self.a(x))
        self.b, self.forward = nn.Identity(), self.fast
        return y

    def fast(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x)


class OnItsClass(Base):
    runs = 0

    def is_first(self) -> bool:
        type(self).runs += 1
        return type(self).runs == 1


def hidden_in_a_closure() -> nn.Module:
    tables: dict[str, torch.Tensor] = {}
    first = True

    class Net(Base):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            nonlocal first
            if "row" not in tables:
                tables["row"] = torch.arange(x.shape[-1]).cos()
            y = self.a(x) + tables["row"]
            y, first = (self.b(y) if first else y), False
            return y

    return Net()


@functools.lru_cache
def _table(size: int) -> torch.Tensor:
    return torch.arange(size).cos()


_TABLES: dict[int, torch.Tensor] = {}


class Global(Base):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if 4 not in _TABLES:
            _TABLES[4] = torch.arange(x.shape[-1]).sin()
        return self.a(x) + _table(x.shape[-1]) + _TABLES[4]


MODELS: dict[str, Callable[[], nn.Module]] = {
    "deque": counting(deque(maxlen=3), _appended),
    "ordered": counting(OrderedDict(), _entered),
    "defaultdict": counting(defaultdict(list), _listed),
    "counter": counting(Counter(), _entered),
    "bytes": counting(bytearray(), _appended),
    "nested": counting(SimpleNamespace(rows=[{}]), _nested),
    "slots": counting(_Slots(), _counted),
    "array": counting(np.zeros(1), _array),
    "hooks": LazyHooks,
    "parts": LazyParts,
    "swap": SwapsItself,
    "class": OnItsClass,
    "closure": hidden_in_a_closure,
    "global": Global,
    "weak": counting(weakref.WeakValueDictionary(), _weakly),
    "random": counting(random.Random(4), lambda held: 1 + (held.random() < 0.5)),
    "numpy": counting(np.random.default_rng(0), lambda held: 1 + (held.random() < 0.5)),
}


@pytest.mark.filterwarnings("ignore:The tensor attributes")  # of a plain export
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("given", [False, True], ids=["fresh", "restored"])
def test_what_a_forward_leaves_is_not_in_the_graph(name: str, given: bool) -> None:
    torch.manual_seed(0)
    module = MODELS[name]().eval()
    plain = plain_export(module, {"x": X}, gradients=True)
    if given:
        with preserve_state(module):
            module(X)
    exported = export(module, {"x": X})
    rows = [
        [(node.op_type, [v and v.name for v in node.inputs], node.outputs[0].name) for node in model.graph]
        for model in (plain, exported.program.model)
    ]
    assert rows[0] == rows[1]
    with preserve_state(module):
        expected = module(X)
    torch.testing.assert_close(exported.result, expected)
    with torch.no_grad():
        torch.testing.assert_close(module(X), expected)


def test_a_module_that_does_not_run_afterwards_is_exported_and_says_so() -> None:
    """`iter` cannot be put back."""

    class Net(Base):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            next(self.held)
            return self.a(x)

    exported = export(Net(iter([1])), {"x": X})
    assert "StopIteration" in exported.failure
    assert exported.failure in exported.notes[-1]


class _Held:
    table: torch.Tensor | None = None
    tables: ClassVar[dict[int, torch.Tensor]] = {}


_SPACE = SimpleNamespace(table=None)


class GlobalNames(Base):
    """Keeps tables in names of a global class, of an object, and of the file."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        global _LATE
        if _Held.table is None:
            _Held.table = torch.arange(x.shape[-1]).sin()
            _Held.tables[4] = _SPACE.table = _LATE = _Held.table.cos()
        return self.a(x) + _Held.table + _Held.tables[4] + _SPACE.table + _LATE


def test_no_traced_tensor_stays_in_global_names() -> None:
    exported = export(GlobalNames().eval(), {"x": X})
    assert (_Held.table, _Held.tables, _SPACE.table) == (None, {}, None)
    assert "_LATE" not in globals()
    assert exported.result.isfinite().all()


class ReturnsWhatItKeeps(Base):
    def __init__(self) -> None:
        super().__init__()
        self.features: OrderedDict[str, torch.Tensor] = OrderedDict()
        self.a.register_forward_hook(lambda module, args, result: self.features.update(a=result))
        self.register_buffer("state", torch.zeros(2, 4))

    def forward(self, x: torch.Tensor) -> tuple[OrderedDict[str, torch.Tensor], torch.Tensor]:
        self.state += self.a(x)
        return self.features, self.state


def test_what_a_model_returns_outlives_what_it_keeps() -> None:
    module = ReturnsWhatItKeeps().eval()
    exported = export(module, {"x": X})
    assert module.features == {}
    features, state = exported.result
    torch.testing.assert_close(features["a"], module.a(X).detach())
    torch.testing.assert_close(state, features["a"])


class _LoadsOnDemand(OrderedDict[str, Any]):
    """Holds nothing, and fails when it is asked for the rows that it offers; a module that reads it does not."""

    def keys(self) -> Any:
        return {"late": None}.keys()

    def __iter__(self) -> Any:
        return iter(self.keys())

    def items(self) -> Any:
        return [(name, self[name]) for name in self.keys()]

    def __getitem__(self, name: str) -> Any:
        raise ValueError(name)


_ON_DEMAND = _LoadsOnDemand()


class AsksForLength(Base):
    def is_first(self) -> bool:
        return len(_ON_DEMAND) == 1 or len(self.held) == 1


def test_a_mapping_that_loads_on_demand_is_not_asked() -> None:
    module = AsksForLength(_LoadsOnDemand()).eval()
    with preserve_state(module):
        module(X)
