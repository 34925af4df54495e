"""How a model may be exported and attributed: the one place that knows strategies by their names."""

from typing import Literal

from hx_sidecar_schema._errors import HxError
from hx_sidecar_schema._records import Record


class Strategy(Record):
    """A choice of exporter and of sources of evidence."""

    name: str
    exporter: Literal["dynamo", "torchscript"]
    observer: Literal["eager", "symbolic"] | None = None
    """How a run in PyTorch is observed for the witness; None where nobody asks it."""
    sources: tuple[str, ...]
    """The strongest first."""
    about: str


_ALL = (
    Strategy(
        name="dynamo",
        exporter="dynamo",
        sources=("exporter", "parameter", "dataflow"),
        about="torch.export, and its own record of the module behind every operation",
    ),
    Strategy(
        name="htp",
        exporter="torchscript",
        observer="eager",
        sources=("exporter", "witness", "parameter", "dataflow"),
        about="TorchScript, its scopes, and values compared with a run in PyTorch",
    ),
    Strategy(
        name="fx_graph",
        exporter="torchscript",
        observer="symbolic",
        sources=("witness", "parameter", "dataflow"),
        about="TorchScript, and values compared with a symbolically traced graph",
    ),
    Strategy(
        name="usage_based",
        exporter="torchscript",
        sources=("parameter", "dataflow"),
        about="TorchScript, the weights that only one module owns, and dataflow",
    ),
)
STRATEGIES = {strategy.name: strategy for strategy in _ALL}
"""In the order in which `auto` tries them."""


def find_strategy(name: str) -> Strategy:
    """Return a strategy by its name.

    Raises:
        HxError: HX123 if there is none.
    """
    if name not in STRATEGIES:
        raise HxError(
            f"There is no strategy {name!r}.", code="HX123", hint=f"Choose one of {', '.join(STRATEGIES)}, or auto."
        )
    return STRATEGIES[name]


def with_witness(strategy: Strategy) -> Strategy:
    """Return a strategy that also asks the values of a run in PyTorch, after what it asks first."""
    if "witness" in strategy.sources:
        return strategy
    first, *others = strategy.sources
    return strategy.model_copy(update={"observer": "eager", "sources": (first, "witness", *others)})
