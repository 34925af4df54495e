"""Modules that are hard to trace, attribute or cut out, each against PyTorch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from truth import examine

Case = tuple[nn.Module, dict[str, Any]]
rand = torch.randn
CASES: list[Callable[[], Case]] = []


def case(make: Callable[[], Case]) -> Callable[[], Case]:
    CASES.append(make)
    return make


class Lin(nn.Module):
    def __init__(self, i=8, o=8):
        super().__init__()
        self.l = nn.Linear(i, o)

    def forward(self, x, *, scale=1.0, bias=None):
        y = self.l(x) * scale
        return y if bias is None else y + bias


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = Lin()
        self.b = self.a
        self.lin_1 = Lin()

    def forward(self, x):
        return self.a(x, scale=2.0) + self.b(x, bias=x) + self.lin_1(x) + self.a(x.relu())


@case
def shared() -> Case:
    return (Shared(), {"x": rand(2, 8)})


class Rec(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 8)

    def forward(self, x, n: int = 3):
        return self.l(x) if n == 0 else self(self.l(x).tanh(), n - 1)


class RecM(nn.Module):
    def __init__(self):
        super().__init__()
        self.r = Rec()

    def forward(self, x):
        return self.r(x)


@case
def recursion() -> Case:
    return (RecM(), {"x": rand(2, 8)})


class DictOut(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 8)

    def forward(self, data, *args, flag=True, **kw):
        return {"x": self.l(data["x"]) + args[0], "pair": (data["y"] * 2, [kw["extra"] + 1]), "none": None, "n": 3}


class DictM(nn.Module):
    def __init__(self):
        super().__init__()
        self.d = DictOut()

    def forward(self, x, y):
        o = self.d({"x": x, "y": y}, x, flag=False, extra=y)
        return o["x"] + o["pair"][0] + o["pair"][1][0]


@case
def dicts() -> Case:
    return (DictM(), {"x": rand(2, 8), "y": rand(2, 8)})


class Inplace(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 8)
        self.r = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.l(x)
        y += x
        z = self.r(y)
        z.mul_(2)
        return z


class InplaceM(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = Inplace()
        self.b = Inplace()

    def forward(self, x):
        y = self.a(x)
        z = self.b(y)
        y.add_(1)
        return z + y


@case
def inplace() -> Case:
    return (InplaceM(), {"x": rand(2, 8)})


class Halves(nn.Module):
    def forward(self, x):
        both = torch.zeros(x.shape[0], 16)
        both[:, :8] = x
        both.sin_()
        both[:, 8:].add_(2)
        return both


class Trebled(nn.Module):
    def forward(self, x):
        return x * 3


class ChangedThroughViews(nn.Module):
    """What a call gives and takes was changed last through another view of its memory."""

    def __init__(self):
        super().__init__()
        self.halves, self.trebled, self.lin = Halves(), Trebled(), nn.Linear(16, 3)

    def forward(self, x):
        both = self.halves(x)
        first = self.trebled(both)
        both[:, 0].mul_(5)
        second = self.trebled(both)
        both[0].add_(1)
        return self.lin(first) + self.lin(second) + both.sum()


@case
def changed_through_views() -> Case:
    return (ChangedThroughViews(), {"x": rand(2, 8)})


class Ret(nn.Module):
    def forward(self, x, y):
        return (x, y + 1, x)


class RetM(nn.Module):
    def __init__(self):
        super().__init__()
        self.r = Ret()
        self.i = nn.Identity()
        self.d = nn.Dropout()
        self.l = nn.Linear(8, 8)

    def forward(self, x):
        x = self.l(x)
        a, b, c = self.r(x, x)
        return self.d(self.i(a)) + b * c


@case
def returns() -> Case:
    return (RetM(), {"x": rand(2, 8)})


class Ctx(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 8)
        self.ctx = None

    def forward(self, x):
        return self.l(x) + self.ctx


class Closure(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = Ctx()
        self.e = nn.Linear(8, 8)

    def forward(self, x):
        self.c.ctx = self.e(x).tanh()
        return self.c(x)


@case
def closure() -> Case:
    return (Closure(), {"x": rand(2, 8)})


class Sliced(nn.Module):
    def __init__(self):
        super().__init__()
        self.seq = nn.Sequential(*[nn.Linear(8, 8) for _ in range(4)])
        self.md = nn.ModuleDict({"p": nn.ModuleList([nn.Linear(8, 8), nn.GELU()])})
        self.in1 = nn.Linear(8, 8)
        self.in2 = nn.Linear(8, 8)

    def forward(self, x):
        x = self.seq[2:](self.seq[:2](x))
        for m in self.md["p"]:
            x = m(x)
        return self.in2(self.in1(x))


@case
def sliced() -> Case:
    return (Sliced(), {"x": rand(2, 8)})


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.Embedding(50, 8)
        self.h = nn.Linear(8, 50, bias=False)
        self.h.weight = self.e.weight

    def forward(self, ids):
        return self.h(self.e(ids).tanh())


@case
def tied() -> Case:
    return (Tied(), {"ids": torch.randint(0, 50, (2, 6))})


class MHA(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.MultiheadAttention(16, 4, batch_first=True)
        self.t = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)

    def forward(self, x):
        y, _ = self.a(x, x, x)
        return self.t(y)


@case
def mha() -> Case:
    return (MHA(), {"x": rand(2, 6, 16)})


class CrossAtt(nn.Module):
    def __init__(self):
        super().__init__()
        self.t = nn.Transformer(16, 4, 2, 2, 32, batch_first=True)

    def forward(self, src, tgt):
        return self.t(src, tgt)


@case
def transformer() -> Case:
    return (CrossAtt(), {"src": rand(2, 6, 16), "tgt": rand(2, 5, 16)})


class NZ(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 8)

    def forward(self, x):
        idx = (x[:, 0] > 0).nonzero().squeeze(-1)
        return self.l(x[idx]).sum(0)


@case
def nonzero() -> Case:
    return (NZ(), {"x": rand(6, 8)})


class HalfM(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 8)
        self.n = nn.LayerNorm(8)

    def forward(self, x):
        return self.n(self.l(x))


@case
def half() -> Case:
    return (HalfM().half(), {"x": rand(2, 8).half()})


class Mask(nn.Module):
    def forward(self, x, m):
        return (x.masked_fill(~m, 0.0), m.any(-1), (x > 0).long())


class MaskM(nn.Module):
    def __init__(self):
        super().__init__()
        self.m = Mask()
        self.l = nn.Linear(8, 8)

    def forward(self, x, mask):
        a, b, c = self.m(self.l(x), mask)
        return (a + c, b)


@case
def boolint() -> Case:
    return (MaskM(), {"x": rand(2, 8), "mask": torch.rand(2, 8) > 0.5})


@dataclasses.dataclass
class DC:
    h: torch.Tensor
    x: torch.Tensor


torch.utils._pytree.register_dataclass(DC)


class DCM(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 8)

    def forward(self, x):
        return DC(h=self.l(x), x=x * 2)


class DCRoot(nn.Module):
    def __init__(self):
        super().__init__()
        self.m = DCM()

    def forward(self, x):
        o = self.m(x)
        return o.h + o.x


@case
def dataclass() -> Case:
    return (DCRoot(), {"x": rand(2, 8)})


class Rot(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("inv", 1 / 10 ** (torch.arange(4) / 4), persistent=False)
        self.cache = {}

    def forward(self, x):
        t = torch.arange(x.shape[1])[:, None] * self.inv
        return torch.cat([t.sin(), t.cos()], -1)


class RotM(nn.Module):
    def __init__(self):
        super().__init__()
        self.r = Rot()
        self.a = Lin()
        self.b = Lin()

    def forward(self, x):
        p = self.r(x)
        return self.b(self.a(x, bias=p), bias=p)


@case
def rot() -> Case:
    return (RotM(), {"x": rand(2, 6, 8)})


class ConvBN(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv1d(4, 8, 3)
        self.b = nn.BatchNorm1d(8)
        self.g = nn.GroupNorm(2, 8)
        self.w = nn.utils.parametrizations.weight_norm(nn.Conv1d(8, 8, 3))

    def forward(self, x):
        return self.w(self.g(self.b(self.c(x))))


@case
def convbn() -> Case:
    return (ConvBN(), {"x": rand(2, 4, 12)})


class Viewer(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 8)

    def forward(self, x):
        b, t, c = x.shape
        return self.l(x.reshape(b * t, c)).view(b, t, c)


class ViewM(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = Viewer()
        self.b = Viewer()

    def forward(self, x):
        return self.b(self.a(x.transpose(1, 2).contiguous().transpose(1, 2)))


@case
def views() -> Case:
    return (ViewM(), {"x": rand(2, 6, 8)})


class Loop(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.GRUCell(8, 8)
        self.l = nn.LSTMCell(8, 8)

    def forward(self, x):
        h = torch.zeros(x.shape[0], 8)
        c = h
        for t in range(x.shape[1]):
            h = self.c(x[:, t], h)
            h, c = self.l(h, (h, c))
        return h


@case
def cells() -> Case:
    return (Loop(), {"x": rand(2, 4, 8)})


class Recurrent(nn.Module):
    """Between batch-first modules the exporter cancels two transposes: the port survives as a view of another value."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(8, 8, num_layers=2, bidirectional=True, batch_first=True)
        self.lstm = nn.LSTM(16, 8, num_layers=2, batch_first=True)
        self.rnn = nn.RNN(8, 4, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x, h = self.gru(x)
        x, _ = self.lstm(x)  # nobody uses its states
        x, last = self.rnn(x)
        return self.head(x), h, last


@case
def recurrent() -> Case:
    return (Recurrent(), {"x": rand(2, 5, 8)})


class Lazy(nn.Module):
    """Computes a table at its first call and keeps it, in an attribute and in a dict."""

    def __init__(self):
        super().__init__()
        self.tables = {}
        self.register_buffer("steps", torch.zeros(1), persistent=False)

    def forward(self, x):
        length = x.shape[1]
        if "table" not in self.tables:
            self.tables["table"] = torch.arange(64.0)[:, None] * torch.ones(8)
        return x + self.tables["table"][:length].sin()


class LazyM(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.l = Lazy(), Lazy(), nn.Linear(8, 8)

    def forward(self, x):
        return self.b(self.l(self.a(x)))


@case
def lazy() -> Case:
    return (LazyM(), {"x": rand(2, 6, 8)})


class SameNames(nn.Module):
    """Siblings of one class, one of them named like the second call of another; helpers that layers share."""

    def __init__(self):
        super().__init__()
        self.lin, self.lin_1, self.norm = nn.Linear(8, 8), nn.Linear(8, 8), nn.LayerNorm(8)

    def forward(self, x):
        for _ in range(2):
            x = self.norm(self.lin(x)) * (x.shape[0] + x.shape[1])
        return self.lin_1(x) / (x.shape[0] + x.shape[1])


@case
def same_names() -> Case:
    return (SameNames(), {"x": rand(2, 6, 8)})


class Keys(nn.Module):
    """Keyword-only and variable arguments, and an output that carries the name of an input."""

    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 8)

    def forward(self, *tensors, mask, **rest):
        return {"mask": self.l(tensors[0]) * mask, "total": sum(tensors) + rest["shift"]}


class KeysM(nn.Module):
    def __init__(self):
        super().__init__()
        self.k = Keys()

    def forward(self, x, mask):
        o = self.k(x, x * 2, mask=mask, shift=x + 1)
        return o["mask"], self.k(o["total"], mask=mask.relu(), shift=mask)["total"]


@case
def keys() -> Case:
    return (KeysM(), {"x": rand(2, 8), "mask": rand(2, 8)})


class Relative(nn.Module):
    """A table of relative positions, added to a mask: static, the exporter folds both into one constant."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Embedding(32, 4)
        self.q = nn.Linear(16, 16)

    def forward(self, x, mask):
        b, t, _ = x.shape
        place = torch.arange(t, device=x.device)
        bias = self.bias((place[None] - place[:, None]).clamp(-16, 15) + 16).permute(2, 0, 1)[None]
        heads = self.q(x).view(b, t, 4, 4).transpose(1, 2)
        weights = (heads @ heads.transpose(-1, -2) + (bias + mask)).softmax(-1)
        return (weights @ heads).transpose(1, 2).reshape(b, t, 16), bias


class RelativeM(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = Relative(), Relative()

    def forward(self, x):
        t = x.shape[1]
        mask = torch.full((t, t), -1e4).triu(1)[None, None]
        x, bias = self.a(x, mask)
        x, _ = self.b(x, mask + bias)
        return x


@case
def relative() -> Case:
    return (RelativeM(), {"x": rand(2, 6, 16)})


class Frozen(nn.Module):
    """Runs a part under no_grad and autocast: torch.export makes modules of such regions."""

    def __init__(self):
        super().__init__()
        self.tower, self.head = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8)), nn.Linear(8, 8)

    def forward(self, x):
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            y = self.tower(x)
        return self.head(y)


@case
def frozen() -> Case:
    return (Frozen(), {"x": rand(2, 8)})


class Attend(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.kv = nn.Linear(8, 8), nn.Linear(8, 16)

    def forward(self, x, past):
        keys, values = self.kv(x).chunk(2, -1)
        keys, values = torch.cat([past["key"], keys], 1), torch.cat([past["value"], values], 1)
        out = (self.q(x) @ keys.transpose(1, 2)).softmax(-1) @ values
        return out, {"key": keys, "value": values}


class Cached(nn.Module):
    """A cache of keys and values among inputs and outputs, nested."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Attend(), Attend()])

    def forward(self, x, past_key_values):
        present = []
        for layer, past in zip(self.layers, past_key_values, strict=True):
            x, now = layer(x, past)
            present.append(now)
        return {"x.out": x, "present": present}


@case
def cache() -> Case:
    past = [{"key": rand(2, 5, 8), "value": rand(2, 5, 8)} for _ in range(2)]
    return (Cached(), {"x": rand(2, 3, 8), "past_key_values": past})


class Mutates(nn.Module):
    """Changes its argument, which the caller goes on using."""

    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 8)

    def forward(self, x):
        x.add_(1)
        x[:, 0] = 0
        return self.l(x)


