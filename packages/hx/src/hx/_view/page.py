"""A model as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

from hx._models import AnyHierarchy, name_of
from hx._progress import Progress, silent
from hx._view.numbers import ForeignRecord, Records
from hx._view.view import shown_of, view_of
from hx.files import check_writable, write_text
from hx.records.analyze import AnalyzeReport
from hx.records.report import File
from hx.records.verify import VerifyReport
from hx.records.view import PageReport
from hx_profiler import Profile
from hx_sidecar_schema import HxError, collector_paused, refuse_existing
from hx_viewer import PAGE_NODES, View, html_page

AnyProfile = Profile | str | Path
AnyVerify = VerifyReport | str | Path
AnyAnalyze = AnalyzeReport | str | Path


def report(
    model: AnyHierarchy,
    output: str | Path = "report.html",
    *,
    profile: AnyProfile | Sequence[AnyProfile] | None = None,
    verify: AnyVerify | Sequence[AnyVerify] | None = None,
    analyze: AnyAnalyze | Sequence[AnyAnalyze] | None = None,
    against: AnyHierarchy | None = None,
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
        profile: Time of the model's nodes: a profile, or the file of one: the JSON of `hx profile --json`. Two of them, in a list: the second
            is shown as what was before, beside the first; it is of the model `against`, or of the same model.
        verify: Errors of its calls: a record, or the file of one, or two.
        analyze: Cost of its nodes: a detailed record, or the file of one, or two.
        against: Another model whose calls are shown beside those of the same name: the one that this was quantised from, or as it was before a change.
        overwrite: Replace a file that exists.
        progress: Told what goes on.

    Returns:
        What the page shows; the fields are told in `hx.records.view`.

    Raises:
        HxError: HX402, HX406, HX408 or HX306 before any work where the page cannot be written, HX406 for three records of one kind; HX307 or
            HX309 if a record cannot be read, HX310 if it is of another model; else as `load`.
    """
    target = Path(output)
    if target.suffix not in (".html", ".htm") or target.is_dir():
        message = f"Output {str(target)!r} is not the name of an .html file."
        raise HxError(message, code="HX406", hint="Give a path that ends in .html.", argument="output")
    pairs = _pairs(profile, verify, analyze)
    read = [Path(given) for given in (model, against) if isinstance(given, str | Path)]
    refuse_existing([target], overwrite=overwrite, read=[*read, *(path for records in pairs for path in records.paths)])
    check_writable(target.parent)
    with collector_paused():
        progress(f"Reading {name_of(model)}", 0, 0)
        shown = _compared(model, pairs, against)
        progress("Writing the page", 0, 0)
        write_text(target, html_page(shown))
    return PageReport(
        **shown_of(model, shown),
        file=File.of(target),
        calls=shown.sidecar.calls_made,
        modules_only=len(shown.sidecar.nodes) > PAGE_NODES,
        against=shown.against and name_of(shown.against.hierarchy),
    )


@dataclass(frozen=True)
class Page:
    """A page that a notebook shows in a frame. It needs nothing of IPython, and nothing from a network."""

    html: str = field(repr=False)
    """The page itself."""
    model: str
    height: int
    """Of the frame, in pixels."""

    def _repr_html_(self) -> str:
        style = f"width:100%;height:{self.height}px;border:1px solid #8888;border-radius:6px"
        return f'<iframe srcdoc="{escape(self.html)}" sandbox="allow-scripts" style="{style}"></iframe>'


def show(
    model: AnyHierarchy,
    *,
    profile: AnyProfile | Sequence[AnyProfile] | None = None,
    verify: AnyVerify | Sequence[AnyVerify] | None = None,
    analyze: AnyAnalyze | Sequence[AnyAnalyze] | None = None,
    against: AnyHierarchy | None = None,
    height: int = 640,
) -> Page:
    """Show the page of `report` in a notebook: the last line of a cell is enough.

    Examples:
        >>> import torch, hx
        >>> hx.show(hx.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),)))
        Page(model='linear.onnx', height=640)

    Args:
        model: An export, a projected or a relinked model, or the file of one.
        profile: As `report` takes it, alone or two in a list.
        verify: The same.
        analyze: The same.
        against: Another model whose calls are shown beside those of the same name.
        height: Of the frame, in pixels.

    Returns:
        The page, which a notebook shows in a frame; its text is `html`.

    Raises:
        HxError: As `report`, but for what is about files that are written.
    """
    with collector_paused():
        shown = _compared(model, _pairs(profile, verify, analyze), against)
        return Page(html_page(shown), name_of(model), height)


def _compared(model: AnyHierarchy, pairs: tuple[Records, Records], against: AnyHierarchy | None) -> View:
    """Return a model with its numbers, and with those of another, or with others of its own, where these are given."""
    shown = view_of(model, pairs[0])
    if against is None and pairs[1] == Records():
        return shown
    try:
        return replace(shown, against=view_of(shown.hierarchy if against is None else against, pairs[1]))
    except ForeignRecord as error:
        if against is not None:
            raise
        raise ForeignRecord(error.message, hint="Name the model that it is of.", argument="against") from None


def _pairs(profile: Any, verify: Any, analyze: Any) -> tuple[Records, Records]:
    """Return the records of a model, and those of what it is compared with."""
    both = {
        "profile": _pair("profile", profile),
        "verify": _pair("verify", verify),
        "analyze": _pair("analyze", analyze),
    }
    this, other = (Records(**{name: pair[place] for name, pair in both.items()}) for place in (0, 1))
    return this, other


def _pair(name: str, given: Any) -> tuple[Any, Any]:
    both: list[Any] = [*given] if isinstance(given, list | tuple) else [given]
    if len(both) > 2:
        message = f"{len(both)} records of {name} are given: a page shows one, or two beside each other."
        raise HxError(message, code="HX406", hint="Give this model's record, then the other's.", argument=name)
    this, other = [*both, None, None][:2]
    return this, other
