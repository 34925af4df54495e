"""What `hx suite` makes of fifty models, judged by the runners of others: `uv run python benchmarks/suite.py FOLDER`.

The models are exported into FOLDER, unless they are there. Each suite is run by onnx's backend test runner with ONNX Runtime, held against the rules
of ONNX Runtime's `onnx_test_runner`, and written a second time. What its cases ask of kernels is held against the models by code that
shares nothing with hx. The table goes to stdout and docs/benchmarks/suite.md.
"""

from __future__ import annotations

import hashlib
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch
from measuring import HERE, machine, table
from transformers import BertConfig, BertModel

import hx
from hx.records.suite import SuiteReport

sys.path.insert(0, str(HERE.parent / "tests"))
from suites import backend_failures, folder_faults

ZOO = (
    "albert bart beit bert blenderbot bloom clip codegen convnext cvt deberta-v2 deit dinov2 distilbert dpt electra ernie falcon gemma gemma2 gpt2 "
    "gpt_neo gpt_neox gptj hubert levit llama mamba mistral mobilenet_v2 mobilevit mpnet opt phi poolformer pvt qwen2 qwen3 regnet resnet roberta rwkv "
    "segformer splinter swin t5 vit wav2vec2 whisper xlm "
)
FORMS = "1 layer", "12 layers"
Configuration = tuple[Any, ...]


class Run(NamedTuple):
    """One suite, and what its judges say."""

    name: str
    models: int
    parts: int
    cases: int
    left_out: int
    failed: int
    missing: int
    written_again: int
    megabytes: float
    seconds: float
    again_s: float


def exported(folder: Path) -> list[Path]:
    """Return the files of the models, exported where they are not there."""
    files = [folder / f"{arch}.onnx" for arch in ZOO.split()]
    for arch, file in zip(ZOO.split(), files, strict=True):
        if not file.exists():
            hx.export(f"tiny:{arch}", f=file, verify=False)
    return files


def bert(layers: int, folder: Path) -> Path:
    """Return the file of a BERT of base's sizes with random weights."""
    file = folder / f"bert-base-{layers}.onnx"
    if not file.exists():
        torch.manual_seed(layers)
        tokens, mask = torch.randint(0, 1000, (2, 16)), torch.ones(2, 16, dtype=torch.long)
        mask[1, 9:] = 0
        model = BertModel(BertConfig(num_hidden_layers=layers)).eval()
        hx.export(model, kwargs={"input_ids": tokens, "attention_mask": mask}, f=file, verify=False)
    return file


def run(name: str, files: list[Path], output: Path, **settings: Any) -> tuple[Run, SuiteReport]:
    """Write a suite twice and judge it."""
    start = time.perf_counter()
    report = hx.suite(files, output, **settings)
    seconds = time.perf_counter() - start
    before = digests(output)
    start = time.perf_counter()
    again = hx.suite(files, output, **settings)
    again_s = time.perf_counter() - start
    assert digests(output) == before
    held = set(chain.from_iterable(configurations(path) for path in output.rglob("*.onnx")))
    wanted = set(chain.from_iterable(map(configurations, files)))
    failed = [*backend_failures(output), *folder_faults(output)]
    for text in failed[:5]:
        print(text[-500:], file=sys.stderr)
    found = report.suite
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    return Run(
        name,
        len(files),
        sum(model.calls for model in found.models),
        len(found.cases),
        len(found.left_out),
        len(failed),
        len(wanted - held),
        again.written,
        size / 1e6,
        seconds,
        again_s,
    ), report


