"""The JSON Schemas of what `--json` prints, published with the package.

After a change of a report, `python -m hx.schema` writes them again.
"""

import json
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, RootModel
from pydantic.json_schema import GenerateJsonSchema

from hx.records.analyze import AnalyzeReport
from hx.records.compare import CompareReport
from hx.records.debug import DebugReport
from hx.records.export import ExportReport
from hx.records.extract import ExtractReport, ModuleEntry
from hx.records.fleet import FleetReport, ModelResult
from hx.records.functionize import FunctionizeReport, InlineReport
from hx.records.modules import ModulesReport, NodesReport
from hx.records.profile import IsolatedReport
from hx.records.project import ProjectReport
from hx.records.relink import RelinkReport
from hx.records.replace import ReplaceReport
from hx.records.split import JoinReport, SplitReport
from hx.records.suite import SuiteReport
from hx.records.tap import TapReport
from hx.records.tree import TreeReport
from hx.records.validate import ValidateReport
from hx.records.verify import VerifyReport
from hx.records.view import PageReport, ViewReport
from hx_profiler import Profile, ProfileComparison

REPORTS: dict[str, type[BaseModel]] = {
    "analyze": AnalyzeReport,
    "compare": CompareReport,
    "debug": DebugReport,
    "export": ExportReport,
    "extract": ExtractReport,
    "fleet": FleetReport,
    "functionize": FunctionizeReport,
    "inline": InlineReport,
    "join": JoinReport,
    "modules": ModulesReport,
    "nodes": NodesReport,
    "profile": Profile,
    "profile-comparison": ProfileComparison,
    "profile-isolated": IsolatedReport,
    "project": ProjectReport,
    "relink": RelinkReport,
    "replace": ReplaceReport,
    "report": PageReport,
    "suite": SuiteReport,
    "split": SplitReport,
    "tap": TapReport,
    "tree": TreeReport,
    "validate": ValidateReport,
    "verify": VerifyReport,
    "view": ViewReport,
}
"""Name of a command, with what it was asked for where it prints several records, to the record."""


class Index(RootModel[list[ModuleEntry]]):
    """The calls of a model that were cut out, in the `index.json` beside them."""


def schema_names() -> dict[str, type[BaseModel]]:
    """Return the file name of every schema with the record that it describes: `NAME-VERSION.json`."""
    names = {f"{name}-{record.model_fields['schema_version'].default}.json": record for name, record in REPORTS.items()}
    index = f"index-{ExtractReport.model_fields['schema_version'].default}.json"
    return {
        **names,
        index: Index,
        f"fleet-result-{ModelResult.model_fields['schema_version'].default}.json": ModelResult,
    }


def published_schema(name: str) -> str:
    """Return the text of a published schema; `name` is a key of `schema_names()`."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def current_schema(name: str) -> str:
    """Return what a schema would be, made from the records as they are now; `name` is a key of `schema_names()`."""
    schema = schema_names()[name].model_json_schema(mode="serialization", schema_generator=_Printed)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=1) + "\n"


class _Printed(GenerateJsonSchema):
    """A field with a default is printed too: programs may count on it."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return True
