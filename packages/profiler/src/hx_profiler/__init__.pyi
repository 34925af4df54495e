from hx_profiler._records import (
    PROFILE_VERSION as PROFILE_VERSION,
    CallTime as CallTime,
    Kernel as Kernel,
    Profile as Profile,
    Settings as Settings,
)
from hx_profiler._run import (
    LEVELS as LEVELS,
    Execution as Execution,
    execute as execute,
    read_executed as read_executed,
)
from hx_profiler._trace import Trace as Trace, read_trace as read_trace
from hx_profiler.attribution.attribute import Measurement as Measurement, attribute as attribute
from hx_profiler.formats.csv import to_csv as to_csv
from hx_profiler.formats.html import to_html as to_html
from hx_profiler.formats.timelines import to_chrome_trace as to_chrome_trace, to_speedscope as to_speedscope
from hx_profiler.reports.isolated import (
    AloneCall as AloneCall,
    IsolatedCall as IsolatedCall,
    SpanningKernel as SpanningKernel,
    beside_model as beside_model,
    time_alone as time_alone,
)
from hx_profiler.reports.modules import (
    ModuleChange as ModuleChange,
    ModuleTime as ModuleTime,
    ProfileComparison as ProfileComparison,
    by_module as by_module,
    compare as compare,
    slowest as slowest,
)