def digests(folder: Path) -> dict[str, tuple[str, int]]:
    """Return the digest of every file below a folder, and when it was written."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


def configurations(path: Path) -> set[Configuration]:
    """Return what the nodes of a file ask of kernels: operator, attributes without bodies, and element types, by onnx alone."""
    graph = onnx.load(path, load_external_data=False).graph
    return set(_configurations(graph, {}))


def _configurations(graph: onnx.GraphProto, around: dict[str, str]) -> Iterator[Configuration]:
    values = chain(graph.input, graph.output, graph.value_info)
    types = around | {value.name: type_name(value.type) for value in values}
    types |= {tensor.name: onnx.TensorProto.DataType.Name(tensor.data_type) for tensor in graph.initializer}
    for node in graph.node:
        bodies = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
        plain = (attribute for attribute in node.attribute if not attribute.HasField("g"))
        asked = tuple(sorted(attribute.SerializeToString(deterministic=True) for attribute in plain))
        if node.op_type != "Constant":
            yield node.domain, node.op_type, asked, of(node.input, types), of(node.output, types)
        for body in bodies:
            yield from _configurations(body, types)


def of(names: Iterable[str], types: dict[str, str]) -> tuple[str, ...]:
    """Return the types of values by name."""
    return tuple(types.get(name, "?") if name else "" for name in names)


def type_name(kind: onnx.TypeProto) -> str:
    """Return the element type of a tensor; of others their whole type."""
    tensor = kind.tensor_type
    return onnx.TensorProto.DataType.Name(tensor.elem_type) if kind.HasField("tensor_type") else str(kind)


def main(folder: Path) -> None:
    """Print the table and write the page."""
    warnings.simplefilter("ignore")
    folder.mkdir(parents=True, exist_ok=True)
    files = exported(folder)
    runs = [
        run("`--by call`", files, folder / "suites" / "call")[0],
        run("`--by call --cover`", files, folder / "suites" / "call-cover", cover=True)[0],
        run("`--by block`", files, folder / "suites" / "block", by="block")[0],
        run("`--by block --cover`", files, folder / "suites" / "block-cover", by="block", cover=True)[0],
        run("`--by operator`", files, folder / "suites" / "operator", by="operator")[0],
    ]
    found = [
        run(f"BERT base, {layers}", [bert(int(layers.split()[0]), folder)], folder / "suites" / layers)
        for layers in FORMS
    ]
    runs += [one for one, _ in found]
    one, twelve = ({case.form: case.class_name for case in report.suite.cases} for _, report in found)
    rows = [
        (
            row.name,
            f"{row.models}",
            f"{row.parts}",
            f"{row.cases}",
            f"{100 * row.cases / row.parts:.1f} %",
            f"{row.left_out}",
            f"{row.failed}",
            f"{row.missing}",
            f"{row.written_again}",
            f"{row.megabytes:.0f}",
            f"{row.seconds:.0f}",
            f"{row.again_s:.0f}",
        )
        for row in runs
    ]
    heads = (
        "suite",
        "models",
        "parts",
        "cases",
        "share",
        "left out",
        "failed",
        "missing",
        "written again",
        "MB",
        "s",
        "again s",
    )
    text = PAGE.format(
        machine=machine(),
        table=table(heads, rows),
        only_one=", ".join(sorted(name for form, name in one.items() if form not in twelve)) or "none",
        only_twelve=", ".join(sorted(name for form, name in twelve.items() if form not in one)) or "none",
        shared=len(one.keys() & twelve.keys()),
    )
    print(text)
    (HERE.parent / "docs" / "benchmarks" / "suite.md").write_text(text, encoding="utf-8")


PAGE = """# Suites

{machine} `benchmarks/suite.py` makes this page.

Suites of the architectures of transformers that its text lists, as `tiny:ARCH` with two layers each, and of BERT of base's sizes. `parts` are calls that can
be cut out, of `--by operator` nodes; `share` is that of the cases among them. Each case is run by onnx's backend test runner in ONNX Runtime, and its
folder held against the rules of `onnx_test_runner`: so many `failed`. Of all pairs of an operator's attributes and element types that onnx alone
finds in the models, so many are `missing` in the cases. A second run wrote so many files again; all bytes and times of files were as before.

{table}

BERT with one layer and with twelve: {shared} forms are the same. Only one layer has {only_one}; only twelve have {only_twelve}: the calls that hold all
layers.
"""

if __name__ == "__main__":
    main(Path(sys.argv[1]))
