"""Export PyTorch models to ONNX, know which module call made every node, cut any call out as a model of its own.

Example:
    >>> import torch, hx
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    >>> exported = hx.export(model, (torch.ones(2, 4),))
    >>> part = exported["0"].extract()
    >>> part.run(part.example_inputs())["output"].shape
    (2, 3)

Importing this module imports neither torch nor onnx_ir; each function imports what it needs when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import hx_graph as hx_graph  # before onnx_ir, which then does without sympy
from hx_sidecar_schema import lazy_names

if TYPE_CHECKING:
    from hx._analysis.analyze import analyze
    from hx._command_line import command_line
    from hx._compare import compare
    from hx._debug.debug import debug
    from hx._demo import demo
    from hx._export import Export, export
    from hx._extract import extract
    from hx._hierarchy.modules import modules
    from hx._hierarchy.nodes import nodes
    from hx._hierarchy.tree import tree
    from hx._load import load
    from hx._model_spec import ModelSpec
    from hx._profile import compare_profiles, profile, profile_isolated
    from hx._progress import Progress
    from hx._project import project
    from hx._relink import relink
    from hx._validate import validate
    from hx._verify.run import verify
    from hx_extractor import Call, Extraction, Hierarchy
    from hx_profiler import Profile, ProfileComparison
    from hx_sidecar_schema import HxError

__all__ = [
    "Call",
    "Export",
    "Extraction",
    "Hierarchy",
    "HxError",
    "ModelSpec",
    "Profile",
    "ProfileComparison",
    "Progress",
    "analyze",
    "command_line",
    "compare",
    "compare_profiles",
    "debug",
    "demo",
    "export",
    "extract",
    "load",
    "modules",
    "nodes",
    "profile",
    "profile_isolated",
    "project",
    "relink",
    "tree",
    "validate",
    "verify",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "hx_extractor": ("Call", "Extraction", "Hierarchy"),
        "hx_profiler": ("Profile", "ProfileComparison"),
        "hx_sidecar_schema": ("HxError",),
        "._analysis.analyze": ("analyze",),
        "._compare": ("compare",),
        "._debug.debug": ("debug",),
        "._demo": ("demo",),
        "._export": ("Export", "export"),
        "._extract": ("extract",),
        "._hierarchy.modules": ("modules",),
        "._hierarchy.nodes": ("nodes",),
        "._hierarchy.tree": ("tree",),
        "._load": ("load",),
        "._model_spec": ("ModelSpec",),
        "._profile": ("compare_profiles", "profile", "profile_isolated"),
        "._progress": ("Progress",),
        "._project": ("project",),
        "._command_line": ("command_line",),
        "._relink": ("relink",),
        "._validate": ("validate",),
        "._verify.run": ("verify",),
    },
)
