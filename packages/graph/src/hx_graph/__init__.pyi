from hx_graph._bodies import copied_attribute as copied_attribute
from hx_graph._checker import check_proto as check_proto
from hx_graph._cut_rule import Cut as Cut, CutGraph as CutGraph, Size as Size, SizeQuery as SizeQuery
from hx_graph._data_file import (
    INLINE_BYTES as INLINE_BYTES,
    SMALL_ELEMENTS as SMALL_ELEMENTS,
    DataFile as DataFile,
    has_data as has_data,
    is_small as is_small,
    is_unwritten as is_unwritten,
    lacks_weights as lacks_weights,
    written_ranges as written_ranges,
)
from hx_graph._dims import (
    INDEX_TYPES as INDEX_TYPES,
    UNKNOWN_DIMS as UNKNOWN_DIMS,
    can_be_equal as can_be_equal,
    dims_of as dims_of,
    dtype_name as dtype_name,
    evaluate_dim as evaluate_dim,
    is_size_query as is_size_query,
    queried_dims as queried_dims,
    shape_from as shape_from,
)
from hx_graph._examples import example_array as example_array, example_record as example_record
from hx_graph._files import (
    check_external as check_external,
    files_of as files_of,
    is_map as is_map,
    read_model as read_model,
    size_inside as size_inside,
    write_model as write_model,
)
from hx_graph._functions import (
    DOMAIN as DOMAIN,
    INLINED as INLINED,
    NAMES as NAMES,
    inline_functions as inline_functions,
    named_objects as named_objects,
    pack_names as pack_names,
)
from hx_graph._nested import (
    all_graphs as all_graphs,
    all_nodes as all_nodes,
    bodies_in as bodies_in,
    body_inputs as body_inputs,
    body_path as body_path,
    called_functions as called_functions,
    function_path as function_path,
    nested_graphs as nested_graphs,
    nodes_below as nodes_below,
    nodes_in as nodes_in,
    output_of as output_of,
    values_by_name as values_by_name,
    values_in as values_in,
)
from hx_graph._pointers import advice_on_pointer as advice_on_pointer
from hx_graph._random import drawing_nodes as drawing_nodes, drawn_values as drawn_values
from hx_graph._reads import (
    captured_values as captured_values,
    captures as captures,
    consumer_calls as consumer_calls,
    in_order as in_order,
    inputs_of as inputs_of,
    operands as operands,
    reads as reads,
    reads_in_order as reads_in_order,
)
from hx_graph._rows import CallTree as CallTree, check_rows as check_rows
from hx_graph._safetensors import StoredTensor as StoredTensor, stored_tensors as stored_tensors
from hx_graph._session import (
    NO_PREPACKING as NO_PREPACKING,
    WEIGHTS_IN_FILES as WEIGHTS_IN_FILES,
    import_runtime as import_runtime,
    make_session as make_session,
    open_session as open_session,
    refusal_of as refusal_of,
    return_freed_memory as return_freed_memory,
    run_session as run_session,
)
from hx_graph._types import (
    infer_queried_types as infer_queried_types,
    infer_types as infer_types,
    lacks_queried_types as lacks_queried_types,
    value_types as value_types,
    without_weights as without_weights,
)
from hx_graph._weights import (
    TensorSlot as TensorSlot,
    constant_of as constant_of,
    has_large_weights as has_large_weights,
    initializer_rows as initializer_rows,
    replaced_tensors as replaced_tensors,
    tensors_in as tensors_in,
)
from hx_graph._well_formed import bring_into_order as bring_into_order, ensure_well_formed as ensure_well_formed
