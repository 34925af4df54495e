"""What is found and rewritten, and what each code of a finding means. Records are printed as they are. Imports no onnx-ir."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import Field

from hx_sidecar_schema import Record

Problem = tuple[str, str, str]
"""What a check yields: code, subject and message of a finding."""


class Finding(Record):
    """One thing that is not as it must be."""

    code: str = Field(description="Stable, `V` and two digits; docs/validate.md lists them.")
    subject: str = Field(
        description="A node as `graph:output`, a call or module as its fqn (`@1` for a later call), or a part of the "
        "sidecar."
    )
    message: str = Field(description="What is wrong with it, with the values.")
    meaning: str = Field(description="What the code means.")
    remedy: str = Field(description="One thing to do.")
    repairable: bool = Field(description="Whether `--repair` can rewrite it, where nothing else is wrong.")

    @classmethod
    def of(cls, code: str, subject: str, message: str) -> Finding:
        """Return a finding with the meaning and remedy of its code."""
        meaning, remedy, repairable = MEANINGS[code]
        return cls(code=code, subject=subject, message=message, meaning=meaning, remedy=remedy, repairable=repairable)


class Change(Record):
    """What `--repair` rewrote."""

    code: str
    subject: str
    message: str = Field(description="What it was, and what it is now.")


class Meaning(NamedTuple):
    """Of one code."""

    title: str
    """What is wrong, in general."""
    remedy: str
    """One thing to do."""
    repairable: bool = False
    """Whether what is right can be computed from the model and the other rows."""


_EXPORT = "Export the model again."
_REPAIR = "Repair the sidecar."
_EDITED = "Something changed the sidecar after the export: restore it, or export again."

MEANINGS = {
    "V01": Meaning("The ONNX checker refuses the model", "Report it to those who made the file."),
    "V02": Meaning(
        "ONNX Runtime does not load the model", "Read its reason; a newer ONNX Runtime or another opset may help."
    ),
    "V03": Meaning(
        "The sidecar belongs to another model",
        "Find the sidecar that was written with this file; after a transformation relink.",
    ),
    "V04": Meaning("What the sidecar says of the file is not so", _REPAIR, True),
    "V05": Meaning(
        "The sidecar inside the file says something else than the one beside it",
        "Remove the wrong one, or export again and embed the sidecar: both are written then.",
    ),
    "V06": Meaning("A size is said to be another than the graph reads", _EDITED),
    "V10": Meaning("A reference leads nowhere", _EDITED),
    "V11": Meaning("A node has no row", _EXPORT),
    "V12": Meaning("A node has several rows", _EDITED),
    "V13": Meaning("A row is of a node that the model does not have", _EXPORT),
    "V14": Meaning("A row repeats its node's operator or name wrongly", _REPAIR, True),
    "V15": Meaning("Rows of nodes stand in another order than the nodes", _REPAIR, True),
    "V20": Meaning("The calls have not exactly one root", _EDITED),
    "V21": Meaning("A call does not stand in its parent's subtree", _EDITED),
    "V22": Meaning("The calls of a module are not counted in order", _EDITED),
    "V23": Meaning("A call is of, or below, something that cannot have been called", _EDITED),
    "V24": Meaning("The status of a call contradicts its reason, ports or nodes", _EDITED),
    "V25": Meaning("A module has no call, not even one that is `not_called`", _EDITED),
    "V26": Meaning("The inputs of a call are not the arguments of its `forward()`", _EDITED),
    "V27": Meaning("The root's ports are not the model's inputs and outputs", _EDITED),
    "V28": Meaning("Two calls of one class that compute alike have their ports in other places", _EDITED),
    "V30": Meaning("A port is carried by what is not in the model", _EDITED),
    "V31": Meaning("A port has another dtype than its carrier", _EDITED),
    "V32": Meaning("A port has another shape than its carrier", _EDITED),
    "V33": Meaning("Two ports of a call share a name", _EDITED),
    "V34": Meaning("A recovered node cannot stand for what it replaces", _EDITED),
    "V35": Meaning("A row of a weight that the model does not have, or the second of one", _EDITED),
    "V36": Meaning("A weight has no row", _EDITED),
    "V37": Meaning("A weight is said to be a parameter of no module", _EDITED),
    "V38": Meaning("Size or readers of a weight are not those of the graph", _REPAIR, True),
    "V39": Meaning("A port is carried by a value from the wrong side of its call's border", _EDITED),
    "V40": Meaning("Consumers are not those of the graph", _REPAIR, True),
    "V41": Meaning("The owner is not the call that the node itself names", _EDITED),
    "V42": Meaning(
        "Nothing says who made a node that computes with weights or data",
        "Export with the strategy 'auto', and keep owners of every confidence.",
    ),
    "V43": Meaning("A disagreement contradicts the owner", _EDITED),
    "V44": Meaning("The owner is not what the calls that a node stands for have in common", _EDITED),
    "V45": Meaning("What a call derives from is not what its inputs say", _EDITED),
    "V46": Meaning("A weight is said to be a parameter that its readers do not have", _EDITED),
    "V47": Meaning("The place of a node in the graph is not one of its owner's", _EDITED),
    "V50": Meaning("The modules are no tree", _EDITED),
    "V51": Meaning("Two modules share a tag", _REPAIR, True),
    "V52": Meaning("A tag is not the one that the module tree gives", _REPAIR, True),
    "V53": Meaning("A module and its children do not agree", _EDITED),
    "V54": Meaning("Parameters are not those of the modules below", _EDITED),
    "V55": Meaning("A module that shows its tag is said not to, or the reverse", _EDITED),
    "V60": Meaning("A number of the summary is not what counting gives", _REPAIR, True),
}
"""What each code means and what to do about it: API, like the codes of errors. A code never changes its meaning."""
