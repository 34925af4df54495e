from hx_projector._categories import (
    CATEGORIES as CATEGORIES,
    UNCATEGORISED as UNCATEGORISED,
    Category as Category,
    category_of as category_of,
)
from hx_projector._claims import AttributionInput as AttributionInput, Claim as Claim, Source as Source
from hx_projector.attribution.assemble import assemble as assemble
from hx_projector.attribution.project import project as project, project_file as project_file
from hx_projector.comparison.canonical import function_form as function_form, structural_digest as structural_digest
from hx_projector.comparison.configuration import operator_configuration as operator_configuration
from hx_projector.comparison.difference import GraphDifference as GraphDifference, graph_difference as graph_difference
from hx_projector.comparison.forms import form_digest as form_digest
from hx_projector.comparison.ordered import first_difference as first_difference
from hx_projector.comparison.signature import (
    operator_of as operator_of,
    outputs_of as outputs_of,
    plain_attributes as plain_attributes,
)
from hx_projector.comparison.walk import operands as operands, walk_order as walk_order
from hx_projector.cost.arithmetic import Arithmetic as Arithmetic
from hx_projector.cost.calls import CallCost as CallCost, call_costs as call_costs, total_cost as total_cost
from hx_projector.cost.nodes import (
    ModelCost as ModelCost,
    NodeCost as NodeCost,
    Weight as Weight,
    model_cost as model_cost,
)
from hx_projector.cost.records import Cost as Cost, TotalCost as TotalCost, UnknownOperator as UnknownOperator
from hx_projector.file_metadata.contents import (
    embed as embed,
    redact_numbers as redact_numbers,
    redact_record as redact_record,
    redact_text as redact_text,
    restored_metadata as restored_metadata,
    strip_metadata as strip_metadata,
)
from hx_projector.file_metadata.context import with_file_claims as with_file_claims
from hx_projector.relinking.original import Original as Original, original_of as original_of
from hx_projector.relinking.reading import read_original as read_original
from hx_projector.relinking.relink import MERGER as MERGER, carry_over as carry_over, relink as relink
from hx_projector.validation.findings import (
    MEANINGS as MEANINGS,
    Change as Change,
    Finding as Finding,
    Meaning as Meaning,
)
from hx_projector.validation.repair import Repair as Repair, repair as repair
from hx_projector.validation.run import ValidationResult as ValidationResult, validate as validate
