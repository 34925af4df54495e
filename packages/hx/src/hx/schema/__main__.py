"""`python -m hx.schema`: write the published schemas again, after a change of a report."""

from pathlib import Path

from hx.schema import current_schema, schema_names

for _name in schema_names():
    (Path(__file__).parent / _name).write_text(current_schema(_name), encoding="utf-8", newline="\n")
