from hx_tracer.exporting.context import observed_context as observed_context
from hx_tracer.exporting.errors import ExportError as ExportError
from hx_tracer.exporting.export import Exported as Exported, export as export, export_with_first as export_with_first
from hx_tracer.exporting.in_files import refer_to_files as refer_to_files
from hx_tracer.exporting.plain import plain_export as plain_export
from hx_tracer.exporting.request import ExportRequest as ExportRequest
from hx_tracer.exporting.results import other_structure as other_structure, outputs_of as outputs_of
from hx_tracer.inputs.arguments import (
    Arguments as Arguments,
    argument_leaves as argument_leaves,
    argument_paths as argument_paths,
    as_real as as_real,
    example_record as example_record,
    identifier as identifier,
    input_paths as input_paths,
    matching_paths as matching_paths,
    named_parameters as named_parameters,
    nested as nested,
    split_arguments as split_arguments,
    tensors_in as tensors_in,
    with_leaves as with_leaves,
)
from hx_tracer.inputs.dynamic_axes import dynamic_shapes as dynamic_shapes, free_axes as free_axes
from hx_tracer.inputs.example import (
    ExampleInputs as ExampleInputs,
    as_tensor as as_tensor,
    example_inputs as example_inputs,
)
from hx_tracer.inputs.file import read_inputs as read_inputs
from hx_tracer.inputs.generate import float_dtype as float_dtype
from hx_tracer.models.implementations import set_implementation as set_implementation
from hx_tracer.models.records import check_torch_nn as check_torch_nn, module_records as module_records
from hx_tracer.models.spec import LoadedModel as LoadedModel, load_model as load_model
from hx_tracer.models.tiny import architectures as architectures
from hx_tracer.watch.call_values import (
    CallValues as CallValues,
    record_call_values as record_call_values,
    record_exact_values as record_exact_values,
)
from hx_tracer.watch.file_weights import FileWeights as FileWeights
from hx_tracer.watch.ports import (
    forward_signature as forward_signature,
    input_ports as input_ports,
    output_ports as output_ports,
)
from hx_tracer.watch.preserve import preserve_state as preserve_state
from hx_tracer.watch.unread import is_unread as is_unread
