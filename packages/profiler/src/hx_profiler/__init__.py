"""Time by module call: ONNX Runtime's own profile, read with a sidecar. Imports no torch, ever."""

import hx_graph as hx_graph  # before onnx_ir, which then does without sympy
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
