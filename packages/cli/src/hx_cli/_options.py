"""Options that several commands share: one name, one help text, one meaning."""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import hx
from hx_cli._output import Output
from hx_cli._parse import parse_axes, parse_shapes, parse_torch_nn


def value(metavar: str, text: str, *names: str, **settings: Any) -> Any:
    """Return an option that takes a value; its help tells the default. Without `names` it is called as its parameter."""
    return typer.Option(*names, metavar=metavar, help=text, show_default=False, **settings)


def argument(metavar: str, text: str) -> Any:
    """Return an argument; its help tells the default."""
    return typer.Argument(metavar=metavar, help=text, show_default=False)


def flag(text: str, *names: str, **settings: Any) -> Any:
    """Return an option without a value, under these names alone."""
    return typer.Option(*names, help=text, **settings)


Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, help="Say more; twice for debugging.", show_default=False)
]
Quiet = Annotated[bool, flag("Say nothing but errors and asked-for data.", "--quiet", "-q")]
Overwrite = Annotated[bool, flag("Replace files that exist.", "--overwrite")]
NoVerify = Annotated[bool, flag("Skip running the result and comparing its numbers.", "--no-verify")]
OnnxFile = Annotated[
    Path | None,
    argument("X.onnx", "A model that hx exported. May be left out where the current folder holds exactly one."),
]
ModelSpec = Annotated[
    str,
    argument("MODEL", "Hub id or folder (org/name[@revision]), file.py:factory, package.module:factory, or tiny:ARCH."),
]
PATTERN = value(
    "PATTERN", "A tag, tag pattern, fqn, fqn glob or class name, with @INDEX or @*. Repeatable.", "--module", "-m"
)
ModulePattern = Annotated[list[str] | None, PATTERN]
PROFILE_RECORD = "Show time: what `hx profile --json` printed."
VERIFY_RECORD = "Show errors: what `hx verify --json` printed."
ANALYZE_RECORD = "Show cost: what `hx analyze --detailed --json` printed."
InputsFile = Annotated[
    Path | None, value("FILE", "Inputs by name, .pt, .npz or .safetensors; default: those that the export recorded.")
]
InputShape = Annotated[
    list[str] | None,
    value("NAME=1,128", "Shape of an input, instead of a recorded or found one; ? for a size to find. Repeatable."),
]
MinConfidence = Annotated[
    Literal["high", "medium", "low"], typer.Option(help="Leave what is known less surely to the root, uncovered.")
]


@dataclass(frozen=True)
class Common:
    """Options of every command."""

    json: Annotated[bool, flag("Print one JSON record on stdout instead of tables.", "--json")] = False
    verbose: Verbose = 0
    quiet: Quiet = False

    def output(self, context: typer.Context) -> Output:
        """Return the output of the run, with these flags added to those that stand before the command's name."""
        output: Output = context.obj
        output.adjust(verbose=self.verbose, quiet=self.quiet)
        output.as_json = self.json
        return output


@dataclass(frozen=True)
class Loading:
    """How a PyTorch model is loaded."""

    dtype: Annotated[
        str | None, value("DTYPE", "float32, float16 or bfloat16; default: what the model has.", "--dtype")
    ] = None
    task: Annotated[
        str | None,
        value("TASK", "Load the model class of a transformers task or auto class, e.g. text-classification.", "--task"),
    ] = None
    attn: Annotated[
        str | None,
        value("NAME", "How a transformers model computes attention: eager, sdpa, ... Default: its own choice."),
    ] = None
    experts: Annotated[
        str | None,
        value("NAME", "How a transformers model computes its experts: batched_mm, eager, ... Default: its own choice."),
    ] = None
    random_weights: Annotated[bool, flag("Of a Hub id or folder, take the configuration only.", "--random-weights")] = (
        False
    )
    trust_remote_code: Annotated[
        bool, flag("Run the code that a Hub id or folder brings along.", "--trust-remote-code")
    ] = False

    def spec(self, model: str) -> "hx.ModelSpec":  # a name: importing it takes longer than `hx --help` may
        """Return a model with these options."""
        return hx.ModelSpec(model, **vars(self))


@dataclass(frozen=True)
class Exporting:
    """How a model is exported."""

    dynamic: Annotated[bool, flag("Free the batch and sequence dimension of every input.", "--dynamic")] = False
    dynamic_shape: Annotated[list[str] | None, value("NAME:AXIS=SYMBOL", "Free one axis. Repeatable.")] = None
    input_shape: Annotated[list[str] | None, value("NAME=2,3,224,224", "Shape of an example input. Repeatable.")] = None
    inputs: Annotated[Path | None, value("FILE", "Example inputs by name: .pt, .npz or .safetensors.")] = None
    opset: Annotated[int | None, value("N", "ONNX opset; default: the exporter's.")] = None
    torch_nn: Annotated[
        str,
        value(
            "default|all|none|NAME,...",
            "Which torch.nn classes have tags of their own; default: normalisation layers and Embedding.",
        ),
    ] = "default"
    strategy: Annotated[
        str,
        typer.Option(
            metavar="dynamo|htp|fx_graph|usage_based|auto",
            help="The exporter and the evidence; auto: the first of these that takes the model.",
        ),
    ] = "dynamo"
    cross_check: Annotated[
        bool,
        flag(
            "Ask the values of a run in PyTorch too, and list the nodes on which the sources disagree.", "--cross-check"
        ),
    ] = False
    min_confidence: MinConfidence = "low"
    no_remedies: Annotated[
        bool, flag("Where the exporter refuses, end at once instead of trying what may help.", "--no-remedies")
    ] = False

    def settings(self) -> dict[str, Any]:
        """Return them as arguments of `hx.export`."""
        return {
            "args": self.inputs if self.inputs is not None else (),
            "dynamic": self.dynamic,
            "dynamic_axes": parse_axes(self.dynamic_shape or []),
            "input_shapes": parse_shapes(self.input_shape or []),
            "opset_version": self.opset,
            "torch_nn": parse_torch_nn(self.torch_nn),
            "strategy": self.strategy,
            "cross_check": self.cross_check,
            "min_confidence": self.min_confidence,
            "remedies": not self.no_remedies,
        }


_SAME = (
    *(field.name for field in fields(Loading)),
    "at",
    "into",
    "only",
    "provider",
    "repair",
    "strategy",
    "threads",
    "torch_nn",
    "warmup",
)
OPTIONS = {name: f"--{name.replace('_', '-')}" for name in _SAME} | {
    "against": "--against MODEL",
    "detailed": "--detailed",
    "model_explorer": "--model-explorer DIR",
    "dynamic_axes": "--dynamic-shape NAME:AXIS=SYMBOL",
    "input_shapes": "--input-shape NAME=SIZES",
    "inputs": "--inputs FILE",
    "original": "--from EXPORT.onnx",
    "output": "-o",
    "memory_bytes": "--memory SIZE",
    "path": "-o",
    "overwrite": "--overwrite or -o",
}
"""The option of each argument that an error may name."""


def hint_of(error: hx.HxError) -> str:
    """Return the hint of an error with options for arguments: those that it gives a value, and in its first sentence the one that helps."""
    hint = re.sub(rf"\b({'|'.join(OPTIONS)})='([^']*)'", lambda match: f"{OPTIONS[match[1]]} {match[2]}", error.hint)
    option = OPTIONS.get(error.argument)
    if option is None or option in hint:
        return hint
    first, end, rest = hint.partition(". ")
    return f"{first.rstrip('.')}, with {option}.{end[1:]}{rest}"
