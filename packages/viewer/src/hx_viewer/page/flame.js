/* The flame graph: a call is as wide as what it takes of the chosen number; below it are its own nodes and the calls that it made. */
const FLAME = 22, THIN = 0.0008;
let focused = 0;

const stacked = () => [chosen, ...columns].find(column => column.own && (column === chosen || column.name === "time")) || columns.find(column => column.own);
/* What a call's number is made of: nodes, the rest of its own (as kernels that stand for several nodes), and calls. */
function partsOf(column, call) {
  const parts = owned[call].map(node => ({ node, amount: Number(column.nodes[node] ?? 0) })).filter(part => part.amount > 0);
  const rest = Number(column.own[call] ?? 0) - parts.reduce((sum, part) => sum + part.amount, 0);
  if (rest > 1e-9 * Number(column.total[call])) parts.push({ amount: rest });
  return [...parts, ...children[call].map(child => ({ call: child, amount: Number(column.total[child] ?? 0) }))];
}
function paintFlame() {
  const column = stacked(), whole = Number(column.total[focused] ?? 0), boxes = [], word = find.value.trim().toLowerCase();
  const add = (part, level, start, share, kind = "") => boxes.push(flameBox(column, part, level, start, share, kind + (word && !(part.call !== undefined ? words.call[part.call] : part.node !== undefined ? words.node[part.node] : "").includes(word) ? " miss" : "")));
  const above = [];
  for (let up = calls[focused].parent; up !== null; up = calls[up].parent) above.unshift(up);
  above.forEach((call, level) => add({ call, amount: Number(column.total[call] ?? 0) }, level, 0, 1, " above"));
  const pending = whole > 0 ? [[{ call: focused, amount: whole }, above.length, 0]] : [];
  let deep = above.length;
  while (pending.length) {
    const [part, level, start] = pending.pop();
    if (part.amount <= THIN * whole) continue;
    add(part, level, start / whole, part.amount / whole);
    deep = Math.max(deep, level + 1);
    let at = start;
    if (part.call !== undefined) for (const inner of partsOf(column, part.call)) { pending.push([inner, level + 1, at]); at += inner.amount; }
  }
  const given = columns.filter(one => one.own).map(one => one === column ? make("b", "", one.title) : link(one.title, () => choose(one, "total")));
  const bar = make("p", "soft", "As wide as: ", ...given.flatMap((one, place) => place ? [" · ", one] : [one]), make("span", "focused", `${nameOf(focused)[0]}: ${say(column, whole) || "none"}`));
  const area = make("div", "flames", ...boxes);
  area.style.height = deep * FLAME + 4 + "px";
  flame.replaceChildren(bar, area);
}
function flameBox(column, part, level, start, share, kind) {
  const { call, node, amount } = part;
  const name = call !== undefined ? nameOf(call).join(" ") : node !== undefined ? nodes[node].op : "its own";
  const box = make("button", (call !== undefined ? "flame-call" : "flame-node") + kind, share * flame.clientWidth > 28 ? cut(name) : "");
  const own = call !== undefined && column.own[call] !== null ? `, ${say(column, column.own[call])} own` : "";
  const of = Number(column.total[0]);
  box.title = `${call !== undefined ? calls[call].tag : node !== undefined ? `${name} ${nodes[node].outputs[0]}` : name}\n${column.title}: ${say(column, amount)}${own}${of ? `, ${(100 * amount / of).toFixed(1)} % of the model` : ""}`;
  if (call !== undefined) box.style.backgroundColor = `hsl(${hueOf(calls[call].class)} 62% 76%)`;
  Object.assign(box.style, { left: `${100 * start}%`, width: `max(1px, calc(${100 * share}% - 1px))`, top: level * FLAME + "px" });
  if (call !== undefined) box.onclick = () => { focused = call; showCall(call); paintFlame(); };
  else if (node !== undefined) box.onclick = () => showCall(nodes[node].call, node);
  return box;
}
function hueOf(text) {
  let sum = 7;
  for (const letter of text) sum = (sum * 31 + letter.codePointAt(0)) % 3600;
  return sum / 10;
}
