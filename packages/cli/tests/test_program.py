"""The program itself: start-up, streams, exit codes."""

from __future__ import annotations

import resource
import subprocess
import sys

HEAVY = ("torch", "transformers", "onnx", "onnx_ir", "onnxruntime", "numpy", "pydantic", "rich")


def test_help_imports_nothing_heavy():
    code = f"""
import sys
from hx_cli._main import run
code = run(["--help"])
assert code == 0
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_help_answers_at_once():
    """In time of the processor: what else the machine does is no matter."""
    seconds: list[float] = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "hx_cli", "--help"], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.3


def test_version(hx):
    result = hx("--version")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("hx 0.")


def test_no_arguments_is_help(hx):
    result = hx()
    assert result.code == 0
    assert "export" in result.out


def test_command_that_does_not_exist(hx):
    assert "HX405" in hx("exprot").error


def test_pipe_that_closes(bert_once):
    command = f"{sys.executable} -m hx_cli tree {bert_once} --all | head -1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert result.stderr == ""
