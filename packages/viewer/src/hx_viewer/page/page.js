const byId = id => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const { calls, nodes, columns, graphs, types } = data;
const tree = byId("tree"), head = byId("head"), box = byId("rows"), flame = byId("flame"), detail = byId("detail"), find = byId("find");
const ROW = 24, NUMBER = 78, CHUNK = 200, FOUND = 2000, SMALL = 25;

/* All text goes in as text: `append` makes no markup of a string. */
function make(tag, kind, ...inside) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.append(...inside.filter(one => one !== null && one !== ""));
  return element;
}
function link(text, go, kind = "") {
  const element = make("a", kind, text);
  element.tabIndex = 0;
  element.onclick = go;
  element.onkeydown = event => { if (event.key === "Enter") { event.stopPropagation(); go(); } };
  return element;
}

/* Numbers */
const STEPS = { us: [[1e6, "s"], [1e3, "ms"], [1, "µs"]], bytes: [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]], "": [[1e9, "G"], [1e6, "M"], [1e4, "k", 1e3], [1, ""]] };
function say(column, number) {
  if (number === null || number === undefined) return "";
  const value = Number(number);
  if (!isFinite(value)) return "∞";
  if (column.scale === "log") return value ? value.toExponential(1) : "0";
  if (column.unit === "%") return value.toFixed(1);
  const [from, unit, by] = STEPS[column.unit].find(step => Math.abs(value) >= step[0]) || STEPS[column.unit].at(-1);
  const shown = value / (by || from);
  const digits = Number.isInteger(shown) && from === 1 ? 0 : shown >= 100 ? 0 : shown >= 10 ? 1 : 2;
  return shown.toFixed(digits) + (unit && " " + unit);
}
for (const column of columns) {
  const given = column.total.filter(one => one !== null).map(Number).filter(one => isFinite(one) && one > 0);
  column.high = given.reduce((a, b) => Math.max(a, b), 0);
  column.low = given.reduce((a, b) => Math.min(a, b), Infinity);
  if (column.other) {
    column.change = column.total.map((now, at) => now === null || column.other[at] === null ? null : Number(now) === Number(column.other[at]) ? 0 : Number(now) - Number(column.other[at]));
    column.most = column.change.reduce((most, one) => isFinite(one) ? Math.max(most, Math.abs(one)) : most, 0);
  }
}
/* What a number is shown as: of what is more than before with a sign. */
const sayIn = (column, field, number) => field !== "change" || !number ? say(column, number) : (number > 0 ? "+" : "−") + say(column, Math.abs(number));
/* The colour of a number: warm for much, and for more than before; cold for less. */
function shade(column, field, number, strength, ground) {
  const share = field !== "change" ? heat(column, number) : !number ? 0 : isFinite(number) ? Math.sqrt(Math.abs(number) / column.most) : 1;
  return `color-mix(in srgb, var(${field === "change" && number < 0 ? "--cold" : "--heat"}) ${Math.round(strength * share)}%, ${ground})`;
}
function heat(column, number) {
  if (number === null || number === undefined) return 0;
  const value = Number(number);
  if (!isFinite(value)) return 1;
  if (column.scale === "rest") return 1 - value / 100;
  if (value <= 0 || !column.high) return 0;
  if (column.scale === "share") return Math.sqrt(value / column.high);
  return column.high > column.low ? Math.log(value / column.low) / Math.log(column.high / column.low) : 1;
}

/* The tree: calls are in pre-order */
const children = calls.map(() => []), depth = [], end = calls.map((_, at) => at + 1), owned = calls.map(() => []);
calls.forEach((call, at) => {
  depth.push(call.parent === null ? 0 : depth[call.parent] + 1);
  if (call.parent !== null) children[call.parent].push(at);
});
for (let at = calls.length - 1; at > 0; at--) end[calls[at].parent] = Math.max(end[calls[at].parent], end[at]);
nodes.forEach((node, at) => owned[node.call].push(at));
const makers = graphs.map(() => new Map());
nodes.forEach((node, at) => node.outputs.forEach(name => { if (name) makers[node.graph].set(name, at); }));

const opened = new Set();
let level = [0];
while (level.length && opened.size + level.length < 30) { level.forEach(at => opened.add(at)); level = level.flatMap(at => children[at]); }
let chosen = ["time", "error_local", "macs"].map(name => columns.find(one => one.name === name)).find(one => one) || columns[0];
let by = chosen.other ? "change" : "total", ordered = false, shown = [], on = 0;
const weight = (column, field, number) => number === null ? -1 : field === "change" ? Math.abs(number) : Number(number);

