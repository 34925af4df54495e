"""The JSON Schemas of the files, published with the package, those of older versions too.

After a change of a record, `python -m hx_sidecar_schema.schema` writes them again.
"""

import json
from importlib.resources import files

from hx_sidecar_schema._context import CONTEXT_VERSION, ModuleContext
from hx_sidecar_schema._records import SIDECAR_VERSION
from hx_sidecar_schema._sidecar import Sidecar

SCHEMAS: dict[str, type[Sidecar] | type[ModuleContext]] = {
    f"sidecar-{SIDECAR_VERSION}.json": Sidecar,
    f"context-{CONTEXT_VERSION}.json": ModuleContext,
}
"""File name to the record that it describes, for the versions that are written now."""


def published_schema(name: str) -> str:
    """Return the text of a published schema: a key of `SCHEMAS`, `sidecar-1.0.json` or `context-1.0.json`."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def current_schema(name: str) -> str:
    """Return what a schema of `SCHEMAS` would be, made from the records as they are now."""
    schema = SCHEMAS[name].model_json_schema(mode="validation")
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=1) + "\n"
