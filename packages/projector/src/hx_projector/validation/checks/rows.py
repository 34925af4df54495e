"""Whether rows and nodes are one to one, references lead somewhere, and the counts are those of the rows."""

from collections import Counter
from collections.abc import Iterable, Iterator

from hx_projector._categories import summary_of
from hx_projector.validation.findings import Problem
from hx_projector.validation.pair import ModelAndSidecar, module_name
from hx_sidecar_schema import CategoryStatistics, Sidecar, Summary, node_name


def node_rows(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that every node of the file has exactly one row, and every row its node (V11, V12, V13)."""
    rows = Counter(row.key for row in pair.sidecar.nodes)
    nodes = Counter(key for key, _ in pair.nodes)
    for key, amount in nodes.items():
        if rows[key] < amount:
            yield "V11", node_name(*key), f"No row says who made this {pair.found[key].op_type}."
        elif rows[key] > amount:
            owners = pair.call_names(row.owner for row in pair.sidecar.nodes if row.key == key)
            yield "V12", node_name(*key), f"It has {rows[key]} rows, with the owners {owners}."
    for row in pair.sidecar.nodes:
        if row.key not in nodes:
            yield "V13", node_name(*row.key), f"The model has no such {row.op_type}."


def node_facts(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that rows repeat the operator and name of their nodes, and stand in their order (V14, V15)."""
    ordered = True
    for row, (key, _) in zip(pair.sidecar.nodes, pair.nodes, strict=True):
        name, node = node_name(*row.key), pair.found[row.key]
        if row.op_type != node.op_type:
            yield "V14", name, f"The row says {row.op_type}, the model {node.op_type}."
        elif row.name != (node.name or ""):
            yield "V14", name, f"The row calls the node {row.name!r}, the model {node.name or ''!r}."
        if ordered and row.key != key:
            ordered = False
            yield "V15", name, f"Its row stands where that of {node_name(*key)!r} belongs; others may follow."


def module_references(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that `parent` of a module and `module` of a call are rows of modules (V10)."""
    for module in pair.sidecar.modules:
        yield from _nowhere(pair.sidecar, module_name(module), "parent", [module.parent], "modules")
    for row, call in enumerate(pair.sidecar.calls):
        yield from _nowhere(pair.sidecar, f"call {row}", "module", [call.module], "modules")


def call_references(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that `parent`, `merged` and `recovered` of a call are rows (V10)."""
    for row, call in enumerate(pair.sidecar.calls):
        yield from _nowhere(pair.sidecar, pair.call_name(row), "parent", [call.parent], "calls")
        yield from _nowhere(pair.sidecar, pair.call_name(row), "merged", call.merged, "calls")
        yield from _nowhere(pair.sidecar, pair.call_name(row), "recovered", call.recovered, "recovered")


def node_references(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that owners, consumers, covered calls, readers and those of disagreements are rows of calls (V10)."""
    sidecar = pair.sidecar
    for node in sidecar.nodes:
        for field, rows in (("owner", [node.owner]), ("consumers", node.consumers), ("covers", node.covers)):
            yield from _nowhere(sidecar, node_name(*node.key), field, rows, "calls")
    for weight in sidecar.initializers:
        yield from _nowhere(sidecar, weight.name, "readers", weight.readers, "calls")
    for row in sidecar.disagreements:
        yield from _nowhere(sidecar, row.output, "disagreements.owner", [row.owner], "calls")
        yield from _nowhere(sidecar, row.output, "disagreements.other", [row.other], "calls")


def _nowhere(sidecar: Sidecar, name: str, field: str, rows: Iterable[int | None], table: str) -> Iterator[Problem]:
    """Yield the rows that a field names and that a table of the sidecar does not have."""
    count = len(getattr(sidecar, table))
    for row in rows:
        if row is not None and not 0 <= row < count:
            yield "V10", name, f"`{field}` is row {row} of `{table}`, which has {count}."


def expected_summary(pair: ModelAndSidecar) -> Summary:
    """Return the summary that the rows of nodes give.

    Rows of a file of format 1.0 may be known though they are not marked so: there the recorded numbers stay where they
    are possible. A summary without categories stays without.
    """
    recorded = pair.sidecar.summary
    is_old = pair.sidecar.schema_version == "1.0"
    covered = {name: category.tagged for name, category in recorded.category_statistics.items()} if is_old else None
    counted = summary_of(pair.sidecar.nodes, covered)
    if recorded.category_statistics:
        return counted
    stays = is_old and counted.covered_percent <= recorded.covered_percent <= 100
    percent = recorded.covered_percent if stays else counted.covered_percent
    return counted.model_copy(update={"covered_percent": percent, "category_statistics": {}})


def summary(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that the numbers of the summary are those that counting gives (V60)."""
    recorded, expected = pair.sidecar.summary, expected_summary(pair)
    for field in ("nodes", "exact_percent", "covered_percent"):
        here, there = getattr(recorded, field), getattr(expected, field)
        if here != there:
            yield "V60", f"summary.{field}", f"It is {here}; the rows give {there}."
    for name in {**expected.category_statistics, **recorded.category_statistics}:
        one, other = (side.category_statistics.get(name) for side in (recorded, expected))
        if one != other:
            yield "V60", f"summary.{name}", f"It is {_numbers(one)}; the rows give {_numbers(other)}."


def _numbers(row: CategoryStatistics | None) -> str:
    if row is None:
        return "not there"
    return f"{row.total} nodes, {row.tagged} tagged ({row.percentage} %), {row.exact} exact"
