"""Judges of a suite: onnx's backend test runner with ONNX Runtime, and the rules by which `onnx_test_runner` reads folders."""

from __future__ import annotations

import io
import json
import re
import unittest
import unittest.mock
import warnings
from pathlib import Path

import onnx
import onnx.backend.test.loader
import onnxruntime
from onnx.backend.test.runner import Runner

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports what onnx 1.23 calls deprecated
    import onnxruntime.backend


def backend_failures(suite: Path) -> list[str]:
    """Run all cases by onnx's own loader and runner in ONNX Runtime; return what fails, and complain where nothing ran."""
    with unittest.mock.patch("onnx.backend.test.runner.load_model_tests", return_value=[]):  # not onnx's own cases
        runner = Runner(onnxruntime.backend, __name__)
    cases = [
        (kind.name, case)
        for kind in suite.iterdir()
        if kind.is_dir()
        for case in onnx.backend.test.loader.load_model_tests(str(suite), kind.name)
    ]
    for kind, case in cases:
        runner._add_model_test(case, kind.title())
    result = unittest.TextTestRunner(stream=io.StringIO()).run(runner.test_suite)
    failed = [f"{test}: {text}" for test, text in (*result.failures, *result.errors)]
    done = result.testsRun - len(result.skipped)
    return failed if done == len(cases) else [*failed, f"{len(cases)} cases, {done} run"]


def folder_faults(suite: Path) -> list[str]:
    """Return where a suite breaks the rules of ONNX Runtime's `onnx_test_runner`, and runs each case as that reads it."""
    faults: list[str] = []
    for model in suite.rglob("*.onnx"):
        case = model.parent
        folders = [path for path in case.iterdir() if path.is_dir()]  # each of them is a data set
        tolerance = dict(line.split(":") for line in (case / "config.txt").read_text().splitlines())
        if sorted(tolerance) != ["per_sample_tolerance", "relative_per_sample_tolerance"]:
            faults.append(f"{case.name}: config.txt")
        if json.loads((case / "data.json").read_text()) != {
            "rtol": float(tolerance["relative_per_sample_tolerance"]),
            "atol": float(tolerance["per_sample_tolerance"]),
        }:
            faults.append(f"{case.name}: data.json and config.txt differ")
        session = onnxruntime.InferenceSession(model)
        ends = {"input": session.get_inputs(), "output": session.get_outputs()}
        for folder in folders:
            names = [path.name for path in folder.iterdir()]
            for kind, infos in ends.items():
                numbers = sorted(int(found[1]) for name in names if (found := re.fullmatch(rf"{kind}_(\d+)\.pb", name)))
                if numbers != list(range(len(infos))):
                    faults.append(f"{case.name}: {kind}s {numbers}")
                for number, info in enumerate(infos):
                    tensor = onnx.TensorProto()
                    if info.type.startswith("tensor"):
                        tensor.ParseFromString((folder / f"{kind}_{number}.pb").read_bytes())
                        if tensor.name != info.name:
                            faults.append(f"{case.name}: {kind} {number} is called {tensor.name}")
            if len(names) != sum(map(len, ends.values())):
                faults.append(f"{case.name}: {names}")
        if len(folders) != 1 or not case.name.startswith("test_"):
            faults.append(f"{case}: {folders}")
    return faults
