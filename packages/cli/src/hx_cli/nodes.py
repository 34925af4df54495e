"""`hx nodes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import hx
from hx.text import plural
from hx_cli._options import PATTERN, OnnxFile, flag
from hx_cli._output import Output
from hx_cli._paths import find_model

if TYPE_CHECKING:
    from hx.records.modules import NodesReport


def nodes(
    out: Output,
    module: Annotated[list[str], PATTERN],
    model: OnnxFile = None,
    own: Annotated[bool, flag("Leave out the nodes of the calls inside these.", "--own")] = False,
) -> int:
    """Print the names of the nodes of module calls, one a line, for tools that take names of nodes."""
    report = hx.nodes(find_model(model), module, own=own)
    if report.shared:
        names = plural(len(report.shared), "name")
        out.warn(f"{names} of these nodes other nodes have too, like {report.shared[0]!r}.")
    out.report(report, _print_names)
    return 0


def _print_names(report: NodesReport, _: Output) -> None:
    """Print the names, each once; HX411 where a node has none: a tool that is given the others would leave it out."""
    of = ", ".join(report.calls[:3]) + (", ..." if len(report.calls) > 3 else "")
    if not report.nodes:
        around = "Name the module around it; `hx tree` shows how many nodes each has."
        own, hint = (" of its own", "Leave --own out.") if report.own else ("", around)
        raise hx.HxError(f"{of} has no node{own}.", code="HX411", hint=hint)
    nameless = [node for node in report.nodes if not node.name]
    if nameless:
        raise hx.HxError(
            f"{len(nameless)} of {plural(len(report.nodes), 'node')} of {of} have no name; the first is the "
            f"{nameless[0].op_type} that makes {nameless[0].output!r}.",
            code="HX411",
            hint="Take --json, which tells nodes by their outputs, or give every node of the file a name.",
        )
    print(*dict.fromkeys(node.name for node in report.nodes), sep="\n")
