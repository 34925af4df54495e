"""What the packages declare: what they import, each other by range, and the same of everything else."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
MODULES = importlib.metadata.packages_distributions()


@cache
def pyproject(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def name_of(requirement: str) -> str:
    """The name of a distribution as PyPI writes it: lower case, with dashes."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


def module_of(folder: Path) -> str:
    (module,) = (path.name for path in (folder / "src").iterdir())
    return module


INSTALLED = {name_of(name) for names in MODULES.values() for name in names}
OWN = {module_of(folder): pyproject(folder)["project"]["name"] for folder in FOLDERS}


def imported(files: Iterable[Path]) -> dict[str, Path]:
    """The modules of other packages that files import, wherever they do, each with one of the files."""
    found: dict[str, Path] = {}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            found |= {name.partition(".")[0]: path for name in names}
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names}


def provided(declared: Iterable[str]) -> set[str]:
    """Names of distributions that some requirements bring for sure: themselves, and what they pin to one version."""
    names = {name_of(requirement) for requirement in declared}
    pinned = (
        name_of(requirement)
        for name in (names - set(OWN.values())) & INSTALLED  # an extra may be left out here
        for requirement in importlib.metadata.requires(name) or ()
        if "==" in requirement and ";" not in requirement
    )
    return names | set(pinned)


def undeclared(modules: dict[str, Path], declared: Iterable[str]) -> dict[str, Path]:
    names = provided(declared)
    return {
        module: path
        for module, path in modules.items()
        if not names & {OWN.get(module, ""), *map(name_of, MODULES.get(module, ()))}
    }


def required(folder: Path) -> list[str]:
    """What a package requires, with all its extras."""
    project = pyproject(folder)["project"]
    extras = project.get("optional-dependencies", {}).values()
    return [*project["dependencies"], *(requirement for extra in extras for requirement in extra)]


def brought(folder: Path) -> list[str]:
    """What a package and the packages below it require."""
    found: dict[Path, list[str]] = {}
    waiting = [folder]
    while waiting:  # an extra may bring a package that stands on this one
        folder = waiting.pop()
        found[folder] = required(folder)
        below = [other for other in FOLDERS if pyproject(other)["project"]["name"] in provided(found[folder])]
        waiting += [other for other in below if other not in found]
    return [requirement for requirements in found.values() for requirement in requirements]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_package_declares_what_it_imports(folder: Path) -> None:
    modules = imported((folder / "src").rglob("*.py"))
    modules.pop(module_of(folder), None)
    assert not undeclared(modules, required(folder))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_tests_of_a_package_need_that_package_alone(folder: Path) -> None:
    own, tools = pyproject(folder)["project"]["name"], pyproject(folder)["dependency-groups"]["test"]
    modules = imported((folder / "tests").rglob("*.py"))
    beside = {path.stem for path in (folder / "tests").glob("*.py")}
    modules = {name: path for name, path in modules.items() if name not in beside}
    assert not undeclared(modules, [own, *brought(folder), *tools])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_packages_name_each_other_by_one_range(folder: Path) -> None:
    project = pyproject(folder)["project"]
    assert project["version"] == "0.2.0"
    siblings = [requirement for requirement in required(folder) if name_of(requirement) in OWN.values()]
    assert all(re.fullmatch(r"hx-[\w-]+(\[[\w,]+\])?>=0\.2,<0\.3", requirement) for requirement in siblings)
    sources = pyproject(folder).get("tool", {}).get("uv", {}).get("sources", {})
    assert sources == {name_of(requirement): {"workspace": True} for requirement in siblings}


def test_what_is_said_of_every_package_is_the_same() -> None:
    projects = [pyproject(folder)["project"] for folder in FOLDERS]
    for field in ("readme", "requires-python", "keywords", "classifiers"):
        assert all(project[field] == projects[0][field] for project in projects), field
    assert not any("license" in field for project in projects for field in project)
    root = pyproject(ROOT)
    assert {name_of(requirement) for requirement in root["project"]["dependencies"]} == set(OWN.values())
    assert root["tool"]["uv"]["sources"].keys() == set(OWN.values())


@pytest.mark.parametrize("module", ["hx_extractor", "hx_projector", "hx_profiler", "hx"])
def test_no_package_brings_sympy_before_it_is_needed(module: str) -> None:
    code = f"import {module}, onnx_ir, sys; assert 'sympy' not in sys.modules; onnx_ir.SymbolicDim('n') + 1; assert 'sympy' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