function shownCalls() {
  const rows = [], pending = [0];
  while (pending.length) {
    const at = pending.pop();
    rows.push({ call: at });
    if (!opened.has(at)) continue;
    const below = ordered ? [...children[at]].sort((a, b) => weight(chosen, by, chosen[by][b]) - weight(chosen, by, chosen[by][a])) : children[at];
    for (let i = below.length; i--;) pending.push(below[i]);
  }
  return rows;
}
const words = {
  call: calls.map(call => `${call.tag}\n${call.fqn}\n${call.class}`.toLowerCase()),
  node: nodes.map(node => `${node.op}\n${node.name}\n${node.outputs.join("\n")}`.toLowerCase()),
};
function foundRows(word) {
  const rows = [];
  for (const kind of ["call", "node"])
    words[kind].forEach((text, at) => { if (rows.length < FOUND && text.includes(word)) rows.push({ [kind]: at }); });
  return rows;
}

function refresh() {
  const word = find.value.trim().toLowerCase();
  shown = word ? foundRows(word) : shownCalls();
  tree.dataset.found = word ? String(shown.length) : "";
  on = Math.min(on, Math.max(shown.length - 1, 0));
  box.style.height = shown.length * ROW + "px";
  paintHead();
  paint();
  if (!flame.hidden) paintFlame();
}
const FIELDS = { own: ["own", "without the calls below"], other: ["before", `in ${data.against}`], change: ["change", `less ${data.against}`] };
function fields() { return columns.flatMap(column => column === chosen ? ["total", "own", "other", "change"].filter(field => column[field]).map(field => [column, field]) : [[column, "total"]]); }
function choose(column, field) {
  ordered = column === chosen && field === by && !ordered && flame.hidden;
  [chosen, by] = [column, field];
  refresh();
  showChosen();
  redraw();
}
/* Bring the chosen column into sight, beside the names. */
function showChosen() {
  const { offsetLeft, offsetWidth } = head.querySelector(".chosen");
  tree.scrollLeft = Math.min(Math.max(tree.scrollLeft, offsetLeft + offsetWidth - tree.clientWidth), offsetLeft - head.firstChild.offsetWidth);
}
function paintHead() {
  const parts = fields().map(([column, field]) => {
    const [text, more] = FIELDS[field] || [column.title, ""], here = column === chosen && field === by;
    const button = make("button", here ? "chosen" : "", text + (here && ordered ? " ↓" : ""));
    button.tabIndex = -1;
    button.title = more ? `${column.title}, ${more}` : column.title;
    button.onclick = () => choose(column, field);
    return button;
  });
  const many = find.value.trim() ? `${shown.length === FOUND ? "first " : ""}${shown.length} found` : "module call";
  head.replaceChildren(make("span", "", many), ...parts);
  head.style.gridTemplateColumns = template();
  head.style.minWidth = box.style.minWidth = nameWidth() + NUMBER * parts.length + "px";
}
const nameWidth = () => find.value.trim() ? 400 : 280;
const template = () => `minmax(${nameWidth()}px, 1fr) repeat(${fields().length}, ${NUMBER}px)`;
function paint() {
  const first = Math.max(0, Math.floor(tree.scrollTop / ROW) - 10), last = Math.min(shown.length, first + Math.ceil(tree.clientHeight / ROW) + 20);
  const rows = [];
  for (let at = first; at < last; at++) rows.push(rowOf(at));
  box.replaceChildren(...rows);
}
function rowOf(at) {
  const { call, node } = shown[at], isNode = node !== undefined, searching = find.value.trim() !== "";
  const row = make("div", "row" + (at === on ? " on" : "") + (!isNode && calls[call].status === "not_called" ? " never" : ""));
  row.setAttribute("role", "row");
  row.style.top = at * ROW + "px";
  row.style.gridTemplateColumns = template();
  const name = make("span", "name");
  if (isNode) {
    name.append(make("span", "op", nodes[node].op), nodes[node].outputs.find(one => one) || nodes[node].name, make("span", "class", `  in ${calls[nodes[node].call].fqn || "the model"}`));
  } else {
    const [left, right] = nameOf(call);
    const twist = make("span", "twist", children[call].length && !searching ? (opened.has(call) ? "▾" : "▸") : "");
    twist.onclick = event => { event.stopPropagation(); toggle(call); };
    name.style.paddingLeft = 10 + (searching ? 0 : depth[call] * 16) + "px";
    name.append(twist, make("span", "call", searching ? calls[call].fqn || left : left), make("span", "class", right && `  ${right}`));
    name.title = calls[call].tag;
    row.setAttribute("aria-level", String(depth[call] + 1));
    if (children[call].length) row.setAttribute("aria-expanded", String(opened.has(call)));
  }
  row.append(name);
  for (const [column, field] of fields()) {
    const number = !isNode ? column[field][call] : field === "total" ? column.nodes[node] : undefined;
    const remark = isNode || field !== "total" ? "" : column.remarks[call] || "";
    const cell = make("span", (field === "own" || field === "other" ? "own" : "") + (remark.startsWith("wrong") ? " bad" : ""), sayIn(column, field, number));
    if (number !== null && number !== undefined) cell.title = `${column.title}${FIELDS[field] ? `, ${FIELDS[field][1]}` : ""}: ${number} ${column.unit}${share(column, field, call)} ${remark}`;
    if (column === chosen && field === by) cell.style.background = shade(column, field, number, 70, "transparent");
    row.append(cell);
  }
  row.onclick = () => { tree.focus(); select(at); };
  row.ondblclick = () => { if (!isNode && !searching) toggle(call); };
  return row;
}
/* A change as a part of what was before, as a multiple where it is large. */
function share(column, field, call) {
  const before = field === "change" && column.unit !== "%" ? Number(column.other[call]) : 0, change = field === "change" ? column.change[call] : 0;
  if (!before || !change || !isFinite(change / before)) return "";
  const times = 1 + change / before;
  return times >= 10 ? ` (× ${times >= 100 ? Math.round(times).toLocaleString("en") : times.toFixed(1)})` : ` (${change > 0 ? "+" : "−"}${(100 * Math.abs(change) / Math.abs(before)).toFixed(1)} %)`;
}
function nameOf(call) { const cut = calls[call].name.lastIndexOf(": "); return cut < 0 ? [calls[call].name, ""] : [calls[call].name.slice(0, cut), calls[call].name.slice(cut + 2)]; }
function toggle(call) { if (!opened.delete(call)) opened.add(call); refresh(); }
function select(at) {
  if (!shown.length) return;
  on = Math.max(0, Math.min(at, shown.length - 1));
  const top = on * ROW, room = tree.clientHeight - head.offsetHeight - ROW;
  if (top < tree.scrollTop) tree.scrollTop = top;
  else if (top > tree.scrollTop + room) tree.scrollTop = top - room;
  paint();
  const { call, node } = shown[on];
  if (node === undefined) showCall(call); else showCall(nodes[node].call, node);
}
/* Open the way to a call, and show it. */
function reveal(call, node) {
  if (!flame.hidden) { focused = call; find.value = ""; paintFlame(); showCall(call, node); return; }
  find.value = "";
  for (let at = calls[call].parent; at !== null; at = calls[at].parent) opened.add(at);
  refresh();
  select(shown.findIndex(row => row.call === call));
  if (node !== undefined) showCall(call, node);
}

