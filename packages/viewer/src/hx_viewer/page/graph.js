/* The drawing of one call, one level down: its child calls and own nodes as boxes, values as arrows. */
const ONE_BY_ONE = 60, MOST = 200, NAME = 26, SVG = "http://www.w3.org/2000/svg";

/* For each value by graph and name, the nodes that read it; for each body, the node that runs it. Made when first asked for. */
const once = make => { let made; return () => made ??= make(); };
const readersOf = once(() => {
  const found = graphs.map(() => new Map());
  nodes.forEach((node, at) => node.reads.forEach(read => {
    if (read === null) return;
    const [graph, name] = where(node, read);
    if (!found[graph].has(name)) found[graph].set(name, []);
    found[graph].get(name).push(at);
  }));
  return found;
});
const holders = once(() => {
  const found = graphs.map(() => []);
  nodes.forEach((node, at) => node.graphs.forEach(graph => found[graph].push(at)));
  return found.map(by => by.length === 1 ? by[0] : undefined); // a function that several nodes call is inside none
});
const where = (node, read) => Array.isArray(read) ? read : [node.graph, read];
const shapeOf = kind => { const cut = kind.indexOf("["), inside = kind.slice(cut + 1, -1); return cut < 0 || inside === "?" ? "" : inside.split(",").join("×") || "scalar"; };

/* Boxes by key, and arrows by the keys of their ends. */
function levelOf(at) {
  const boxes = new Map(), arrows = new Map(), boxOf = new Map(), call = calls[at];
  const box = (key, fields) => { if (!boxes.has(key)) boxes.set(key, { key, ...fields }); return key; };
  const arrow = (from, to, graph, name) => {
    if (from === to) return {};
    const key = `${from} ${to}`;
    if (!arrows.has(key)) arrows.set(key, { from, to, values: new Map() });
    const one = arrows.get(key);
    one.values.set(`${graph} ${name}`, [graph, name]);
    return one;
  };
  for (const child of children[at])
    for (let row = child; row < end[child]; row++) for (const node of owned[row]) boxOf.set(node, box(`c${child}`, { kind: "call", call: child }));
  let constants = 0;
  for (const node of owned[at]) {
    if (nodes[node].reads.some(read => read !== null) || nodes[node].graphs.length) boxOf.set(node, box(`n${node}`, { kind: "op", node }));
    else constants++;
  }
  const ports = new Map(call.inputs.map(([name, , value]) => [value, name]));
  const input = (graph, name) => box(`i${graph} ${name}`, { kind: "port", name: ports.get(name) || name, graph, value: name });
  /* Where a value comes from, as seen in here; nothing for a weight or constant. */
  const source = (graph, name) => {
    const maker = makers[graph].get(name);
    if (maker !== undefined) return boxOf.get(maker) ?? (at <= nodes[maker].call && nodes[maker].call < end[at] ? undefined : input(graph, name));
    const holder = holders()[graph];
    if (data.inputs[graph].includes(name) && boxOf.has(holder)) return boxes.get(boxOf.get(holder)).kind === "op" ? box(`${boxOf.get(holder)} in`, { kind: "op", node: holder, begins: true }) : boxOf.get(holder);
    return data.inputs[graph].includes(name) || ports.has(name) ? input(graph, name) : undefined;
  };
  const taken = new Set(); // values that a body in here reads from around it, by the node that runs it
  for (const node of boxOf.keys())
    for (let graph = nodes[node].graph; holders()[graph] !== undefined; graph = nodes[holders()[graph]].graph)
      for (const read of nodes[node].reads) if (Array.isArray(read)) taken.add(`${holders()[graph]} ${read.join(" ")}`);
  const makes = [];
  for (const [node, to] of boxOf) for (const [place, read] of nodes[node].reads.entries()) {
    const captured = place >= nodes[node].reads.length - nodes[node].captured;
    if (read === null || captured && taken.has(`${node} ${where(nodes[node], read).join(" ")}`)) continue;
    const [graph, name] = where(nodes[node], read), from = source(graph, name);
    if (from !== undefined) makes.push([from, to, graph, name]);
  }
  for (const [from, to, graph, name] of makes) arrow(from, boxes.has(`${to} in`) && from !== `${to} in` ? `${to} in` : to, graph, name);
  for (const [node, to] of boxOf) for (const body of nodes[node].graphs) if (holders()[body] === node)
    for (const read of data.outputs[body]) {
      const [graph, name] = Array.isArray(read) ? read : [body, read], from = source(graph, name);
      if (from !== undefined && nodes[node].graphs.length > 1) arrow(from, to, graph, name).branch = graphs[body].slice(graphs[body].lastIndexOf(".") + 1);
      else if (from !== undefined) arrow(from, to, graph, name);
    }
  const given = new Map(call.outputs.map(([name, , value]) => [value, name]));
  const output = (graph, value, from) => arrow(from, box(`o${graph} ${value}`, { kind: "port", name: given.get(value) || value, graph, value, out: true }), graph, value);
  const ended = new Set();
  for (const [node, from] of boxOf) for (const name of nodes[node].outputs) {
    const graph = nodes[node].graph, readers = readersOf()[graph].get(name) || [];
    const leaves = given.has(name) || data.outputs[graph].includes(name) && !boxOf.has(holders()[graph]) || readers.some(reader => !(at <= nodes[reader].call && nodes[reader].call < end[at]));
    if (name && leaves) { output(graph, name, from); ended.add(name); }
  }
  for (const value of given.keys()) if (value && !ended.has(value) && ports.has(value)) output(0, value, input(0, value));
  return { boxes, arrows, constants };
}

