"""The calls of an export as a tree, with the nodes and weights of each; from the sidecar alone where it has them."""

from collections.abc import Callable, Iterable, Sequence

from pydantic import Field, PrivateAttr

from hx_sidecar_schema import FileName, Initializer, Record, Sidecar, Table, depths

ROWS_IN_NOTEBOOKS = 60


class TreeEntry(Record):
    """One call of the module tree, in execution order; a parent stands before its children."""

    fqn: str
    call: int
    tag: str
    class_name: str
    parent: int | None = Field(description="Position of the parent in this list.")
    depth: int
    status: str
    reason: str
    nodes: int = Field(description="Nodes of the call and of all calls below it.")
    own_nodes: int
    weights: int = Field(description="Elements of the initializers that these nodes read.")
    parameters: list[str]


class TreeReport(Record):
    """What `Hierarchy.tree` returns and `hx tree --json` prints."""

    schema_version: str = "1.0"
    model: FileName
    calls: list[TreeEntry]
    _read: list[dict[int, int]] = PrivateAttr(default_factory=list[dict[int, int]])
    """Of each call, the elements of the initializers by their row."""

    def weights_of(self, calls: Iterable[int]) -> int:
        """Return the elements of the initializers that the nodes of several calls read, each initializer once.

        A report that was read from JSON does not know which these are.

        Args:
            calls: Positions in `calls`.
        """
        read: dict[int, int] = {}
        for position in calls:
            read |= self._read[position]
        return sum(read.values())

    def __str__(self) -> str:
        """Return one line a call, indented."""
        return self._table(len(self.calls)).to_text()

    def _table(self, limit: int = ROWS_IN_NOTEBOOKS) -> Table:
        rows: list[tuple[object, ...]] = []
        for call in self.calls[:limit]:
            name = "    " * call.depth + call.tag.rsplit("/", 1)[-1]
            status = "" if call.status == "extractable" else call.status.replace("_", " ")
            rows.append((name, call.fqn, call.nodes, call.own_nodes, call.weights, status))
        more = len(self.calls) - len(rows)
        columns = ("module", "name", "nodes", "own", "weights", "")
        return Table(self.model, columns, rows, note=f"and {more} more calls" if more else "")


def tree_of(
    name: str,
    sidecar: Sidecar,
    weights: Sequence[Initializer],
    roots: Sequence[int],
    *,
    depth: int | None,
    everything: bool,
) -> TreeReport:
    """Return the calls at `roots` and below them with what each holds; see `Hierarchy.tree`."""
    parents = _parents(sidecar)
    nodes, read = _held(sidecar, weights, parents)
    shown = shown_calls(sidecar, roots, parents=parents, depth=depth, everything=everything)
    own = [nodes[row] for row, _, _ in shown]
    for row, parent, _ in shown:
        if parent is not None:
            own[parent] -= nodes[row]
    entries: list[TreeEntry] = []
    for (row, parent, level), own_nodes in zip(shown, own, strict=True):
        call = sidecar.calls[row]
        module = sidecar.module_of(call)
        entries.append(
            TreeEntry(
                fqn=module.fqn,
                call=call.index,
                tag=sidecar.tag(call),
                class_name=module.class_name,
                parent=parent,
                depth=level,
                status=call.status,
                reason=call.reason,
                nodes=nodes[row],
                own_nodes=own_nodes,
                weights=sum(read[row].values()),
                parameters=module.parameters,
            )
        )
    report = TreeReport(model=name, calls=entries)
    report._read = [read[row] for row, _, _ in shown]  # pyright: ignore[reportPrivateUsage]
    return report


def shown_calls(
    sidecar: Sidecar,
    roots: Sequence[int],
    *,
    parents: Sequence[int | None] | None = None,
    depth: int | None,
    everything: bool,
    size: Callable[[int], int] | None = None,
) -> list[tuple[int, int | None, int]]:
    """Return the calls of a tree that are shown: of each its row, the position of its parent in this list, and its depth.

    Args:
        sidecar: Of the model.
        roots: Rows of the calls to show with all below them.
        parents: Of each call; None for the calls that made them.
        depth: Levels below each root; None for all.
        everything: Untagged calls too; where no other is below the roots, in any case.
        size: Of the call in a row: those below one call are sorted by it, the largest first. None: as they ran.
    """
    inside = (row for root in roots for row in range(root + 1, sidecar.subtree_end[root]))
    everything = everything or not any(sidecar.module_of(sidecar.calls[row]).tagged for row in inside)
    children: dict[int, list[int]] = {}
    for row, parent in enumerate(parents or [call.parent for call in sidecar.calls]):
        if parent is not None:
            children.setdefault(parent, []).append(row)

    def below(row: int) -> list[int]:
        """The next calls down that are shown."""
        found: list[int] = []
        inside = children.get(row, [])[::-1]
        while inside:
            child = inside.pop()
            if everything or sidecar.module_of(sidecar.calls[child]).tagged:
                found.append(child)
            else:
                inside += reversed(children.get(child, ()))
        return found if size is None else sorted(found, key=size, reverse=True)

    shown: list[tuple[int, int | None, int]] = []
    pending: list[tuple[int, int | None, int]] = [(root, None, 0) for root in reversed(roots)]
    while pending:
        row, _, level = pending[-1]
        shown.append(pending.pop())
        if depth is None or level < depth:
            pending += [(child, len(shown) - 1, level + 1) for child in reversed(below(row))]
    return shown


def _parents(sidecar: Sidecar) -> list[int | None]:
    """Return each call's parent; a module that was never called hangs below the first call of its parent module."""
    first: dict[int, int] = {}
    for row, call in enumerate(sidecar.calls):
        first.setdefault(call.module, row)
    parents: list[int | None] = []
    for row, call in enumerate(sidecar.calls):
        parent = call.parent
        module: int | None = call.module
        while parent is None and row and module is not None:
            module = sidecar.modules[module].parent
            parent = first.get(module) if module is not None else 0
        parents.append(parent)
    return parents


def _held(
    sidecar: Sidecar, weights: Sequence[Initializer], parents: Sequence[int | None]
) -> tuple[list[int], list[dict[int, int]]]:
    """Return how many nodes each call and those below it have, and the elements of each weight that these read."""
    nodes = [0] * len(sidecar.calls)
    for node in sidecar.nodes:
        nodes[node.owner] += 1
    read: list[dict[int, int]] = [{} for _ in sidecar.calls]
    for number, weight in enumerate(weights):
        for reader in weight.readers:
            read[reader][number] = weight.elements or 0
    levels = depths(parents)
    for row in sorted(range(len(parents)), key=levels.__getitem__, reverse=True):
        parent = parents[row]
        if parent is not None:
            nodes[parent] += nodes[row]
            read[parent] |= read[row]
    return nodes, read
