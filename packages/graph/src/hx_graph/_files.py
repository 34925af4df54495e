"""Reading and writing ONNX files."""

import logging
import stat
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import onnx
import onnx_ir as ir

from hx_graph._data_file import DataFile, has_data
from hx_graph._functions import inline_functions
from hx_graph._nested import all_graphs
from hx_graph._pointers import advice_on_pointer
from hx_graph._weights import TensorSlot, has_large_weights, in_memory, replaced_tensors, tensors_in
from hx_graph._well_formed import bring_into_order, check_texts, ensure_well_formed
from hx_sidecar_schema import SIDECAR_SUFFIX, HxError, collector_paused, finished, first_line

# Of what is wrong with a file, onnx_ir (1.1) writes to a log too, which Python shows where nobody has set one up.
logging.getLogger("onnx_ir").addHandler(logging.NullHandler())

COPY = "Copy it beside the model, or export the model again."
_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def read_model(path: Path, *, check: bool = True) -> ir.Model:
    """Read an ONNX file; external data is found but not read.

    Nodes must read what exists, and form no circle; who reads a model without `check` looks for what is wrong with it.
    Functions that stand for module calls are inlined: `inline_functions`.

    Raises:
        HxError: HX202 if the file is missing or is no ONNX model, HX204 if external data is missing, cut short, no
            regular file, or outside the file's folder.
    """
    if path.name.endswith(SIDECAR_SUFFIX):
        model_file = path.with_name(path.name.removesuffix(SIDECAR_SUFFIX) + ".onnx")
        where = "" if model_file.exists() else ", which is not beside it"
        message = f"File {str(path)!r} is the sidecar of a model, not the model."
        raise HxError(message, code="HX202", hint=f"Name {str(model_file)!r}{where}.")
    try:
        if finished(path).exists() and not path.is_file():
            raise OSError("it is no regular file")  # a FIFO would be waited for
        with collector_paused():
            model = _load(path)
        if len(model.graph) == 0 and not model.graph.outputs:
            raise ValueError("it holds no graph")
        check_texts(model)
        if check:
            ensure_well_formed(model)
        with nullcontext() if check else suppress(ValueError):  # who looks for what is wrong finds the circle too
            bring_into_order(model)
        inline_functions(model)
    except OSError as error:
        message = f"ONNX file {str(path)!r} cannot be read: {error.strerror or error}."
        raise HxError(message, code="HX202", hint="Name an .onnx file.") from error
    except Exception as error:
        # protobuf and onnx_ir raise many kinds for bytes that are no model.
        cause: BaseException = error  # the innermost: onnx_ir says there what is wrong
        while cause.__cause__ is not None:
            cause = cause.__cause__
        unread = isinstance(cause, NotImplementedError)
        wrong = "holds what onnx_ir does not read" if unread else "is no valid ONNX model"
        message = f"File {str(path)!r} {wrong}: {first_line(cause).rstrip('.')}."
        raise HxError(
            message,
            code="HX202",
            hint=advice_on_pointer(path) or ("Write the model without that." if unread else "Name another file."),
        ) from error
    check_external(((slot.name, slot.tensor) for slot in tensors_in(model)), path)
    return model


def _load(path: Path) -> ir.Model:
    proto = onnx.load(path, load_external_data=False)
    for graph in (proto.graph, *proto.functions):
        drop_map_types(graph)
    return ir.from_proto(proto)


def drop_map_types(graph: onnx.GraphProto | onnx.FunctionProto) -> None:
    """Leave maps without a type: classifiers of scikit-learn have them as output, and onnx_ir (1.1) reads none.

    Raises:
        NotImplementedError: For sparse initializers, which onnx_ir (1.1) leaves out without a word.
    """
    ends = [*graph.input, *graph.output] if isinstance(graph, onnx.GraphProto) else []
    if isinstance(graph, onnx.GraphProto) and graph.sparse_initializer:
        raise NotImplementedError(f"the sparse initializer {graph.sparse_initializer[0].values.name!r}")
    for value in (*ends, *graph.value_info):
        if is_map(value.type):
            value.ClearField("type")
    for node in graph.node:
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs) if attribute.type in _GRAPHS else ():
                drop_map_types(body)


def is_map(kind: onnx.TypeProto) -> bool:
    """Say whether a type is that of a map, or of a sequence of maps."""
    while kind.WhichOneof("value") in ("sequence_type", "optional_type"):
        kind = kind.sequence_type.elem_type if kind.HasField("sequence_type") else kind.optional_type.elem_type
    return kind.HasField("map_type")


