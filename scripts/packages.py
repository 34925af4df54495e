"""Build the wheel of every package and try it alone: its contents, its dependencies, its imports, its own tests.

`uv run --no-project python scripts/packages.py`. An environment holds what the packages before it in a row need, and
each of them needs what those before it do.
"""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ROWS = (
    ("tracer", "hx", "cli", "fleet"),
    ("sidecar-schema", "graph", "extractor", "viewer", "surgery", "profiler"),
    ("projector",),
)
SAMPLES = {
    "cli": ("test_paths.py", "test_program.py", "test_modules.py"),
    "hx": ("test_api.py", "test_batches.py", "test_culprit.py", "test_files.py", "test_schemas.py"),
    "fleet": ("test_settings.py", "test_killed.py", "test_ray.py"),
    "tracer": ("test_inputs.py", "test_observe.py", "test_patches.py", "test_ports.py", "test_symbolic.py"),
}
"""Test files of packages whose tests take minutes; the others' are all run."""
TORCH = {"torch", "transformers", "onnxscript"}
IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
"""


def run(*words: object, cwd: Path) -> str:
    """Run a command and return what it says; end with that where it fails."""
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def project_of(name: str) -> dict[str, Any]:
    """Return the pyproject of a package."""
    return tomllib.loads((ROOT / "packages" / name / "pyproject.toml").read_text(encoding="utf-8"))


def check_wheel(wheel: Path) -> None:
    """End where a wheel has no readme, classifiers or types, or makes a claim about a license; others' files have theirs."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        said = email.message_from_bytes(archive.read(metadata))
    own = [name for name in names if "/vendored/" not in name]
    problems = [
        problem
        for problem, found in (
            ("no py.typed", not any(name.endswith("/py.typed") for name in names)),
            ("no readme", not str(said.get_payload()).strip()),
            ("no classifiers", not said.get_all("Classifier")),
            ("a license", any("license" in word.lower() for word in (*own, *said.keys()))),
        )
        if found
    ]
    if problems:
        sys.exit(f"{wheel.name}: {', '.join(problems)}")


def try_row(names: tuple[str, ...], wheels: dict[str, Path], constraints: Path, folder: Path) -> None:
    """Install packages one after the other into one environment, and try each before the next comes."""
    environment = folder / names[0]
    run("uv", "venv", "--quiet", environment, cwd=folder)
    python = environment / "bin" / "python"
    install = ("uv", "pip", "install", "--quiet", "--python", python, "--constraints", constraints)
    for name in names:
        project = project_of(name)
        distribution = project["project"]["name"]
        module = next((ROOT / "packages" / name / "src").iterdir()).name
        run(*install, f"{distribution} @ {wheels[distribution].as_uri()}", cwd=folder)
        run(python, "-W", "error", "-c", IMPORT_ALL, module, cwd=folder)
        if "tracer" not in names:
            packages = run("uv", "pip", "list", "--python", python, "--format", "freeze", cwd=folder)
            if found := TORCH & {line.partition("==")[0] for line in packages.splitlines()}:
                sys.exit(f"{distribution} brings {', '.join(sorted(found))}")
        extras = ",".join(project["project"].get("optional-dependencies", {}))
        group = ("--group", ROOT / "packages" / name / "pyproject.toml:test")
        run(*install, *group, f"{distribution}[{extras}] @ {wheels[distribution].as_uri()}", cwd=folder)
        tests = folder / f"{name}-tests" / "tests"
        if (ROOT / "packages" / name / "tests").exists():
            shutil.copytree(ROOT / "packages" / name / "tests", tests)
            files = [tests / file for file in SAMPLES[name]] if name in SAMPLES else [tests]
            options = ("-c", ROOT / "pyproject.toml", "--rootdir", tests.parent)
            print(name, run(python, "-m", "pytest", *options, *files, cwd=tests.parent).splitlines()[-1])


def main() -> None:
    """Try all packages; two rows at a time."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="hx-packages-") as name:
        folder = Path(name)
        run("uv", "build", "--quiet", "--wheel", "--all-packages", "--out-dir", folder / "wheels", cwd=ROOT)
        wheels = {wheel.name.partition("-")[0].replace("_", "-"): wheel for wheel in (folder / "wheels").glob("*.whl")}
        for wheel in wheels.values():
            check_wheel(wheel)
        constraints = folder / "constraints.txt"
        siblings = [f"{distribution} @ {wheel.as_uri()}" for distribution, wheel in wheels.items()]
        constraints.write_text("\n".join([*settings["tool"]["uv"]["constraint-dependencies"], *siblings]))
        with ThreadPoolExecutor(max_workers=2) as pool:
            for done in [pool.submit(try_row, row, wheels, constraints, folder) for row in ROWS]:
                done.result()


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
