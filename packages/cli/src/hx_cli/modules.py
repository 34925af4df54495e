"""`hx modules`."""

from pathlib import Path
from typing import Annotated

import typer

import hx
from hx.files import sidecar_path, write_text
from hx.text import plural
from hx_cli._options import Common, ModulePattern, OnnxFile, Overwrite, Quiet, Verbose, flag, value
from hx_cli._paths import find_model
from hx_cli._widgets import escape
from hx_sidecar_schema import refuse_existing


def modules(
    context: typer.Context,
    model: OnnxFile = None,
    module: ModulePattern = None,
    output: Annotated[Path | None, value("FILE.json", "Write it there instead of stdout.", "--output", "-o")] = None,
    overwrite: Overwrite = False,
    json: Annotated[bool, flag("What it prints anyway: one JSON record.", "--json")] = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Print what is known of every module as JSON: class, signature, parameters, children, and its nodes."""
    out = Common(verbose=verbose, quiet=quiet).output(context)
    path = find_model(model)
    if output is not None:
        refuse_existing([output], overwrite=overwrite, read=[path, sidecar_path(path)])
    report = hx.modules(path, module or [])
    if output is None:
        out.json(report)
        return 0
    write_text(output, report.model_dump_json(indent=2) + "\n")
    found = f"{plural(len(report.modules), 'module')} and {plural(len(report.operation_hierarchy), 'node')}"
    out.note(f"{found} in {escape(str(output))}")
    return 0
