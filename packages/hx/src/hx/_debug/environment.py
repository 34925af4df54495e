"""What a program runs on: asked for with every fault."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys

from hx._provenance import PACKAGES
from hx.records.debug import Environment

OTHERS = ("torch", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy", "pydantic")
VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "HF_HUB_OFFLINE",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "PYTORCH_JIT",
    "SOURCE_DATE_EPOCH",
    "TORCHDYNAMO_DISABLE",
    "TORCH_LOGS",
)


def environment() -> Environment:
    """Return versions, machine and settings, as they are now. Names of user and machine are not among them."""
    return Environment(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=platform.platform(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=_memory(),
        peak_memory_bytes=_peak(),
        torch_threads=sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None,
        onnxruntime_providers=_providers(),
        versions=_versions((*PACKAGES, *OTHERS)),
        variables={name: os.environ[name] for name in VARIABLES if name in os.environ},
    )


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _peak() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _providers() -> list[str]:
    try:
        import onnxruntime
    except ImportError:
        return []
    return list(onnxruntime.get_available_providers())