def write_model(model: ir.Model, path: Path, *, data_file: bool | None = None, kept_below: Path | None = None) -> None:
    """Write a model with all its tensors, not in one step: the files refer to no other files.

    Weights go to `NAME.data` beside it if `data_file`; None for weights beyond 16 MiB. What lies in files is copied in
    pieces, and holes of these are holes of the data file. Large weights in files below the folder `kept_below`, in which
    the model will lie, stay where they are: it refers to these.
    """
    if data_file is None:
        data_file = has_large_weights(model.graph)
    large = {id(tensor) for tensor in _initializers(model) if has_data(tensor)} if data_file else {}
    if not large:
        with replaced_tensors(model, in_memory):
            ir.save(model, path)
        return
    with path.with_name(f"{path.name}.data").open("wb") as file:
        data = DataFile(file, f"{path.name}.data")

        def placed(slot: TensorSlot) -> ir.TensorProtocol | None:
            if id(slot.tensor) not in large:
                return in_memory(slot)
            return _kept(slot.tensor, kept_below) or data.put(slot.tensor)

        with replaced_tensors(model, placed):
            ir.save(model, path)
        is_empty = not file.tell()
    if is_empty:
        path.with_name(f"{path.name}.data").unlink()


def _kept(tensor: ir.TensorProtocol, folder: Path | None) -> ir.ExternalTensor | None:
    """Return a tensor in a file below a folder as one that models in the folder refer to; None for others."""
    if folder is None or not isinstance(tensor, ir.ExternalTensor):
        return None
    file = Path(tensor.path).resolve()
    if not file.is_relative_to(folder.resolve()):
        return None
    location = file.relative_to(folder.resolve()).as_posix()
    shape = ir.Shape(tensor.shape.numpy())
    return ir.ExternalTensor(location, tensor.offset, tensor.nbytes, tensor.dtype, shape=shape, name=str(tensor.name))


def _initializers(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    for graph in all_graphs(model):
        if isinstance(graph, ir.Graph):
            yield from (value.const_value for value in graph.initializers.values() if value.const_value is not None)


def files_of(path: Path, model: ir.Model | None = None) -> Iterator[Path]:
    """Yield the files of a model: its own, its sidecar, and data wherever tensors refer to it; `model` if it was read.

    Raises:
        HxError: HX202 or HX204 as `read_model` does.
    """
    yield from (path, path.with_name(f"{path.stem}{SIDECAR_SUFFIX}"))
    tensors = (slot.tensor for slot in tensors_in(read_model(path) if model is None else model))
    yield from {Path(tensor.path) for tensor in tensors if isinstance(tensor, ir.ExternalTensor)}


def check_external(tensors: Iterable[tuple[str, ir.TensorProtocol]], path: Path) -> None:
    """Refuse what is no whole regular file inside the folder of a model's file, wherever it is referred to, before it is opened.

    Args:
        tensors: Of the model, with their names; those that lie in files are checked.
        path: Of the model.

    Raises:
        HxError: HX204, or HX202 for a type that may not be external.
    """
    folder = path.parent.resolve()
    sizes: dict[str, int] = {}
    for name, tensor in tensors:
        if not isinstance(tensor, ir.ExternalTensor):
            continue
        tensor.base_dir = path.parent  # onnx_ir 1.1 gives tensors in functions none, and checks nothing there
        if tensor.dtype in (ir.DataType.UNDEFINED, ir.DataType.STRING):
            message = f"Tensor {name!r} of {str(path)!r} has no element type that may be external data."
            raise HxError(message, code="HX202", hint="Name another file.")
        location = str(tensor.location)
        if location not in sizes:
            sizes[location] = size_inside(folder, location, f"External data {location!r} of {str(path)!r}")
        offset = tensor.offset or 0
        is_whole = offset >= 0 and offset + tensor.nbytes <= sizes[location] and tensor.length in (None, tensor.nbytes)
        if not is_whole:
            message = f"External data {location!r} of {str(path)!r} is cut short: it does not hold {name!r}."
            raise HxError(message, code="HX204", hint=advice_on_pointer(folder / location) or COPY)


def size_inside(folder: Path, location: str, what: str) -> int:
    """Return the size in bytes of a data file of models in a folder, which is no link; `what` names it in errors.

    Raises:
        HxError: HX204 if it is missing, no regular file, outside the folder, or has other names.
    """
    data = folder / location
    if "\0" in location or ".." in Path(location).parts or not data.resolve().is_relative_to(folder):
        hint = "Put the data file itself beside the model; hx reads no other place and follows no link to one."
        raise HxError(f"{what} lies outside the model's folder.", code="HX204", hint=hint)
    try:
        info = data.stat()
    except OSError as error:
        raise HxError(f"{what} is missing.", code="HX204", hint=COPY) from error
    if not stat.S_ISREG(info.st_mode):
        raise HxError(f"{what} is no regular file.", code="HX204", hint="Put the data file itself beside the model.")
    if info.st_nlink > 1:  # onnx_ir 1.1 opens no such file: another name may lie outside the folder
        message = f"{what} has {info.st_nlink} names (hard links)."
        raise HxError(message, code="HX204", hint="Copy the file and use the copy.")
    return info.st_size
