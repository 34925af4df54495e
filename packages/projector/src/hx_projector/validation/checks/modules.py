"""Whether the module tree is one, its tags are what it gives, and each module names its children and weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from hx_projector.validation.findings import Finding
from hx_projector.validation.subject import Subject, module_name, named
from hx_sidecar_schema import CONTAINERS, Module, build_tags, simple_name


def module_tree(subject: Subject) -> list[Finding]:
    """The root stands first, parents before children; no two modules share a name (V50)."""
    modules, findings = subject.sidecar.modules, list[Finding]()
    if not modules:
        return [Finding.of("V50", "modules", "There is no module at all, so not the root.")]
    names = Counter(name for module in modules for name in (module.fqn, *module.aliases))
    for row, module in enumerate(modules):
        problem = _placed(row, module, subject, names)
        if problem:
            findings.append(Finding.of("V50", module_name(module), problem))
    return findings


def _placed(row: int, module: Module, subject: Subject, names: Mapping[str, int]) -> str:
    several = [name for name in (module.fqn, *module.aliases) if names[name] > 1]
    if several:
        return f"The name {several[0]!r} is given {names[several[0]]} times."
    if row == 0:
        return "" if module.parent is None else "It stands first, and has a parent."
    above = module.fqn.rpartition(".")[0]
    right = subject.module_rows.get(above)
    if subject.is_part and (right is None or module.parent is None):
        return ""  # the modules between it and the part's root were not cut out
    if right is None:
        return f"Its name says that it lies in {above!r}, which is no module."
    if module.parent != right:
        said = None if module.parent is None else module_name(subject.sidecar.modules[module.parent])
        return f"Its name says that it lies in {above!r}, `parent` that it lies in {said!r}."
    if right >= row:
        return "Its parent stands behind it."
    return ""


def recomputed_tags(subject: Subject) -> list[str] | None:
    """Return the tags that the module tree gives; None for a part of a tree, whose siblings are not all there."""
    modules = subject.sidecar.modules
    if subject.is_part or not modules or modules[0].fqn:
        return None
    return build_tags([module.fqn for module in modules], [module.class_name for module in modules])


def tags(subject: Subject) -> list[Finding]:
    """A tag names one module (V51), and is the one that the module tree gives (V52)."""
    modules = subject.sidecar.modules
    findings: list[Finding] = []
    owners: dict[str, list[Module]] = {}
    for module in modules:
        owners.setdefault(module.tag, []).append(module)
    findings += [
        Finding.of(
            "V51", module_name(sharing[1]), f"Its tag {tag!r} is also that of {module_name(sharing[0])!r}."
        )
        for tag, sharing in owners.items()
        if len(sharing) > 1
    ]
    right = recomputed_tags(subject)
    for row, module in enumerate(modules):
        if right is not None:
            wrong = module.tag != right[row]
            rule = f"the module tree gives {right[row]!r}"
        else:
            allowed = _possible_tags(row, modules)
            wrong = bool(allowed) and module.tag not in allowed
            rule = f"the module tree gives {' or '.join(map(repr, sorted(allowed)))}"
        if wrong:
            findings.append(Finding.of("V52", module_name(module), f"Its tag is {module.tag!r}; {rule}."))
    return findings


def _possible_tags(row: int, modules: Sequence[Module]) -> set[str]:
    """Return the tags that a module of a part can have: which of them it has depends on siblings that are not there."""
    module, above = modules[row], modules[row].parent
    name = simple_name(module.class_name)
    path = module.fqn.split(".")
    if above is None:
        return set()
    keys: list[str] = []
    while modules[above].class_name in CONTAINERS:
        keys.insert(0, path[-1 - len(keys)])
        following = modules[above].parent
        if following is None:
            return set()
        above = following
    inside = path[len(modules[above].fqn.split(".")) if modules[above].fqn else 0 :]
    segments = {".".join((name, *inside))}
    segments |= {".".join((name, *keys))} if keys else {name, f"{name}.{path[-1]}"}
    return {f"{modules[above].tag}/{segment}" for segment in segments}


def shown_tags(subject: Subject) -> list[Finding]:
    """Classes outside torch.nn show their tags; modules of one class do alike (V55)."""
    first: dict[str, bool] = {}
    findings: list[Finding] = []
    for row, module in enumerate(subject.sidecar.modules):
        if not module.tagged and (not module.class_name.startswith("torch.nn.") or not module.fqn):
            findings.append(
                Finding.of("V55", module_name(module), f"A {simple_name(module.class_name)} is not `tagged`.")
            )
        elif row and first.setdefault(module.class_name, module.tagged) != module.tagged:
            others = "not" if module.tagged else "are"
            findings.append(
                Finding.of(
                    "V55", module_name(module), f"`tagged` is {module.tagged}; others of its class {others}."
                )
            )
    return findings


def children(subject: Subject) -> list[Finding]:
    """Children that a module names are modules of those classes, and every module is a child of its parent (V53)."""
    modules, names = subject.sidecar.modules, subject.module_rows
    findings: list[Finding] = []
    for module in modules:
        for attribute, class_name in module.children.items():
            row = names.get(_below(module.fqn, attribute))
            if row is None:
                if not subject.is_part:
                    findings.append(
                        Finding.of(
                            "V53", module_name(module), f"Its child {attribute!r} ({class_name}) has no row."
                        )
                    )
            elif simple_name(modules[row].class_name) != class_name:
                found = simple_name(modules[row].class_name)
                findings.append(
                    Finding.of(
                        "V53",
                        module_name(module),
                        f"It says that its child {attribute!r} is a {class_name}; the row of that child says {found}.",
                    )
                )
    for module in modules[1:]:
        parent = modules[module.parent] if module.parent is not None else None
        above = {parent.fqn, *parent.aliases} if parent is not None else set[str]()
        own = {
            attribute
            for name in (module.fqn, *module.aliases)
            for path, _, attribute in [name.rpartition(".")]
            if path in above
        }
        if parent is not None and own and not own & parent.children.keys():
            findings.append(
                Finding.of(
                    "V53",
                    module_name(module),
                    f"Its parent {module_name(parent)!r} does not name it as a child.",
                )
            )
    return findings


def parameters(subject: Subject) -> list[Finding]:
    """All parameters of a module are its own or those of modules below it, and all its own are among them (V54)."""
    names, modules = subject.module_rows, subject.sidecar.modules
    own = [set(module.direct_parameters) for module in modules]
    findings: list[Finding] = []
    for row, module in enumerate(modules):
        unlisted = [name for name in module.direct_parameters if name not in set(module.parameters)]
        if unlisted:
            findings.append(
                Finding.of(
                    "V54",
                    module_name(module),
                    f"Its own parameter {named(unlisted)} is not among `parameters`.",
                )
            )
        for name in module.parameters:
            path, _, attribute = name.rpartition(".")
            holder = names.get(_below(module.fqn, path)) if path else row
            if holder is None and subject.is_part:
                continue
            if holder is None or attribute not in own[holder]:
                findings.append(
                    Finding.of("V54", module_name(module), f"No module below it has the parameter {name!r}.")
                )
    return findings


def _below(fqn: str, name: str) -> str:
    return f"{fqn}.{name}" if fqn else name
