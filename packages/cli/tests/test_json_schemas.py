"""The published schemas are those of the reports, and what commands really print fits them.

`python -m hx.schema` writes them again. Fields are only ever added within a major version.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import onnx
import pytest

from hx import functionize
from hx.schema import REPORTS, current_schema, published_schema, schema_names
from hx_cli._app import program

NAMES = list(schema_names())


def schema_of(name: str) -> dict[str, Any]:
    return json.loads(published_schema(next(file for file in NAMES if file.rpartition("-")[0] == name)))


@pytest.mark.parametrize("name", NAMES)
def test_the_published_schema_is_the_reports(name: str) -> None:
    assert published_schema(name) == current_schema(name), "run python -m hx.schema"


@pytest.mark.parametrize("name", NAMES)
def test_every_record_is_described_and_open(name: str) -> None:
    schema = json.loads(published_schema(name))
    jsonschema.Draft202012Validator.check_schema(schema)
    for title, record in [(schema["title"], schema), *schema["$defs"].items()]:
        assert record["description"], title
        # A record of a newer minor version must pass the schema of an older one.
        assert record.get("additionalProperties", True), title


def test_every_command_that_prints_json_has_a_schema() -> None:
    commands = program().commands
    printing = {name for name, command in commands.items() if any(p.name == "json" for p in command.params)}
    assert {name.partition("-")[0] for name in REPORTS} == printing


@pytest.fixture
def files(hx, perceptron: Path, factories: Path, optimise) -> Path:
    """A model under its own name, with functions, in stages, another with one node changed, and one that a tool made of it."""
    functionize(perceptron, perceptron.with_name("functions.onnx"))
    assert hx("extract", perceptron, "-m", "act", "-o", perceptron.with_name("part.onnx")).code == 0
    proto = onnx.load(perceptron)
    for node in proto.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Tanh"
    onnx.save(proto, perceptron.with_name("other.onnx"))
    optimise(perceptron, perceptron.with_name("optimised.onnx"))
    shutil.copy(factories, perceptron.with_name("models.py"))
    hx("split", "model.onnx", "--into", "2", "-o", "stages", cwd=perceptron.parent)
    perceptron.with_name("run.toml").write_text('models = ["model.onnx"]\nsteps = ["validate"]\n')
    return perceptron.parent


COMMANDS = {
    "analyze": ["analyze model.onnx", "analyze model.onnx --detailed -m act"],
    "compare": ["compare model.onnx model.onnx", "compare model.onnx other.onnx", "compare other.onnx model.onnx"],
    "debug": ["debug models.py:perceptron -o session", "debug models.py:branching -o failed"],
    "export": ["export models.py:twice -o twice.onnx --cross-check", "export models.py:perceptron --no-verify"],
    "extract": ["extract model.onnx --all -o parts", "extract model.onnx -m act -o act.onnx --no-verify"],
    "join": ["join stages -o joined.onnx"],
    "modules": ["modules model.onnx"],
    "nodes": ["nodes model.onnx -m first"],
    "profile": ["profile model.onnx --runs 2"],
    "profile-comparison": ["profile model.onnx model.onnx --runs 2"],
    "profile-isolated": ["profile model.onnx --isolated -m act --runs 2"],
    "project": ["project other.onnx"],
    "relink": ["relink optimised.onnx --from model.onnx"],
    "replace": ["replace model.onnx -m act --with part.onnx"],
    "report": ["report model.onnx -o page.html", "report model.onnx --against model.onnx -o beside.html"],
    "suite": ["suite model.onnx", "suite model.onnx --by operator --cover"],
    "fleet": ["fleet run.toml --workers 1"],
    "functionize": ["functionize model.onnx"],
    "inline": ["inline functions.onnx"],
    "split": ["split model.onnx --into 2 -o three", "split model.onnx --at act --annotate -o a.onnx"],
    "tap": ["tap model.onnx -m act"],
    "tree": ["tree model.onnx"],
    "validate": ["validate model.onnx", "validate other.onnx --sidecar model_hierarchy.json"],
    "verify": [
        "verify model.onnx --against models.py:perceptron",
        "verify other.onnx --from model.onnx --against models.py:perceptron",
    ],
    "view": ["view model.onnx --model-explorer explorer"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_prints_fits_its_schema(hx, files: Path, name: str) -> None:
    for command in COMMANDS[name]:
        result = hx(*command.split(), "--json", cwd=files)
        assert result.code in (0, 1), result.err
        record = json.loads(result.out)
        jsonschema.validate(record, schema_of(name), jsonschema.Draft202012Validator)
        del record["schema_version"]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(record, schema_of(name), jsonschema.Draft202012Validator)
    if name == "fleet":
        (result_file,) = (files / "run" / "results").iterdir()
        jsonschema.validate(
            json.loads(result_file.read_text()), schema_of("fleet-result"), jsonschema.Draft202012Validator
        )
    if name == "extract":
        index = json.loads((files / "parts" / "index.json").read_text())
        jsonschema.validate(index, schema_of("index"), jsonschema.Draft202012Validator)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate([{"fqn": ""}], schema_of("index"), jsonschema.Draft202012Validator)


def test_every_schema_is_tried() -> None:
    assert COMMANDS.keys() == REPORTS.keys()
