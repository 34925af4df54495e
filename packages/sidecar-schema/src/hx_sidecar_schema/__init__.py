"""The versioned records that pass between hx's packages and into files."""

from hx_sidecar_schema._collector import collector_paused
from hx_sidecar_schema._context import CONTEXT_VERSION, ModuleContext
from hx_sidecar_schema._digest import file_digest, graph_digest
from hx_sidecar_schema._errors import HxError
from hx_sidecar_schema._files import replacing, settled
from hx_sidecar_schema._observation import (
    Fingerprint,
    Observation,
    Operation,
    PortValue,
    sample_positions,
)
from hx_sidecar_schema._patterns import find_calls
from hx_sidecar_schema._records import (
    CategoryStatistics,
    Confidence,
    CutFrom,
    Disagreement,
    Evidence,
    Example,
    Generator,
    Initializer,
    ModelInfo,
    Module,
    ModuleCall,
    Node,
    Port,
    Record,
    RecoveredNode,
    Status,
    Summary,
    TensorInfo,
)
from hx_sidecar_schema._sidecar import EMBEDDED, SIDECAR_VERSION, Sidecar, embedded, from_embedded
from hx_sidecar_schema._strategies import STRATEGIES, Strategy, find_strategy, with_witness
from hx_sidecar_schema._tags import CONTAINERS, TorchNN, build_tags, is_tagged, simple_name

__all__ = [
    "CONTAINERS",
    "CONTEXT_VERSION",
    "EMBEDDED",
    "SIDECAR_VERSION",
    "STRATEGIES",
    "CategoryStatistics",
    "Confidence",
    "CutFrom",
    "Disagreement",
    "Evidence",
    "Example",
    "Fingerprint",
    "Generator",
    "HxError",
    "Initializer",
    "ModelInfo",
    "Module",
    "ModuleCall",
    "ModuleContext",
    "Node",
    "Observation",
    "Operation",
    "Port",
    "PortValue",
    "Record",
    "RecoveredNode",
    "Sidecar",
    "Status",
    "Strategy",
    "Summary",
    "TensorInfo",
    "TorchNN",
    "build_tags",
    "collector_paused",
    "embedded",
    "file_digest",
    "find_calls",
    "find_strategy",
    "from_embedded",
    "graph_digest",
    "is_tagged",
    "replacing",
    "sample_positions",
    "settled",
    "simple_name",
    "with_witness",
]
