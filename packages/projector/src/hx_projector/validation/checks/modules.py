"""Whether the modules form one tree, tags are what it gives, and each module names its children and weights."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from hx_projector._graph_index import grouped
from hx_projector.validation.findings import Problem
from hx_projector.validation.pair import ModelAndSidecar, listed, module_name
from hx_sidecar_schema import CONTAINERS, Module, build_tags, simple_name


def module_tree(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that the root stands first, parents before children, and that no two modules share a name (V50)."""
    modules = pair.sidecar.modules
    if not modules:
        yield "V50", "modules", "There is no module at all, so not the root."
    names = Counter(name for module in modules for name in (module.fqn, *module.aliases))
    for row, module in enumerate(modules):
        problem = _tree_problem(row, module, pair, names)
        if problem:
            yield "V50", module_name(module), problem


def _tree_problem(row: int, module: Module, pair: ModelAndSidecar, names: Mapping[str, int]) -> str:
    repeated = [name for name in (module.fqn, *module.aliases) if names[name] > 1]
    if repeated:
        return f"The name {repeated[0]!r} is given {names[repeated[0]]} times."
    if row == 0:
        return "" if module.parent is None else "It stands first, and has a parent."
    above = module.fqn.rpartition(".")[0]
    parent = pair.module_rows.get(above)
    if pair.is_part and (parent is None or module.parent is None):
        return ""  # the modules between it and the part's root were not cut out
    if parent is None:
        return f"Its name says that it lies in {above!r}, which is no module."
    if module.parent != parent:
        recorded = None if module.parent is None else module_name(pair.sidecar.modules[module.parent])
        return f"Its name says that it lies in {above!r}, `parent` that it lies in {recorded!r}."
    return "Its parent stands behind it." if parent >= row else ""


def expected_tags(pair: ModelAndSidecar) -> list[str] | None:
    """Return the tags that the module tree gives; None for a part of a tree, whose siblings are not all there."""
    modules = pair.sidecar.modules
    if pair.is_part or not modules or modules[0].fqn:
        return None
    return build_tags([module.fqn for module in modules], [module.class_name for module in modules])


def tags(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that a tag names one module (V51), and is the one that the module tree gives (V52)."""
    modules = pair.sidecar.modules
    for tag, names in grouped((module.tag, module_name(module)) for module in modules).items():
        if len(names) > 1:
            yield "V51", names[1], f"Its tag {tag!r} is also that of {names[0]!r}."
    expected = expected_tags(pair)
    for row, module in enumerate(modules):
        allowed = {expected[row]} if expected is not None else _possible_tags(row, modules)
        if allowed and module.tag not in allowed:
            rule = " or ".join(map(repr, sorted(allowed)))
            yield "V52", module_name(module), f"Its tag is {module.tag!r}; the module tree gives {rule}."


def _possible_tags(row: int, modules: Sequence[Module]) -> set[str]:
    """Return the tags that a module of a part can have: which one it has depends on siblings that are not there."""
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


def shown_tags(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that classes outside torch.nn show their tags, and that modules of one class do alike (V55)."""
    first: dict[str, bool] = {}
    for row, module in enumerate(pair.sidecar.modules):
        name = module_name(module)
        if not module.tagged and (not module.class_name.startswith("torch.nn.") or not module.fqn):
            yield "V55", name, f"A {simple_name(module.class_name)} is not `tagged`."
        elif row and first.setdefault(module.class_name, module.tagged) != module.tagged:
            others = "not" if module.tagged else "are"
            yield "V55", name, f"`tagged` is {module.tagged}; others of its class {others}."


def children(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that modules and their children name each other, with the right classes (V53)."""
    modules, rows = pair.sidecar.modules, pair.module_rows
    for module in modules:
        name = module_name(module)
        for attribute, class_name in module.children.items():
            row = rows.get(f"{module.fqn}.{attribute}".lstrip("."))
            if row is None:
                if not pair.is_part:
                    yield "V53", name, f"Its child {attribute!r} ({class_name}) has no row."
            elif simple_name(modules[row].class_name) != class_name:
                said = f"It says that its child {attribute!r} is a {class_name}"
                yield "V53", name, f"{said}; the row of that child says {simple_name(modules[row].class_name)}."
    for module in modules[1:]:
        if module.parent is None:
            continue
        parent = modules[module.parent]
        names = (name.rpartition(".") for name in (module.fqn, *module.aliases))
        own = {attribute for path, _, attribute in names if path in (parent.fqn, *parent.aliases)}
        if own and not own & parent.children.keys():
            yield "V53", module_name(module), f"Its parent {module_name(parent)!r} does not name it as a child."


def parameters(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that all parameters of a module are its own or of modules below it, and list all its own (V54)."""
    rows, modules = pair.module_rows, pair.sidecar.modules
    own = [set(module.direct_parameters) for module in modules]
    for row, module in enumerate(modules):
        unlisted = [name for name in module.direct_parameters if name not in module.parameters]
        if unlisted:
            yield "V54", module_name(module), f"Its own parameter {listed(unlisted)} is not among `parameters`."
        for name in module.parameters:
            path, _, attribute = name.rpartition(".")
            holder = rows.get(f"{module.fqn}.{path}".lstrip(".")) if path else row
            if holder is None and pair.is_part:
                continue
            if holder is None or attribute not in own[holder]:
                yield "V54", module_name(module), f"No module below it has the parameter {name!r}."
