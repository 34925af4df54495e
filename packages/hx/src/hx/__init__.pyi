from hx._analyze import analyze as analyze
from hx._compare import compare as compare
from hx._debug.debug import debug as debug
from hx._demo import demo as demo
from hx._export.export import export as export
from hx._export.exported import Export as Export
from hx._extract import extract as extract
from hx._fleet import fleet as fleet
from hx._functionize import functionize as functionize, inline as inline
from hx._hierarchy import modules as modules, nodes as nodes, tree as tree
from hx._models import ModelSpec as ModelSpec, load as load
from hx._profile import (
    compare_profiles as compare_profiles,
    profile as profile,
    profile_alone as profile_alone,
    profile_isolated as profile_isolated,
)
from hx._progress import Progress as Progress
from hx._redacted import command_line as command_line
from hx._replace import replace as replace
from hx._sidecars import project as project, relink as relink
from hx._split.join import join as join
from hx._split.split import split as split
from hx._suite import suite as suite
from hx._tap import tap as tap
from hx._validate import validate as validate
from hx._verify.run import verify as verify
from hx._view.page import report as report, show as show
from hx._view.view import view as view
from hx_extractor import Call as Call, Extraction as Extraction, Hierarchy as Hierarchy
from hx_profiler import Profile as Profile, ProfileComparison as ProfileComparison
from hx_sidecar_schema import HxError as HxError
