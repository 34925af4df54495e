from hx_surgery._edited import edited_sidecar as edited_sidecar
from hx_surgery._replace import Part as Part, Replaced as Replaced, replace as replace
from hx_surgery._tap import Tap as Tap, Tapped as Tapped, tap as tap
from hx_surgery.functions.forms import FormFunction as FormFunction
from hx_surgery.functions.functionize import Functionized as Functionized, functionize as functionize
from hx_surgery.stages.files import has_large_weights as has_large_weights, write_stages as write_stages
from hx_surgery.stages.join import Joined as Joined
from hx_surgery.stages.records import STAGES_FILE as STAGES_FILE, Stage as Stage, Stages as Stages, Wire as Wire
from hx_surgery.stages.split import Plan as Plan, StageModel as StageModel
from hx_surgery.suite.folder import check_folder as check_folder
from hx_surgery.suite.records import (
    SUITE_KINDS as SUITE_KINDS,
    By as By,
    LeftOut as LeftOut,
    Manifest as Manifest,
    SuiteCase as SuiteCase,
    SuiteModel as SuiteModel,
)
from hx_surgery.suite.survey import SuiteSource as SuiteSource
from hx_surgery.suite.write import write_suite as write_suite
