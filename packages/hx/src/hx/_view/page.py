"""A model as one HTML page."""

from __future__ import annotations

from pathlib import Path

from hx._models import AnyHierarchy, name_of
from hx._progress import Progress, silent
from hx._view.view import view_of
from hx.files import check_writable, write_text
from hx.records.analyze import AnalyzeReport
from hx.records.report import File
from hx.records.verify import VerifyReport
from hx.records.view import PageReport
from hx_profiler import Profile
from hx_sidecar_schema import HxError, collector_paused, refuse_existing
from hx_viewer import PAGE_NODES, html_page


def report(
    model: AnyHierarchy,
    output: str | Path = "report.html",
    *,
    profile: Profile | str | Path | None = None,
    verify: VerifyReport | str | Path | None = None,
    analyze: AnalyzeReport | str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> PageReport:
    """Write a model as one HTML page: the tree of its calls with all that is known of each, to open from disk, without a network.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3)), (torch.ones(2, 4),))
        >>> hx.report(exported, "linear.html", analyze=hx.analyze(exported, detailed=True), overwrite=True).numbers
        ['macs', 'result_bytes', 'weight_bytes']

    Args:
        model: An export, a projected or a relinked model, or the file of one.
        output: The page; its name ends in `.html`.
        profile: Time of the model's nodes: a profile, or the file of one: the JSON of `hx profile --json`.
        verify: Errors of its calls: a record, or the file of one.
        analyze: Cost of its nodes: a detailed record, or the file of one.
        overwrite: Replace a file that exists.
        progress: Told what goes on.

    Returns:
        What the page shows; the fields are told in `hx.records.view`.

    Raises:
        HxError: HX402, HX406, HX408 or HX306 before any work where the page cannot be written; HX307 or HX309 if a record cannot be
            read, HX310 if it is of another model; else as `load`.
    """
    target = Path(output)
    if target.suffix not in (".html", ".htm") or target.is_dir():
        message = f"Output {str(target)!r} is not the name of an .html file."
        raise HxError(message, code="HX406", hint="Give a path that ends in .html.", argument="output")
    read = [Path(given) for given in (model, profile, verify, analyze) if isinstance(given, str | Path)]
    refuse_existing([target], overwrite=overwrite, read=read)
    check_writable(target.parent)
    with collector_paused():
        progress(f"Reading {name_of(model)}", 0, 0)
        shown = view_of(model, profile=profile, verify=verify, analyze=analyze)
        progress("Writing the page", 0, 0)
        write_text(target, html_page(shown))
    return PageReport(
        model=name_of(model),
        file=File.of(target),
        calls=len(shown.sidecar.calls),
        nodes=len(shown.sidecar.nodes),
        modules_only=len(shown.sidecar.nodes) > PAGE_NODES,
        numbers=[column.name for column in shown.columns],
        notes=list(dict.fromkeys(note for column in shown.columns for note in column.notes)),
    )