/* What is known of one call */
const kindOf = (graph, name) => types[graph] && Object.hasOwn(types[graph], name) ? types[graph][name] : "";
function valueLink(graph, name) {
  const maker = makers[graph] && makers[graph].get(name);
  return maker === undefined ? make("span", "mono", name) : link(name, () => reveal(nodes[maker].call, maker), "mono");
}
const callLink = call => link(calls[call].fqn || calls[call].name, () => reveal(call));
function table(rows) {
  return make("table", "", ...rows.map(cells => make("tr", "", ...cells.map(cell => cell instanceof Element && cell.tagName === "TD" ? cell : make("td", "", cell)))));
}
function part(title, ...inside) { return inside.length ? [make("h3", "", title), ...inside] : []; }
const portRows = ports => ports.map(([name, kind, value, remark]) => [name, make("td", "kind", kind), value ? valueLink(0, value) : make("span", "soft", "in no graph"), make("span", "soft", remark)]);

let showing = 0;
function redraw() { const old = detail.querySelector("#drawing"); if (old) old.replaceWith(...drawnPart(showing)); }
function showCall(at, node) {
  showing = at;
  const call = calls[at], [left, right] = nameOf(at), above = [];
  for (let up = call.parent; up !== null; up = calls[up].parent) above.unshift(up);
  const way = make("div", "soft");
  above.forEach(up => way.append(link(nameOf(up)[0], () => reveal(up)), " / "));
  const numbers = columns.filter(column => column.total[at] !== null).map(column => [
    column.title,
    make("td", "number", say(column, column.total[at])),
    make("td", "number soft", column.own && column.own[at] !== null ? `${say(column, column.own[at])} own` : ""),
    ...(data.against ? [make("td", "number soft", column.other && column.other[at] !== null ? `${say(column, column.other[at])} before` : ""), make("td", "number", column.change && column.change[at] !== null ? sayIn(column, "change", column.change[at]) + share(column, "change", at) : "")] : []),
    make("span", (column.remarks[at] || "").startsWith("wrong") ? "bad" : "soft", column.remarks[at] || ""),
  ]);
  const readers = call.readers.map(reader => make("div", "", callLink(reader)));
  readers.push(...call.results.map(name => make("div", "", "the model's output ", make("span", "mono", name))));
  const facts = [["module", call.fqn || "the model"], ["class", call.class], ["tag", call.tag]].map(([name, text]) => [make("span", "soft", name), text]);
  detail.replaceChildren(
    way, make("h2", "", left, " ", make("span", "class", right)),
    ...(call.status === "extractable" ? [] : [make("p", "", make("b", "", call.status.replace("_", " ")), call.reason && `: ${call.reason}`)]),
    table(facts),
    ...drawnPart(at, node),
    ...part("forward() takes", ...(call.inputs.length ? [table(portRows(call.inputs))] : [])),
    ...part("and gives", ...(call.outputs.length ? [table(portRows(call.outputs))] : [])),
    ...part("Read by", ...readers),
    ...part("Cut it out", ...(call.command ? [make("pre", "", call.command)] : [])),
    ...part("Numbers", ...(numbers.length ? [table(numbers)] : [])),
    ...part("Parameters", ...(call.parameters.length ? [table(call.parameters.map(([name, size, weight]) => [name, make("td", "number", size), make("span", "soft mono", weight)]))] : [])),
    ...nodeLists(at, node),
  );
  detail.scrollTop = 0;
  showWanted();
}
/* A large drawing comes a moment later: keys that are held down pass it by. */
let later;
function drawnPart(at, node) {
  clearTimeout(later);
  if (!nodes.length) return [];
  const box = make("div");
  box.id = "drawing";
  const draw = () => {
    const inside = drawing(at);
    box.replaceChildren(...(inside.length ? [make("h3", "", "One level down"), ...inside] : []));
  };
  if (children[at].length + owned[at].length < SMALL) draw();
  else later = setTimeout(() => { draw(); if (node !== undefined) showWanted(); }, 80);
  return [box];
}
function showWanted() {
  const wanted = detail.querySelector(".node.on");
  if (wanted) wanted.scrollIntoView({ block: "center" });
}
function nodeLists(at, wanted) {
  if (!nodes.length) return [];
  const own = owned[at], below = [];
  for (let call = at; call < end[at]; call++) below.push(...owned[call]);
  const list = make("div");
  const start = own.indexOf(wanted) >= CHUNK ? own.indexOf(wanted) - 5 : 0;
  fill(list, own.slice(start), wanted);
  const parts = [make("h3", "", `Nodes: ${own.length} its own, ${below.length} with all below`), list];
  if (below.length > own.length || start) {
    const all = make("button", "more", `Show all ${below.length}`);
    all.onclick = () => { all.remove(); list.replaceChildren(); fill(list, below.sort((a, b) => a - b), wanted); };
    parts.push(all);
  }
  return parts;
}
function fill(list, rows, wanted) {
  list.append(...rows.slice(0, CHUNK).map(row => nodeBox(row, row === wanted)));
  if (rows.length <= CHUNK) return;
  const more = make("button", "more", `${rows.length - CHUNK} more`);
  more.onclick = () => { more.remove(); fill(list, rows.slice(CHUNK), wanted); };
  list.append(more);
}
function nodeBox(at, wanted) {
  const node = nodes[at], number = say(chosen, chosen.nodes[at]);
  const first = node.outputs.find(one => one) || "";
  const summary = make("summary", "", make("span", "op", node.op), make("span", "mono", first), make("span", "soft", number), make("span", node.known === "not known" || node.known.endsWith("low") ? "bad" : "soft", node.known));
  const element = make("details", "node" + (wanted ? " on" : ""), summary);
  const open = () => { if (element.open && element.children.length === 1) element.append(table(nodeFacts(at))); };
  element.ontoggle = open;
  element.open = wanted;
  open();
  return element;
}
function nodeFacts(at) {
  const node = nodes[at], soft = text => make("span", "soft", text), rows = [];
  node.reads.forEach((read, place) => {
    if (read === null) return;
    const [graph, name] = Array.isArray(read) ? read : [node.graph, read];
    rows.push([soft(`reads ${place}`), valueLink(graph, name), make("td", "kind", kindOf(graph, name))]);
  });
  node.outputs.forEach((name, place) => { if (name) rows.push([soft(`makes ${place}`), make("span", "mono", name), make("td", "kind", kindOf(node.graph, name))]); });
  for (const [name, text] of Object.entries(node.attributes)) rows.push([soft(name), make("td", "kind", text)]);
  for (const column of columns) if (column.nodes[at] !== undefined) rows.push([soft(column.title), say(column, column.nodes[at])]);
  if (node.name) rows.push([soft("name"), node.name]);
  if (graphs[node.graph]) rows.push([soft("in"), graphs[node.graph]]);
  if (node.graphs.length) rows.push([soft("runs"), node.graphs.map(graph => graphs[graph]).join(", ")]);
  if (node.originals.length) rows.push([soft("stands for"), node.originals.join(", ")]);
  return rows;
}