/* Own nodes that lie between the same child calls become one box: such a box is on no circle. */
function grouped(level) {
  const { boxes, arrows } = level, keys = [...boxes.keys()], bit = new Map(), above = new Map(), below = new Map();
  for (const key of keys) { if (boxes.get(key).kind === "call") bit.set(key, 1n << BigInt(bit.size)); above.set(key, 0n); below.set(key, 0n); }
  const list = [...arrows.values()];
  for (let changed = true; changed;) {
    changed = false;
    const pass = (sets, from, to) => { const next = sets.get(to) | sets.get(from) | (bit.get(from) || 0n); if (next !== sets.get(to)) { sets.set(to, next); changed = true; } };
    for (const { from, to } of list) pass(above, from, to);
    for (let i = list.length; i--;) pass(below, list[i].to, list[i].from);
  }
  const joined = new Map(), groups = new Map();
  for (const key of keys) {
    const one = boxes.get(key), place = one.kind === "op" ? `g${above.get(key)} ${below.get(key)}` : key;
    joined.set(key, place);
    if (!groups.has(place)) groups.set(place, one.kind === "op" ? { key: place, kind: "group", nodes: [] } : one);
    if (one.kind === "op" && !one.begins) groups.get(place).nodes.push(one.node);
  }
  for (const [key, one] of groups) if (one.kind === "group" && one.nodes.length === 1) groups.set(key, { key, kind: "op", node: one.nodes[0] });
  const between = new Map();
  for (const { from, to, values } of list) {
    const key = `${joined.get(from)} ${joined.get(to)}`;
    if (joined.get(from) === joined.get(to)) continue;
    if (!between.has(key)) between.set(key, { from: joined.get(from), to: joined.get(to), values: new Map() });
    values.forEach((value, name) => between.get(key).values.set(name, value));
  }
  return { boxes: groups, arrows: between, constants: level.constants };
}

/* What is drawn of a call, with a sentence where something is not. */
function drawing(at) {
  const full = levelOf(at), inner = level => [...level.boxes.values()].filter(one => one.kind !== "port").length, words = [];
  if (!inner(full) && !full.arrows.size) return [];
  const level = inner(full) > (children[at].length ? ONE_BY_ONE : MOST) ? grouped(full) : full;
  const boxes = inner(level);
  if (boxes > MOST || (inner(full) > MOST && boxes < 2)) return [make("p", "soft", `${inner(full)} boxes: more than ${MOST} are not drawn.`)];
  if (level !== full) words.push("nodes between the same calls are one box");
  if (full.constants) words.push(`constants left out: ${full.constants}`);
  const silent = children[at].filter(child => !level.boxes.has(`c${child}`));
  if (silent.length) words.push(`without nodes: ${silent.slice(0, 6).map(child => nameOf(child)[0]).join(", ")}${silent.length > 6 ? ` and ${silent.length - 6} more` : ""}`);
  const box = make("div", "drawing", picture(at, level));
  return words.length ? [box, make("div", "soft", words.join("; "))] : [box];
}

