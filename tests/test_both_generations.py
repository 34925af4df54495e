"""What must hold with transformers 4.57 and 5 alike: `scripts/transformers4.sh` runs this file with 4.57."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def hx(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "hx_cli", *args], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    done = hx("export", "tiny:bert", "--dynamic", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def attention_class() -> str:
    import transformers

    major = int(transformers.__version__.split(".")[0])
    return "BertSelfAttention" if major >= 5 else "BertSdpaSelfAttention"


def test_the_folder_s_export_is_found_and_a_tag_pattern_extracts(exported: Path) -> None:
    pattern = f"/BertModel/.../{attention_class()}"
    done = hx("extract", "--module", pattern, "-o", "attention", cwd=exported)
    assert done.returncode == 0, done.stderr
    index = json.loads((exported / "attention" / "index.json").read_text())
    assert [row["fqn"] for row in index] == [f"encoder.layer.{n}.attention.self" for n in range(2)]
    assert all(row["max_abs_error"] < 1e-5 for row in index)


def test_a_layer_behind_the_first_takes_its_own_arguments_and_no_others(exported: Path) -> None:
    done = hx("extract", "--module", "encoder.layer.1.attention.self", "-o", "self.onnx", cwd=exported)
    assert done.returncode == 0, done.stderr
    import hx_extractor

    inputs = hx_extractor.load(exported / "self.onnx").model.graph.inputs
    assert [value.name for value in inputs] == ["hidden_states", "attention_mask"]


def test_tags_are_the_class_paths_of_the_model(exported: Path) -> None:
    sidecar = json.loads(next(exported.glob("*_hierarchy.json")).read_text())
    tags = {module["fqn"]: module["tag"] for module in sidecar["modules"]}
    assert tags["encoder.layer.0.attention.self"] == (
        f"/BertModel/BertEncoder/BertLayer.0/BertAttention/{attention_class()}"
    )
    assert tags["encoder.layer.1.output.LayerNorm"] == "/BertModel/BertEncoder/BertLayer.1/BertOutput/LayerNorm"
