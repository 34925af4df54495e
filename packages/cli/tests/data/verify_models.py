"""Small models for the tests of `hx verify`; hx loads this file as users' own."""

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        nn.init.normal_(self.norm.bias)  # equal weights would be one in the graph
        self.scale = nn.Parameter(torch.randn(4))

    def forward(self, x):
        return self.norm(x + self.inner(x).tanh() * self.scale)


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(Block() for _ in range(3))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class Shared(Tower):
    def forward(self, x):
        return self.blocks[1](self.blocks[0](self.blocks[1](x)))


class Reader(nn.Module):
    def __init__(self, box):
        super().__init__()
        self.box = box
        self.linear = nn.Linear(4, 4)
        self.shift = nn.Parameter(torch.randn(4))

    def forward(self, x):
        return self.linear(x) * self.box["gate"] + self.shift


class Stash(nn.Module):
    def __init__(self, module):
        super().__init__()
        torch.manual_seed(0)
        self.box = {}
        self.gate = nn.Linear(4, 4) if module else torch.sin
        self.first, self.second = Reader(self.box), Reader(self.box)
        self.scale = nn.Parameter(torch.randn(4))

    def forward(self, x):
        self.box["gate"] = self.gate(x * self.scale)
        return self.second(self.first(x))


class Fused(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, 2)
        self.body[1].running_mean.uniform_()

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


class Shift(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = nn.Buffer(by)

    def forward(self, x):
        return x + self.by


class Cancelling(nn.Module):
    def __init__(self, x):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(4, 4)
        value = self.first(x).detach()
        self.down, self.up = Shift(-0.999 * value), Shift(0.999 * value)

    def forward(self, x):
        return self.up(self.down(self.first(x)))


class Blank(nn.Module):
    def forward(self, x):
        return torch.log(x)


class Undefined(Tower):
    def __init__(self):
        super().__init__()
        self.blank = Blank()

    def forward(self, x):
        return super().forward(x), self.blank(x)


X = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))


def tower():
    return Tower(), {"x": X}


def other():
    model = Tower()
    torch.manual_seed(5)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model, {"x": X}


def shared():
    return Shared(), {"x": X}


class Branching(nn.Module):
    """Calls a module in a compiled body, where no hook sees it, and outside; changes its input; fills a table."""

    def __init__(self):
        super().__init__()
        self.block, self.table, self.kept = Scaled(), nn.Linear(4, 4), None

    def forward(self, x):
        x.mul_(2)
        if self.kept is None:
            self.kept = self.table(x)
        y = torch.cond(x.mean() > 9, lambda x: self.block(x, x.sigmoid() * 5), lambda x: x * 2, (x,))
        return self.block(y + self.kept)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, scale=None):
        y = self.linear(x)
        return y if scale is None else y * scale


def branching():
    return Branching(), {"x": X.clone()}


def stash():
    return Stash(False), {"x": X}


def gated():
    return Stash(True), {"x": X}


def fused():
    return Fused(), {"x": torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(1))}


def cancelling():
    return Cancelling(X), {"x": X}


def undefined():
    return Undefined(), {"x": X}


def taller():
    model = Tower()
    model.blocks.append(Block())
    return model, {"x": X}


def another():
    return nn.Sequential(nn.Linear(4, 4)), {"input": X}


class Noisy(nn.Module):
    """Its output is another in every run."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x) + torch.randn_like(x)


def noisy():
    return Noisy().eval(), {"x": torch.ones(3, 4)}
