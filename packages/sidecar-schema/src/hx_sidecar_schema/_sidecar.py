"""The sidecar: everything hx knows about one ONNX file, beside it as NAME_hierarchy.json."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from hx_sidecar_schema._collector import collector_paused
from hx_sidecar_schema._digest import file_digest
from hx_sidecar_schema._errors import HxError, MissingSidecar
from hx_sidecar_schema._files import atomic_folder, read_file
from hx_sidecar_schema._migrate import migrate
from hx_sidecar_schema._records import (
    SIDECAR_VERSION,
    Contents,
    Initializer,
    Module,
    ModuleCall,
    Record,
    lean,
    node_name,
    subtree_ends,
)
from hx_sidecar_schema._references import broken_references


class Sidecar(Contents):
    """Modules, calls, nodes and initializers of one ONNX file, and how each is known."""

    def module_of(self, call: ModuleCall) -> Module:
        """Return the module that a call ran."""
        return self.modules[call.module]

    def tag(self, call: ModuleCall) -> str:
        """Return the tag of a call: the module's, with `@1`, `@2` for later calls."""
        tag = self.modules[call.module].tag
        return f"{tag}@{call.index}" if call.index else tag

    def display_tag(self, row: int) -> str:
        """Return the tag that a node owned by this call shows: its nearest tagged call's."""
        while not self.module_of(self.calls[row]).tagged and (parent := self.calls[row].parent) is not None:
            row = parent
        return self.tag(self.calls[row])

    def stored_names_of(self, rows: Iterable[Initializer]) -> dict[str, str]:
        """Return those of `stored_names` that some weights have, or what they were computed from."""
        named = {name for row in rows for name in (row.parameter, *row.aliases, *row.merged, *(row.sources or ()))}
        return {name: stored for name, stored in self.stored_names.items() if name in named}

    @cached_property
    def calls_made(self) -> int:
        """How many calls ran: the rows of modules that were not called stand for none."""
        return sum(call.status != "not_called" for call in self.calls)

    @cached_property
    def is_relinked(self) -> bool:
        """Whether the model was made of another, and its owners carried over from that one."""
        return any(node.evidence == "lineage" for node in self.nodes)

    @cached_property
    def subtree_end(self) -> list[int]:
        """For each call, the row after its last descendant: calls are in pre-order."""
        return subtree_ends([call.parent for call in self.calls])

    @cached_property
    def module_to_operations(self) -> dict[str, list[str]]:
        """Tag to the nodes that show it, as `graph:output`."""
        operations: dict[str, list[str]] = {}
        for node, tag in zip(self.nodes, self.operation_hierarchy.values(), strict=True):
            operations.setdefault(tag, []).append(node_name(*node.key))
        return operations

    @cached_property
    def operation_hierarchy(self) -> dict[str, str]:
        """Node, as `graph:output`, to the tag that it shows."""
        tags = [self.display_tag(row) for row in range(len(self.calls))]
        return {node_name(*node.key): tags[node.owner] for node in self.nodes}

    def with_file_digest(self, path: Path) -> Sidecar:
        """Return the sidecar with the digest of the ONNX file that it belongs to.

        Raises:
            OSError: If the file cannot be read.
        """
        info = self.model.model_copy(update={"file_digest": file_digest(path)})
        return self.model_copy(update={"model": info})

    def to_json(self) -> bytes:
        """Return the file's bytes: equal sidecars give equal bytes; one row a line."""
        parts: list[bytes] = []
        for field in type(self).model_fields:
            value: Any = SIDECAR_VERSION if field == "schema_version" else getattr(self, field)
            if isinstance(value, list):
                rows = [row.__pydantic_serializer__.to_json(row, exclude_defaults=True) for row in value]
                body = b"[\n" + b",\n".join(rows) + b"\n]" if rows else b"[]"
            elif isinstance(value, Record):
                body = to_json(value.model_dump(mode="json", exclude_defaults=False))
            else:
                body = to_json(value)
            parts.append(to_json(field) + b": " + body)
        return b"{\n" + b",\n".join(parts) + b"\n}\n"

    def save(self, path: Path) -> None:
        """Write the file whole or not at all.

        Raises:
            HxError: HX306 if it cannot be written.
        """
        with atomic_folder(path.parent) as staging:
            (staging / path.name).write_bytes(self.to_json())

    @classmethod
    def load(cls, path: str | Path, *, check: bool = True) -> Sidecar:
        """Read a sidecar of this or an older major version, or of a newer minor one.

        Rows must lead where they say; who reads one without `check` looks for what is wrong with it.

        Raises:
            HxError: HX301 if there is no such file, HX302 if it is no JSON, HX303 if a newer hx wrote it,
                HX304 if a field is missing or of the wrong type, or a row refers to one that is not there.
        """
        path = Path(path)
        try:
            content = read_file(path)
        except OSError as error:
            hint = "Let this user read it."
            if isinstance(error, FileNotFoundError):
                hint = "Run `hx relink` if a tool made the model of an export, `hx project` if it comes from elsewhere."
            raise MissingSidecar(f"Sidecar {str(path)!r} cannot be read: {error.strerror}.", hint=hint) from error
        return cls.from_json(content, path, check=check)

    @classmethod
    @collector_paused()
    def from_json(cls, content: bytes, path: Path, *, check: bool = True) -> Sidecar:
        """Read a sidecar from what `to_json` gave; messages say that it comes from `path`. See `load` for `check`.

        Raises:
            HxError: HX302 to HX304 as `load` does.
        """
        try:
            data = from_json(content)
        except ValueError as error:
            message = f"Sidecar {str(path)!r} is not JSON, or is cut short: {error}."
            raise HxError(message, code="HX302", hint="Export the model again.") from error
        data = migrate(data, path, SIDECAR_VERSION)
        try:
            sidecar = cls.model_validate(data)
            if check and (broken := next(broken_references(sidecar), "")):
                raise ValueError(broken)
        except ValueError as error:
            first = error.errors()[0] if isinstance(error, ValidationError) else None
            broken = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}" if first else error
            raise HxError(
                f"Sidecar {str(path)!r} does not fit its schema: {broken}.",
                code="HX304",
                hint="Export the model again, or see all that is wrong with `hx validate`.",
            ) from error
        ports = (port for call in sidecar.calls for port in (*call.inputs, *call.outputs))
        for row in chain(sidecar.nodes, sidecar.calls, sidecar.modules, sidecar.initializers, ports):
            lean(row)
        return sidecar


EMBEDDED = "pkg.hx.sidecar"
"""Key among a model's metadata under which a sidecar may lie."""


def embedded(sidecar: Sidecar) -> str:
    """Return a sidecar as the text that a model's metadata holds: base64 of the zlib-compressed file."""
    return base64.b64encode(zlib.compress(sidecar.to_json(), 9)).decode()


def from_embedded(text: str, path: Path, *, check: bool = True) -> Sidecar:
    """Read a sidecar from what `embedded` gave; messages name the model by its `path`. See `Sidecar.load` for `check`.

    Raises:
        HxError: HX302 if it is damaged, HX303 and HX304 as `Sidecar.load` does.
    """
    try:
        content = zlib.decompress(base64.b64decode(text, validate=True))
    except (ValueError, zlib.error) as error:
        message = f"The sidecar inside {str(path)!r} is damaged: {error}."
        raise HxError(message, code="HX302", hint="Export the model again.") from error
    return Sidecar.from_json(content, path, check=check)
