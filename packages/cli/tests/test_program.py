"""The program itself: start-up, streams, exit codes."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import hx_cli

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


def test_only_the_command_that_is_called_is_imported(bert_once):
    code = f"""
import sys
from hx_cli._main import run
assert run(["tree", {str(bert_once)!r}]) == 0
commands = {{name for name in sys.modules if name.startswith("hx_cli.") and "._" not in name}}
assert commands == {{"hx_cli.tree"}}, commands
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_help_names_every_module_of_commands(hx):
    """Every file and folder of hx_cli that is not private is of a command that the help lists, and that has a help."""
    listed = set(re.findall(r"^  ([a-z]+)  ", hx("--help").out.partition("Commands:")[2], re.MULTILINE))
    held = {path.stem for path in Path(hx_cli.__file__).parent.iterdir() if not path.name.startswith(("_", "py."))}
    assert held <= listed
    for name in listed:
        assert hx(name, "--help").code == 0


def test_version(hx):
    result = hx("--version")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("hx 0.")


def test_no_arguments_is_help(hx):
    result = hx()
    assert result.code == 0
    assert "export" in result.out


def test_command_that_does_not_exist(hx):
    error = hx("exprot").error
    assert "HX405" in error
    assert "'export'" in error


def test_pipe_that_closes(bert_once):
    command = f"{sys.executable} -m hx_cli tree {bert_once} --all | head -1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert result.stderr == ""