class MutatesM(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = Mutates(), Mutates()

    def forward(self, x):
        y = x * 1
        return self.a(y) + self.b(y) + y


@case
def mutates() -> Case:
    return (MutatesM(), {"x": rand(2, 8)})


@case
def late_view() -> Case:
    """A view of what was changed in place is made anew when somebody looks, in the next module."""
    layers = nn.Conv1d(4, 8, 3), nn.Hardswish(inplace=True), nn.Flatten(), nn.Linear(80, 4)
    return (nn.Sequential(*layers), {"input": rand(2, 4, 12)})


class Pooled(nn.Module):
    """Hands out a view of what it changed in place; it is made anew where the caller first reads it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3)

    def forward(self, x):
        y = nn.functional.relu(self.conv(x), inplace=True)
        return y.view(2, 2, 40).permute(0, 2, 1)


class PooledM(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool, self.text = Pooled(), nn.Linear(4, 2)

    def forward(self, x, z):
        pooled = self.pool(x)
        return torch.cat([pooled, self.text(z)], 1)


@case
def read_later() -> Case:
    return (PooledM(), {"x": rand(2, 4, 12), "z": rand(2, 3, 4)})


class Joined(nn.Module):
    """Its second output is of constants alone when the whole model runs, and of its arguments by itself."""

    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 8)

    def forward(self, x, first, second):
        return self.l(x) + second, torch.cat([first, second], 0)


class JoinedM(nn.Module):
    def __init__(self):
        super().__init__()
        self.j = Joined()

    def forward(self, x):
        table = torch.arange(8.0).repeat(2, 1)
        y, both = self.j(x, 7 - table, table)
        return torch.cat([y, y], 0) + both


@case
def constant_output() -> Case:
    return (JoinedM(), {"x": rand(2, 8)})


@case
def graph_module() -> Case:
    layers = nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)
    return (torch.fx.symbolic_trace(nn.Sequential(*layers)), {"input": rand(2, 8)})


class Mapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.l, self.out = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        return self.out(torch.vmap(self.l)(x))


@case
def mapped() -> Case:
    return (Mapped(), {"x": rand(3, 8)})


class Fails(nn.Module):
    def forward(self, x):
        x = x * 2
        raise NotImplementedError("no fast path")


class Fallback(nn.Module):
    """torch.export cannot trace a caught exception; torch.onnx.export captures the model with Dynamo then."""

    def __init__(self):
        super().__init__()
        self.fast, self.slow = Fails(), Lin()

    def forward(self, x):
        try:
            return self.fast(x)
        except NotImplementedError:
            return torch.relu(self.slow(x, scale=2.0))


class FallbackM(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.d = Fallback(), Fallback(), DictOut()

    def forward(self, x):
        y = self.b(self.a(x))
        o = self.d({"x": x, "y": y}, y, extra=x)
        return {"x": o["x"], "z": o["pair"][1][0]}


@case
def fallback() -> Case:
    return (FallbackM(), {"x": rand(2, 8)})


class TiedHeads(nn.Module):
    """One weight of two modules, too large to be folded, by the name of the later: both read one Transpose of it, which the first call owns."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 2048), nn.Linear(16, 2048)
        self.first.weight = self.last.weight

    def forward(self, x):
        return self.last(self.first(x).reshape(2, 128, 16).tanh())


@case
def tied_heads() -> Case:
    return (TiedHeads(), {"x": rand(2, 1, 16)})


class Image(nn.Module):
    def forward(self, x):
        y = x.sigmoid()
        return y, y.reshape(2, 4, 4, 8).permute(0, 3, 1, 2)


class ImageM(nn.Module):
    """An output that is turned back outside: the exporter merges both, others read what the output was made of."""

    def __init__(self):
        super().__init__()
        self.image, self.norm = Image(), nn.LayerNorm(8)

    def forward(self, x):
        _, image = self.image(x)
        return self.norm(image.permute(0, 2, 3, 1).reshape(2, 16, 8))


@case
def turned_back() -> Case:
    return (ImageM(), {"x": rand(2, 16, 8)})


class Tables(nn.Module):
    """Hands out a parameter, and a constant that it made of a buffer: others read them, in a form that the exporter computes."""

    def __init__(self):
        super().__init__()
        self.table, self.matrix = nn.Buffer(rand(4)), nn.Parameter(rand(8, 8))

    def forward(self, x):
        return x.relu(), self.table.reshape(2, 2), self.matrix


class UsesTables(nn.Module):
    def forward(self, x, table, matrix):
        return (x - table.flatten().repeat(2)) @ matrix.T


class TablesM(nn.Module):
    def __init__(self):
        super().__init__()
        self.tables, self.user = Tables(), UsesTables()

    def forward(self, x):
        return self.user(*self.tables(x))


@case
def handed_tables() -> Case:
    return (TablesM(), {"x": rand(2, 8)})


class CopiedHalf(nn.Module):
    """A copy of one half of a split: the exporter does without the copy, and puts another value in the place of the half."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)

    def forward(self, x):
        first, second = x.sigmoid().split(4, 1)
        return first + self.conv(second.contiguous())


@case
def copied_half() -> Case:
    return (CopiedHalf(), {"x": rand(2, 8, 4, 4)})


class Masked(nn.Module):
    """Computes one value several times, by masks too large to be merged: each of the equal results is an output, or read."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        y = self.first(x)

        def kept():
            index = torch.arange(y.size(1)).view(1, -1, 1).repeat(y.size(0), 1, y.size(2))
            return torch.cat([y.gather(1, index)])

        return y, kept(), self.second(kept()), kept()


@case
def equal_outputs() -> Case:
    return (Masked(), {"x": rand(2, 512, 8)})


class Squared(nn.Module):
    def forward(self, x):
        return (x * x).type_as(x)


class Copied(nn.Module):
    def __init__(self):
        super().__init__()
        self.squared, self.drop = Squared(), nn.Dropout()

    def forward(self, x):
        return self.drop(self.squared(x))


class HandedOut(nn.Module):
    """Outputs that are copies of what a call computes, one of them returned twice: the exporter gives their names to what they copy."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = Copied(), Copied(), nn.Linear(8, 8)

    def forward(self, x):
        once = self.first(x)
        twice = self.second(self.head(once))
        return {"last": twice, "all": (twice, once)}


@case
def handed_out() -> Case:
    return (HandedOut(), {"x": rand(2, 8)})


class Weighted(nn.Module):
    def forward(self, x, scale, weight):
        return x @ (scale * weight)


class WeightedM(nn.Module):
    """Two weights folded into one, in a node of a call that is given both; one is too large to be written beside the graph."""

    def __init__(self):
        super().__init__()
        self.weighted = Weighted()
        self.scale, self.weight = nn.Parameter(rand(64, 1)), nn.Parameter(rand(64, 96))

    def forward(self, x):
        return self.weighted(x, self.scale, self.weight)


@case
def folded_together() -> Case:
    return (WeightedM(), {"x": rand(2, 64)})


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scales, self.shift = nn.Buffer(torch.arange(8.0)), nn.Parameter(rand(8))

    def forward(self, x):
        return x * self.scales + self.shift


class EqualTables(nn.Module):
    """Equal buffers become one, by the name of the module that is called last; the product is computed once, by the first."""

    def __init__(self):
        super().__init__()
        self.last, self.first = Scaled(), Scaled()

    def forward(self, x):
        return self.first(x).relu() + self.last(x).sigmoid()


@case
def equal_tables() -> Case:
    return (EqualTables(), {"x": rand(2, 8)})


# What the exporter merges or folds, and what cannot be seen, is said and not hidden.
ELSEWHERE = {
    "convbn": {"fused": 2, "folded": 2},
    "rot": {"folded": 1},
    "keys": {"unused": 1},
    "relative": {"folded": 2},
    "mapped": {"fused": 1},
    "fallback": {"unused": 2},
}


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_every_call_computes_what_its_module_does(make: Callable[[], Case], dynamic: bool) -> None:
    torch.manual_seed(0)
    module, example = make()
    verdict = examine(module.eval(), example, dynamic=dynamic)
    assert verdict.problems == []
    assert verdict.difference is None
    assert verdict.covered_percent == 100
    assert verdict.exact_percent >= 97
    assert verdict.extracted == verdict.statuses["extractable"] > 0
    for status, count in ELSEWHERE.get(make.__name__, {}).items():
        assert verdict.statuses[status] == count
    if make.__name__ not in ELSEWHERE:
        assert verdict.statuses.keys() <= {"extractable", "identity", "not_called"}
