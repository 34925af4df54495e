"""The program and its commands. Functions of `hx` import what they need when they run, and views import rich then."""

import dataclasses
from collections.abc import Callable
from inspect import Parameter, Signature, signature
from itertools import chain
from typing import Annotated, Any, get_type_hints

import typer

from hx_cli._options import Common, Quiet, Verbose, flag
from hx_cli._output import Output
from hx_cli.analyze import analyze
from hx_cli.compare import compare
from hx_cli.debug import debug
from hx_cli.demo import demo
from hx_cli.export import export
from hx_cli.extract import extract
from hx_cli.fleet import fleet
from hx_cli.functionize import functionize, inline
from hx_cli.modules import modules
from hx_cli.nodes import nodes
from hx_cli.profile.command import profile
from hx_cli.project import project
from hx_cli.relink import relink
from hx_cli.replace import replace
from hx_cli.report import report
from hx_cli.split import join, split
from hx_cli.suite import suite
from hx_cli.tap import tap
from hx_cli.tree import tree
from hx_cli.validate import validate
from hx_cli.verify import verify
from hx_cli.view import view

app = typer.Typer(
    name="hx",
    help="Export any PyTorch model to ONNX, know which module made every node, cut any module out.",
    epilog="Start with `hx demo`. Exit codes: 0 done, 1 the answer is no, 2 could not, 70 a bug in hx.",
    rich_markup_mode=None,  # rich in the help takes four times as long to import
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"hx {version('hx-onnx-cli')}")
        raise typer.Exit


@app.callback()
def _root(  # pyright: ignore[reportUnusedFunction]
    context: typer.Context,
    version: Annotated[bool, flag("Print the version.", "--version", callback=_version, is_eager=True)] = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    context.obj = Output()
    context.obj.adjust(verbose=verbose, quiet=quiet)


def _expanded(command: Callable[..., int]) -> Callable[..., int]:
    """Return a command as typer reads it: in place of parameters that are dataclasses the fields of these, behind its own.

    A parameter that is an `Output` is made of the options in `Common`.
    """
    hints = get_type_hints(command, include_extras=True)
    kinds = {name: Common if hint is Output else hint for name, hint in hints.items()}
    groups = {name: kind for name, kind in kinds.items() if dataclasses.is_dataclass(kind)}
    own = [p.replace(annotation=hints[n]) for n, p in signature(command).parameters.items() if n not in groups]
    parts = {name: dataclasses.fields(kind) for name, kind in groups.items()}
    parameters = {"context": Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context)}
    parameters |= {parameter.name: parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in own}
    for part in chain.from_iterable(parts.values()):
        annotation: Any = part.type
        parameters[part.name] = Parameter(
            part.name, Parameter.KEYWORD_ONLY, annotation=annotation, default=part.default
        )

    def call(**values: Any) -> int:
        context = values["context"] if "context" in hints else values.pop("context")
        for name, kind in groups.items():
            group = kind(**{part.name: values.pop(part.name) for part in parts[name]})
            values[name] = group.output(context) if isinstance(group, Common) else group
        return command(**values)

    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__signature__ = Signature(list(parameters.values()))  # pyright: ignore[reportFunctionMemberAccess]
    call.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    return call


for command, summary in (
    (demo, "See it work on a small model."),
    (export, "PyTorch model to ONNX file and sidecar."),
    (tree, "The module tree of an export."),
    (modules, "All that is known of every module, as JSON."),
    (nodes, "Names of a module's nodes, for other tools."),
    (analyze, "Coverage and cost, by category and module."),
    (extract, "Module calls as ONNX models of their own."),
    (suite, "Every distinct module as a test case."),
    (fleet, "Many models through many steps."),
    (functionize, "Equal layers as one function, called often."),
    (inline, "The graph without such functions."),
    (split, "A model in stages, for several devices."),
    (join, "The whole model of its stages."),
    (replace, "Another model in the place of calls."),
    (tap, "Results of module calls as outputs."),
    (project, "A sidecar for a model exported elsewhere."),
    (relink, "A sidecar for what a tool made of an export."),
    (compare, "Whether two models have the same topology."),
    (debug, "Both exports and all that a maintainer asks for."),
    (validate, "Whether a model and its sidecar are consistent."),
    (verify, "Every call's numbers against PyTorch."),
    (profile, "Time by module of what really runs."),
    (report, "A model as one HTML page."),
    (view, "Files with which Model Explorer shows a model."),
):
    app.command(short_help=summary)(_expanded(command))
