// A stand-in for the app: widgets drawn on a canvas, mirrored into #mirror, clicked by coordinates.
const canvas = document.getElementById("canvas"), mirror = document.getElementById("mirror");
const agent = document.getElementById("agent");
const gl = canvas.getContext("webgl2");
const state = { clicks: [], wheel: 0, keys: [], dropped: [], files: [], hidden: document.hidden, frames: 0 };
window.state = state;
const started = performance.now();
const widgets = [
  { role: "heading", name: "Start", x: 20, y: 10, w: 200, h: 30 },
  { role: "button", name: "Start", x: 20, y: 60, w: 80, h: 30, moves: true, act: () => add("Started", 400, 60) },
  { role: "button", name: "Later", x: 20, y: 120, w: 80, h: 30, disabled: true, act: () => add("Done late", 400, 120) },
  { role: "checkbox", name: "Keep best", x: 20, y: 180, w: 120, h: 30, checked: false, act(w) { w.checked = !w.checked } },
  { role: "textbox", name: "Note", x: 20, y: 240, w: 200, h: 30, value: "old", act: () => setTimeout(() => agent.focus(), 20) },
  { role: "slider", name: "Beta", x: 20, y: 300, w: 200, h: 20, value: "0", drag(w, x) { w.value = String(Math.round((x - w.x) / w.w * 100)) } },
  { role: "button", name: "Open", x: 20, y: 360, w: 80, h: 30, act: () => add("Opened 0", 400, 360) },
  { role: "button", name: "Open", x: 20, y: 400, w: 80, h: 30, act: () => add("Opened 1", 400, 400) },
  { role: "button", name: "Save 12 KB", x: 20, y: 440, w: 80, h: 30, act: save },
  { role: "button", name: "Close", x: 140, y: 440, w: 80, h: 30, act: () => drop("Close") },
  { role: "list", name: "Rows", x: 500, y: 300, w: 200, h: 200 },
  { role: "button", name: "Row 40", x: 500, y: 300 + 40 * 30, w: 200, h: 30, scrolled: true, act: () => add("Row taken", 400, 500) },
];
setTimeout(() => { widgets[2].disabled = false }, 400);
function add(name, x, y) { widgets.push({ role: "label", name, x, y, w: 120, h: 30 }) }
function drop(name) { widgets.splice(widgets.findIndex(w => w.name === name), 1) }
function save() {
  const a = document.createElement("a");
  a.href = URL.createObjectURL(new Blob([new Uint8Array(12345)]));
  a.download = "adapter.zip";
  a.click();
}
const place = w => w.moves ? { ...w, x: w.x + Math.min(300, (performance.now() - started) / 3) } :
  w.scrolled ? { ...w, y: w.y - state.wheel } : w;
const at = e => widgets.filter(w => w.role !== 'list').map(w => [w, place(w)]).find(([, p]) => e.clientX >= p.x && e.clientX < p.x + p.w && e.clientY >= p.y && e.clientY < p.y + p.h)?.[0];
let held = null;
canvas.addEventListener("pointerdown", e => { held = at(e); if (held?.drag) held.drag(held, e.clientX) });
canvas.addEventListener("pointermove", e => { if (held?.drag && e.buttons) held.drag(held, e.clientX); state.hover = at(e)?.name });
canvas.addEventListener("pointerup", e => {
  const w = at(e);
  state.clicks.push([e.clientX, e.clientY, e.isTrusted, w?.name]);
  if (w && w === held && !w.disabled && w.act) w.act(w);
  held = null;
});
canvas.addEventListener("wheel", e => { state.wheel += e.deltaY; e.preventDefault() }, { passive: false });
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) canvas.addEventListener(kind, e => {
  e.preventDefault();
  state.drag = kind; (state.drags ??= []).push(kind);
  if (kind === "drop") state.dropped = [...e.dataTransfer.files].map(f => [f.name, f.size]);
});
addEventListener("keydown", e => state.keys.push((e.ctrlKey ? "Control+" : "") + (e.shiftKey ? "Shift+" : "") + e.key));
agent.addEventListener("input", () => { widgets.find(w => w.name === "Note").value = agent.value });
agent.value = "old";
for (const id of ["files", "folder"]) document.getElementById(id).addEventListener("change", async e => {
  state.files = await Promise.all([...e.target.files].map(async f => [f.webkitRelativePath || f.name, f.size, await f.text()]));
});
addEventListener("visibilitychange", () => state.hidden = document.hidden);
function frame() {
  state.frames++;
  canvas.width = innerWidth; canvas.height = innerHeight;
  gl.viewport(0, 0, canvas.width, canvas.height);
  gl.enable(gl.SCISSOR_TEST);
  gl.scissor(0, 0, canvas.width, canvas.height);
  gl.clearColor(0.95, 0.95, 0.97, 1); gl.clear(gl.COLOR_BUFFER_BIT);
  mirror.replaceChildren(...widgets.map(w => {
    const p = place(w), e = document.createElement("div");
    gl.scissor(p.x, canvas.height - p.y - p.h, p.w, p.h);
    gl.clearColor(w.disabled ? 0.7 : 0.2, 0.5, w.checked ? 0.1 : 0.8, 1); gl.clear(gl.COLOR_BUFFER_BIT);
    e.setAttribute("role", w.role); e.setAttribute("aria-label", w.name);
    for (const [key, value] of [["x", p.x], ["y", p.y], ["w", p.w], ["h", p.h]]) e.setAttribute("data-" + key, value);
    if (w.disabled) e.setAttribute("aria-disabled", "true");
    if (w.checked !== undefined) e.setAttribute("aria-checked", w.checked);
    if (w.value !== undefined) e.setAttribute("aria-valuetext", w.value);
    if (w.role === "textbox" && document.activeElement === agent) e.setAttribute("data-focused", "true");
    return e;
  }));
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);

const worker = new Worker("worker.js");
const waiting = new Map();
worker.onmessage = e => { waiting.get(e.data.id)?.(e.data.value); waiting.delete(e.data.id) };
window.ask = (what, arg) => new Promise(done => {
  const id = Math.random();
  waiting.set(id, done);
  worker.postMessage({ id, what, arg });
});
if ("serviceWorker" in navigator && location.search === "?sw") navigator.serviceWorker.register("sw.js");
