"""Options that several commands share: one name, one help text, one meaning."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Weights(StrEnum):
    """What becomes of the weights of an extracted model."""

    copy = "copy"
    share = "share"
    none = "none"


class Confidence(StrEnum):
    """How surely the owner of a node is known."""

    high = "high"
    medium = "medium"
    low = "low"


Verbose = Annotated[
    int,
    typer.Option("--verbose", "-v", count=True, help="Say more; twice for debugging.", show_default=False),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors and asked-for data.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON record on stdout instead of tables.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
NoVerify = Annotated[
    bool, typer.Option("--no-verify", help="Skip running the result and comparing its numbers.")
]
OnnxFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="X.onnx",
        help="A model that hx exported. May be left out where the current folder holds exactly one.",
        show_default=False,
    ),
]
ModelSpec = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Hub id or folder (org/name[@revision]), file.py:factory, package.module:factory, or tiny:ARCH.",
    ),
]
Dynamic = Annotated[
    bool, typer.Option("--dynamic", help="Free the batch and sequence dimension of every input.")
]
DynamicShape = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME:AXIS=SYMBOL", help="Free one axis. Repeatable.", show_default=False),
]
InputShape = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=2,3,224,224", help="Shape of an example input. Repeatable.", show_default=False
    ),
]
InputsFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Example inputs by name: .pt, .npz or .safetensors.", show_default=False
    ),
]
Opset = Annotated[
    int | None, typer.Option(metavar="N", help="ONNX opset; default: the exporter's.", show_default=False)
]
TorchNNNames = Annotated[
    str,
    typer.Option(
        metavar="default|all|none|NAME,...",
        help="Which torch.nn classes have tags of their own; default: normalisation layers and Embedding.",
        show_default=False,
    ),
]
StrategyName = Annotated[
    str,
    typer.Option(
        metavar="dynamo|htp|fx_graph|usage_based|auto",
        help="The exporter and the evidence; auto: the first of these that takes the model.",
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="TASK",
        help="Load the model class of a transformers task or auto class, e.g. text-classification.",
        show_default=False,
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="DTYPE",
        help="float32, float16 or bfloat16; default: what the model has.",
        show_default=False,
    ),
]
Attn = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How a transformers model computes attention: eager, sdpa, ... Default: its own choice.",
        show_default=False,
    ),
]
Experts = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How a transformers model computes its experts: batched_mm, eager, ... Default: its own choice.",
        show_default=False,
    ),
]
ModulePattern = Annotated[
    list[str] | None,
    typer.Option(
        "--module",
        "-m",
        metavar="PATTERN",
        help="A tag, tag pattern, fqn, fqn glob or class name, with @INDEX or @*. Repeatable.",
        show_default=False,
    ),
]
MinConfidence = Annotated[
    Confidence,
    typer.Option(help="Leave what is known less surely to the root, uncovered."),
]
Embed = Annotated[
    bool,
    typer.Option("--embed", help="Write the sidecar into the model's metadata too, under pkg.hx.* keys."),
]
NoMetadata = Annotated[
    bool,
    typer.Option("--no-metadata", help="Remove the exporter's metadata: kilobytes a node, with local paths."),
]
RandomWeights = Annotated[
    bool,
    typer.Option(
        "--random-weights",
        help="Of a Hub id or folder, take the configuration only.",
    ),
]