/* Keys */
function back() { const row = shown[on]; if (find.value) reveal(row === undefined ? 0 : row.call ?? nodes[row.node].call, row && row.node); tree.focus(); }
tree.onkeydown = event => {
  const row = shown[on] || {}, call = row.call, searching = find.value.trim() !== "", page = Math.floor(tree.clientHeight / ROW) - 2;
  const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -shown.length, End: shown.length };
  if (event.key in moves) select(on + moves[event.key]);
  else if (event.key === "Enter") { if (searching) back(); else if (call !== undefined) toggle(call); }
  else if (searching || call === undefined) return;
  else if (event.key === "ArrowRight") { if (!opened.has(call) && children[call].length) toggle(call); else if (children[call].length) select(on + 1); }
  else if (event.key === "ArrowLeft") { if (opened.has(call) && children[call].length) toggle(call); else if (calls[call].parent !== null) select(shown.findIndex(one => one.call === calls[call].parent)); }
  else return;
  event.preventDefault();
};
find.oninput = () => { on = 0; tree.scrollTop = 0; refresh(); };
find.onkeydown = event => { if (flame.hidden && (event.key === "ArrowDown" || event.key === "Enter")) { event.preventDefault(); tree.focus(); select(event.key === "Enter" ? on : 0); } };
document.onkeydown = event => {
  if (event.key === "/" && document.activeElement !== find) { event.preventDefault(); find.focus(); find.select(); }
  else if (event.key === "f" && !event.ctrlKey && !event.metaKey && document.activeElement !== find) showFlame(flame.hidden);
  else if (event.key === "Escape") { if (flame.hidden) back(); else { find.value = ""; focused = 0; paintFlame(); } }
};
function showFlame(wanted) {
  flame.hidden = !wanted;
  tree.hidden = wanted;
  byId("as-flame").className = wanted ? "chosen" : "";
  byId("as-tree").className = wanted ? "" : "chosen";
  if (wanted) focused = showing;
  refresh();
  if (!wanted) { reveal(showing); tree.focus(); }
}
byId("as-flame").onclick = () => showFlame(true);
byId("as-tree").onclick = () => showFlame(false);
tree.onscroll = () => requestAnimationFrame(paint);
addEventListener("resize", () => refresh());
const split = byId("split");
split.onpointerdown = event => split.setPointerCapture(event.pointerId);
split.onpointermove = event => { if (split.hasPointerCapture(event.pointerId)) { detail.style.flexBasis = `${Math.max(240, Math.min(innerWidth - 320, innerWidth - event.clientX))}px`; paint(); } };
byId("theme").onclick = () => {
  const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
};

document.title = data.model;
byId("title").textContent = data.model;
byId("facts").textContent = [...(data.against ? [`beside ${data.against}, which is “before”`] : []), ...data.facts].join(" · ");
byId("notes").textContent = data.notes.join("\n");
byId("as-tree").className = "chosen";
refresh();
showChosen();
select(0);
if (self === top) tree.focus(); // a notebook keeps its own
document.body.dataset.ready = String(performance.now());
