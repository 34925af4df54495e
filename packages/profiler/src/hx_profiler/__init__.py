"""Time by module call: ONNX Runtime's own profile, read with a sidecar. Imports no torch, ever.

Nothing is imported before it is used: the records need neither NumPy nor onnx-ir.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import hx_graph as hx_graph  # before onnx_ir, which then does without sympy
from hx_sidecar_schema import lazy_names

if TYPE_CHECKING:
    from hx_profiler._feeds import Arrays, feeds_of
    from hx_profiler._records import PROFILE_VERSION, CallTime, Kernel, Profile, Settings
    from hx_profiler._run import LEVELS, Execution, execute, read_executed
    from hx_profiler._trace import Trace, read_trace
    from hx_profiler.attribution.attribute import Measurement, attribute
    from hx_profiler.formats.chrome import to_chrome_trace
    from hx_profiler.formats.html import to_html
    from hx_profiler.formats.speedscope import to_speedscope
    from hx_profiler.reports.compare import ModuleChange, ProfileComparison, compare
    from hx_profiler.reports.csv import to_csv
    from hx_profiler.reports.isolated import IsolatedCall, SpanningKernel, isolate
    from hx_profiler.reports.modules import ModuleTime, by_module, slowest

__all__ = [
    "LEVELS",
    "PROFILE_VERSION",
    "Arrays",
    "CallTime",
    "Execution",
    "IsolatedCall",
    "Kernel",
    "Measurement",
    "ModuleChange",
    "ModuleTime",
    "Profile",
    "ProfileComparison",
    "Settings",
    "SpanningKernel",
    "Trace",
    "attribute",
    "by_module",
    "compare",
    "execute",
    "feeds_of",
    "isolate",
    "read_executed",
    "read_trace",
    "slowest",
    "to_chrome_trace",
    "to_csv",
    "to_html",
    "to_speedscope",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "._feeds": ("Arrays", "feeds_of"),
        "._records": ("PROFILE_VERSION", "CallTime", "Kernel", "Profile", "Settings"),
        "._run": ("LEVELS", "Execution", "execute", "read_executed"),
        "._trace": ("Trace", "read_trace"),
        ".attribution.attribute": ("Measurement", "attribute"),
        ".formats.chrome": ("to_chrome_trace",),
        ".formats.html": ("to_html",),
        ".formats.speedscope": ("to_speedscope",),
        ".reports.compare": ("ModuleChange", "ProfileComparison", "compare"),
        ".reports.csv": ("to_csv",),
        ".reports.isolated": ("IsolatedCall", "SpanningKernel", "isolate"),
        ".reports.modules": ("ModuleTime", "by_module", "slowest"),
    },
)
