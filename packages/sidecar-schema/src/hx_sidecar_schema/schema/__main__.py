"""`python -m hx_sidecar_schema.schema`: write the published schemas again, after a change of a record."""

from pathlib import Path

from hx_sidecar_schema.schema import SCHEMAS, current_schema

for _name in SCHEMAS:
    (Path(__file__).parent / _name).write_text(current_schema(_name), encoding="utf-8", newline="\n")