const pen = document.createElement("canvas").getContext("2d");
function widthOf(text, bold) { pen.font = `${bold ? "600 " : ""}12px system-ui, sans-serif`; return pen.measureText(text).width; }
const cut = text => { const all = [...text]; return all.length > NAME ? `${all.slice(0, NAME - 1).join("")}…` : text; };
function drawn(tag, fields, ...inside) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(fields)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}
function textsOf(one) {
  if (one.kind === "call") return nameOf(one.call);
  if (one.kind === "port") return [one.name, ""];
  if (one.kind === "op") return [nodes[one.node].op + (one.begins ? " begins" : ""), ""];
  const counts = new Map();
  for (const node of one.nodes) counts.set(nodes[node].op, (counts.get(nodes[node].op) || 0) + 1);
  const most = [...counts].sort((a, b) => b[1] - a[1]);
  return [`${one.nodes.length} nodes`, most.slice(0, 3).map(([op, count]) => count > 1 ? `${count} ${op}` : op).join(", ") + (most.length > 3 ? ", …" : "")];
}
function numberOf(one) {
  if (one.kind === "call") return chosen[by][one.call];
  if (one.kind === "group" && chosen.own && (by === "total" || by === "own")) return one.nodes.reduce((sum, node) => sum + Number(chosen.nodes[node] ?? 0), 0) || undefined;
  return one.kind === "op" && !one.begins && by !== "change" && by !== "other" ? chosen.nodes[one.node] : undefined;
}
function picture(at, { boxes, arrows }) {
  const graph = new dagre.graphlib.Graph({ multigraph: false }).setGraph({ rankdir: "TB", nodesep: 14, ranksep: 18, edgesep: 10, marginx: 6, marginy: 6 }).setDefaultEdgeLabel(() => ({}));
  for (const one of boxes.values()) {
    one.lines = textsOf(one).map(cut).filter(text => text);
    one.said = sayIn(chosen, by, numberOf(one));
    const width = Math.max(...one.lines.map((line, place) => widthOf(line, !place) + (place || !one.said ? 0 : widthOf(one.said) + 10)));
    graph.setNode(one.key, { width: Math.ceil(width) + 18, height: one.lines.length > 1 ? 38 : 23 });
  }
  for (const one of arrows.values()) {
    const shapes = [...one.values.values()].map(([from, name]) => shapeOf(kindOf(from, name)));
    one.label = cut([one.branch || "", shapes.length > 2 ? `${shapes.length} values` : shapes.filter(shape => shape).join(", ")].join(" ").trim());
    graph.setEdge(one.from, one.to, { width: Math.ceil(widthOf(one.label) * 10.5 / 12) + 6, height: one.label ? 12 : 0, labelpos: "c" });
  }
  dagre.layout(graph);
  const { width, height } = graph.graph(), lines = [], labels = [];
  for (const one of arrows.values()) {
    const { points, x, y } = graph.edge(one.from, one.to);
    const told = [...one.values.values()].map(([from, name]) => `${name} ${kindOf(from, name)}`).join("\n");
    lines.push(drawn("path", { class: "arrow", d: curve(points), "marker-end": "url(#head-of-arrow)" }, drawn("title", {}, told)));
    if (one.label) labels.push(drawn("text", { class: "label", x, y: y + 3.5 }, one.label));
  }
  const shapes = [...boxes.values()].map(one => boxShape(at, one, graph.node(one.key)));
  const mark = drawn("marker", { id: "head-of-arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, drawn("path", { d: "M0 0.5 8 4 0 7.5Z" }));
  const whole = drawn("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": "One level down" }, drawn("defs", {}, mark), ...lines, ...labels, ...shapes);
  whole.style.minWidth = `${Math.round(width * 0.62)}px`;
  return whole;
}
/* Through the points, rounded at each. */
function curve(points) {
  const parts = [`M${points[0].x} ${points[0].y}`];
  for (let i = 1; i < points.length - 1; i++) {
    const last = i === points.length - 2, next = last ? points[i + 1] : { x: (points[i].x + points[i + 1].x) / 2, y: (points[i].y + points[i + 1].y) / 2 };
    parts.push(`Q${points[i].x} ${points[i].y} ${next.x} ${next.y}`);
  }
  return parts.length > 1 ? parts.join("") : `M${points[0].x} ${points[0].y}L${points.at(-1).x} ${points.at(-1).y}`;
}
function boxShape(at, one, { x, y, width, height }) {
  const left = x - width / 2, top = y - height / 2, texts = one.lines.map((line, place) => drawn("text", { class: place ? "class" : "head", x: one.kind === "port" ? x : left + 9, y: top + 15.5 + 15 * place }, line));
  if (one.said) texts.push(drawn("text", { class: "said", x: left + width - 8, y: top + 15.5 }, one.said));
  const rect = drawn("rect", { x: left, y: top, width, height, rx: one.kind === "port" ? height / 2 : one.kind === "call" ? 5 : 2 });
  const number = numberOf(one);
  if (number !== undefined && number !== null) rect.style.fill = shade(chosen, by, number, 60, "var(--ground)");
  const element = drawn("g", { class: `box ${one.kind}` }, rect, ...texts, drawn("title", {}, told(one)));
  const go = goes(at, one);
  if (go) { element.setAttribute("tabindex", "0"); element.setAttribute("role", "link"); element.onclick = go; element.onkeydown = event => { if (event.key === "Enter") { event.stopPropagation(); go(); } }; }
  return element;
}
function told(one) {
  if (one.kind === "call") return calls[one.call].tag;
  if (one.kind === "port") return `${one.value} ${kindOf(one.graph, one.value)}`;
  if (one.kind === "op") return `${nodes[one.node].op} ${nodes[one.node].outputs.join(", ")}`;
  return one.nodes.slice(0, 30).map(node => `${nodes[node].op} ${nodes[node].outputs[0]}`).join("\n");
}
function goes(at, one) {
  if (one.kind === "call") return () => reveal(one.call);
  if (one.kind === "op") return () => showCall(at, one.node);
  const maker = one.kind === "port" && !one.out ? makers[one.graph].get(one.value) : undefined;
  return maker === undefined ? null : () => reveal(nodes[maker].call, maker);
}
