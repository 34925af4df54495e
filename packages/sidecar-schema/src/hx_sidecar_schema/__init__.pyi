from hx_sidecar_schema._collector import collector_paused as collector_paused, fewer_collections as fewer_collections
from hx_sidecar_schema._context import (
    CONTEXT_VERSION as CONTEXT_VERSION,
    Fingerprint as Fingerprint,
    ModuleContext as ModuleContext,
    Observation as Observation,
    Operation as Operation,
    PortValue as PortValue,
    sample_positions as sample_positions,
)
from hx_sidecar_schema._digest import file_digest as file_digest, graph_digest as graph_digest
from hx_sidecar_schema._errors import (
    ForeignSidecar as ForeignSidecar,
    HxError as HxError,
    MissingKernel as MissingKernel,
    MissingSidecar as MissingSidecar,
    MissingValue as MissingValue,
    ModelDoesNotRun as ModelDoesNotRun,
    RuntimeRefusal as RuntimeRefusal,
    UnavailableValue as UnavailableValue,
    UnfitInputs as UnfitInputs,
    UnknownCall as UnknownCall,
    check_choice as check_choice,
    first_line as first_line,
)
from hx_sidecar_schema._files import (
    SIDECAR_SUFFIX as SIDECAR_SUFFIX,
    atomic_folder as atomic_folder,
    final_folder as final_folder,
    finish_writes as finish_writes,
    finished as finished,
    read_file as read_file,
    refuse_existing as refuse_existing,
)
from hx_sidecar_schema._lazy import lazy_package as lazy_package
from hx_sidecar_schema._namespaces import namespaces as namespaces
from hx_sidecar_schema._patterns import find_calls as find_calls, share_of as share_of
from hx_sidecar_schema._records import (
    SIDECAR_VERSION as SIDECAR_VERSION,
    CategoryStatistics as CategoryStatistics,
    Confidence as Confidence,
    CutFrom as CutFrom,
    Disagreement as Disagreement,
    Evidence as Evidence,
    Example as Example,
    FileName as FileName,
    Initializer as Initializer,
    ModelInfo as ModelInfo,
    Module as Module,
    ModuleCall as ModuleCall,
    Node as Node,
    Port as Port,
    Provenance as Provenance,
    Record as Record,
    RecoveredNode as RecoveredNode,
    Replacement as Replacement,
    Status as Status,
    Summary as Summary,
    TensorInfo as TensorInfo,
    depths as depths,
    lean as lean,
    listed as listed,
    node_name as node_name,
    subtree_ends as subtree_ends,
)
from hx_sidecar_schema._sidecar import (
    EMBEDDED as EMBEDDED,
    Sidecar as Sidecar,
    embedded as embedded,
    from_embedded as from_embedded,
)
from hx_sidecar_schema._strategies import (
    STRATEGIES as STRATEGIES,
    Strategy as Strategy,
    find_strategy as find_strategy,
    with_witness as with_witness,
)
from hx_sidecar_schema._table import Table as Table
from hx_sidecar_schema._tags import (
    CONTAINERS as CONTAINERS,
    TorchNN as TorchNN,
    build_tags as build_tags,
    is_tagged as is_tagged,
    simple_name as simple_name,
)
from hx_sidecar_schema._threads import Shared as Shared, ignore_warnings as ignore_warnings, redirected as redirected
from hx_sidecar_schema._visible import visible as visible
