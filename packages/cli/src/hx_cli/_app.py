"""The program and its commands, each of which is imported and told to typer when it is asked for.

Functions of `hx` import what they need when they run, and views import rich then.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from inspect import Parameter, Signature, signature
from itertools import chain
from typing import Annotated, Any, Final, get_type_hints

import typer

from hx_cli._options import Common, Quiet, Verbose, flag
from hx_cli._output import Output

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


SUMMARIES = {
    "demo.demo": "See it work on a small model.",
    "export.export": "PyTorch model to ONNX file and sidecar.",
    "tree.tree": "The module tree of an export.",
    "modules.modules": "All that is known of every module, as JSON.",
    "nodes.nodes": "Names of a module's nodes, for other tools.",
    "analyze.analyze": "Coverage and cost, by category and module.",
    "extract.extract": "Module calls as ONNX models of their own.",
    "suite.suite": "Every distinct module as a test case.",
    "fleet.fleet": "Many models through many steps.",
    "functionize.functionize": "Equal layers as one function, called often.",
    "functionize.inline": "The graph without such functions.",
    "split.split": "A model in stages, for several devices.",
    "split.join": "The whole model of its stages.",
    "replace.replace": "Another model in the place of calls.",
    "tap.tap": "Results of module calls as outputs.",
    "project.project": "A sidecar for a model exported elsewhere.",
    "relink.relink": "A sidecar for what a tool made of an export.",
    "compare.compare": "Whether two models have the same topology.",
    "debug.debug": "Both exports and all that a maintainer asks for.",
    "validate.validate": "Whether a model and its sidecar are consistent.",
    "verify.verify": "Every call's numbers against PyTorch.",
    "profile.command.profile": "Time by module of what really runs.",
    "report.report": "A model as one HTML page.",
    "view.view": "Files with which Model Explorer shows a model.",
}
"""Every command, by the function that it is, in the order of the help."""


class _Commands(Mapping[str, Any]):
    """The commands of typer by name, each imported and made when it is asked for."""

    _paths: Final = {path.rpartition(".")[2]: path for path in SUMMARIES}

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            path = self._paths[name]
            function = getattr(import_module(f"hx_cli.{path.rpartition('.')[0]}"), name)
            alone = typer.Typer(rich_markup_mode=None, add_completion=False)
            alone.command(short_help=SUMMARIES[path])(_expanded(function))
            self._made[name] = typer.main.get_command(alone)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


@cache
def program() -> Any:
    """Return the program as typer's group of commands. To make all commands takes 20 ms, a tenth of what a short one takes."""
    group: Any = typer.main.get_command(app)
    group.commands = _Commands()
    return group
