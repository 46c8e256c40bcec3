// The page: what is asked for, what comes, and what the hand does.
import {percentiles} from "./colours.js";
import {MapView} from "./map.js";
import {drawProfile, showPoint} from "./panel.js";
import {Line} from "./socket.js";
import {Watch} from "./watch.js";

const $ = id => document.getElementById(id);
const view = new MapView($("map")), watch = new Watch(view);
const limits = {pca: [2, 98], other: [1, 99]};
let info = null, wanted = {kind: "pca", numbers: []}, cursor = null, asking = false, waiting = null, hold = null, run = {};

const line = new Line({
  hello(about) {
    info = about;
    document.title = `${about.name} · microrun view`;
    $("name").textContent = about.name;
    for (const id of ["red", "green", "blue"]) $(id).max = about.features - 1;
    listKinds(about.stored);
    view.setInfo(about);
    asking = false;
    if (wanted.kind !== "pca") line.send({show: wanted});
  },
  layer(about, message) {
    info.stored = message.stored;
    listKinds(message.stored);
    if (!sameLayer(about, view.layer)) resetLimits(about.kind);
    view.setLayer(about);
    showControls(about);
  },
  values(about, numbers) {
    if (view.layer && about.values === view.layer.number) view.put(about.start, numbers);
  },
  point(about, bytes) {
    asking = false;
    showPoint(about, bytes, info);
    askPoint();
  },
  watch(about) { watch.take(about); },
  state(now) { run = now; showState(); },
  refused(text) {
    asking = false;
    say(text);
    if (view.layer) showControls(view.layer);
  },
  lost() {
    $("state").textContent = "reconnecting";
    $("state").className = "reconnecting";
  },
});

// What is shown
function listKinds(stored) {
  const select = $("kind"), names = Object.keys(stored);
  const options = [["pca", "principal components"], ["feature", "one feature"], ["rgb", "three features as RGB"],
    ["distance", "distance to a point"], ...names.map(name => [`stored:${name}`, name.replace("/", ": ")])];
  if (select.dataset.options === JSON.stringify(options)) return;
  select.dataset.options = JSON.stringify(options);
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
}

const kindOf = layer => layer.kind === "features" ? (layer.numbers.length === 3 ? "rgb" : "feature")
  : layer.kind === "stored" ? `stored:${layer.name}` : layer.kind;
const sameLayer = (a, b) => b && kindOf(a) === kindOf(b) && String(a.numbers) === String(b.numbers);

function show(layer) {
  wanted = layer;
  line.send({show: layer});
}

function chosenLayer() {
  const kind = $("kind").value, numbers = ["red", "green", "blue"].map(id => Number($(id).value));
  if (kind === "feature") return {kind: "features", numbers: numbers.slice(0, 1)};
  if (kind === "rgb") return {kind: "features", numbers};
  if (kind === "distance") return view.marks.pick ? {kind, numbers: view.marks.pick} : null;
  return kind.startsWith("stored:") ? {kind: "stored", numbers: [], name: kind.slice(7)} : {kind, numbers: []};
}

function askLayer() {
  const layer = chosenLayer();
  if (layer) show(layer);
  else { say("click a point of the map first"); showControls(view.layer); }
}

function showControls(layer) {
  wanted = {kind: layer.kind, numbers: layer.numbers, name: layer.name};
  $("kind").value = kindOf(layer);
  const count = layer.kind === "features" ? layer.numbers.length : 0;
  ["red", "green", "blue"].forEach((id, i) => {
    $(id).hidden = i >= count;
    if (i < count) $(id).value = layer.numbers[i];
  });
  $("command").textContent = commandOf(layer);
}

function commandOf(layer) {
  if (layer.kind === "pca") return `microrun maps ${info.file} --pca${run.stated && run.recoloured ? " --recolour" : ""}`;
  if (layer.kind === "features") return `microrun maps ${info.file} --features ${layer.numbers.join(",")}`;
  if (layer.kind === "distance") return `microrun analyse ${info.file} --pick ${layer.numbers.join(",")}`;
  return `microrun analyse ${info.file}`;
}

function resetLimits(kind) {
  [$("low").value, $("high").value] = limits[kind] || limits.other;
}

function takeLimits() {
  const found = percentiles(view.values, view.layer.channels, Number($("low").value), Number($("high").value));
  if (found) view.setLimits(found);
}

// Where the run stands
const many = count => count.toLocaleString("en");
function duration(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return parts[0] ? `${parts[0]} h ${parts[1]} min` : parts[1] ? `${parts[1]} min ${parts[2]} s` : `${parts[2]} s`;
}

const ENDS = {stopped: "it was stopped", failed: "its run failed", "": "its writer is gone"};

function showState() {
  const {state, done, rate} = run, words = {interrupted: `interrupted: ${ENDS[run.ended]}`, gone: "the file is gone"};
  $("state").textContent = words[state] || state;
  $("state").className = state;
  $("state").title = run.trouble;
  $("progress").value = done / info.total;
  const parts = [`${many(done)} of ${many(info.total)} patterns`];
  if (state === "live") parts.push(`${many(Math.round(rate))}/s`);
  if (state === "live" && run.left !== null) parts.push(`${duration(run.left)} left`);
  if (state === "live" && run.ahead) parts.push(`${many(run.ahead)} behind the scan`);
  if (run.dropped) parts.push(`${many(run.dropped)} dropped`);
  if (run.missing) parts.push(`${many(run.missing)} missing`);
  $("counts").textContent = parts.join(" · ");
  $("colours").textContent = `colours ${run.colours}`;
  $("recolour").ariaPressed = String(run.stated && run.recoloured);
  if (view.layer) $("command").textContent = commandOf(view.layer);
  showAlarm(run.familiarity);
  report();
}

function showAlarm(familiarity) {
  $("alarm").hidden = !familiarity;
  if (!familiarity) return;
  const {median, expected} = familiarity, known = median >= expected;
  $("alarmtext").textContent = known ? `${info.model} knows these patterns` : `${info.model} does not know these patterns`;
  $("alarmtext").className = known ? "good" : "bad";
  $("alarm").title = `bands that the model gives back: median ${median.toFixed(2)}, expected above ${expected.toFixed(2)}`;
  Object.assign($("alarmbar"), {value: Math.max(0, median), low: expected, high: Math.min(1, expected + 0.02), optimum: 1});
}

let silence = 0;
function say(text) {
  $("message").textContent = text;
  $("message").hidden = false;
  clearTimeout(silence);
  silence = setTimeout(() => { $("message").hidden = true; }, 4000);
}

// The point under the cursor
function point(cell) {
  cursor = cell;
  $("measured").textContent = cell ? watch.at(cell) : "";
  if (!cell) { $("place").textContent = "Point at the map."; return; }
  const {rows: [row0], cols: [col0], every} = info.part, unit = info.step[0] > 0 ? "µm" : "steps";
  const x = onSample(cell[1] + view.shift(cell[0]), view.sx, col0), y = onSample(cell[0], view.sy, row0);
  const values = view.valueAt(cell), there = values[0] === Infinity ? "no information"
    : Number.isNaN(values[0]) ? "not measured yet" : values.map(value => value.toFixed(3)).join(", ");
  const whole = row0 || col0 || every > 1 ? ` (${row0 + cell[0] * every}, ${col0 + cell[1] * every} of the scan)` : "";
  $("place").textContent = `row ${cell[0]}, column ${cell[1]}${whole} · ${x.toFixed(2)}, ${y.toFixed(2)} ${unit} · ${there}`;
  waiting = cell;
  askPoint();
}

// A place in the part of a scan that was encoded, from the scan's first point on: its step is known, or is one.
function onSample(place, step, first) {
  const {every} = info.part;
  return info.step[0] > 0 ? (place + first / every) * step : (place * every + first) * step;
}

function askPoint() {
  if (asking || !waiting) return;
  line.send({point: waiting});
  [asking, waiting] = [true, null];
}

// What the hand does
function moveTo(event) {
  const cell = view.cell(event.offsetX, event.offsetY);
  if (!hold) { if (String(cell) !== String(cursor)) point(cell); return; }
  hold.moved ||= Math.hypot(event.offsetX - hold.x0, event.offsetY - hold.y0) > 4;
  if (hold.kind === "pan" && hold.moved) view.pan(event.offsetX - hold.x, event.offsetY - hold.y);
  if (hold.kind === "region") setRegion(hold, event);
  if (hold.kind === "line" && hold.moved && hold.cell && cell) { view.marks.line = [hold.cell, cell]; view.redraw(); }
  [hold.x, hold.y] = [event.offsetX, event.offsetY];
}

function setRegion(from, event) {
  const corners = [view.toWorld(from.x0, from.y0), view.toWorld(event.offsetX, event.offsetY)];
  const span = (axis, step, most) => {
    const [a, b] = corners.map(corner => corner[axis] / step).sort((p, q) => p - q);
    return [Math.max(0, Math.floor(a)), Math.min(most, Math.ceil(b))];
  };
  const region = [...span(1, view.sy, info.rows), ...span(0, view.sx, info.cols)];
  if (region[0] >= region[1] || region[2] >= region[3]) return;
  view.marks.region = region;
  const {rows, cols, every} = info.part;
  const spanOf = (a, b, [first, stop]) => `${first + a * every}:${Math.min(stop, first + b * every)}`;
  showRegion(`--region ${spanOf(region[0], region[1], rows)},${spanOf(region[2], region[3], cols)}`);
  view.redraw();
}

// The commands that take a region, of the scan or of the latents.
const USES = {
  "maps of physics": (region, scan) => `microrun physics ${scan} ${region}`,
  analysis: (region, _, file) => `microrun analyse ${file} ${region}`,
  "a table of latents": (region, _, file) => `microrun convert ${file} --to csv ${region}`,
  "a pattern file": (region, scan) => `microrun convert ${scan} --to up2 ${region} --out region.up2`,
  training: (region, scan) => `microrun train vae ${scan} ${region}`,
  encoding: (region, scan) => `microrun encode ${scan} ${region} --engine ${info.engine} --out region.latents.h5`,
};

function showRegion(text) {
  $("region").textContent = text;
  $("use").hidden = !text.startsWith("--");
  $("regioncommand").textContent = USES[$("regionuse").value](text, run.scan || "SCAN", info.file);
}

function copy() {
  getSelection().selectAllChildren($("regioncommand"));
  const copied = navigator.clipboard?.writeText($("regioncommand").textContent);
  if (copied) copied.then(() => say("copied")).catch(() => say("press Ctrl-C to copy")); else say("press Ctrl-C to copy");
}

function release(event) {
  const held = hold, cell = view.cell(event.offsetX, event.offsetY);
  hold = null;
  if (!held || held.kind === "region") return;
  if (held.kind === "line") profile(held.moved ? held.cell : view.marks.pick, cell);
  else if (!held.moved && cell) { view.marks.pick = cell; view.marks.line = null; show({kind: "distance", numbers: cell}); }
}

function profile(from, to) {
  if (!to) return;
  if (!from) { say("click where the profile begins, then Shift-click where it ends"); return; }
  view.marks.line = [from, to];
  view.redraw();
}

function listen() {
  $("regionuse").replaceChildren(...Object.keys(USES).map(name => new Option(name)));
  $("regionuse").onchange = () => showRegion($("region").textContent);
  $("copy").onclick = copy;
  const canvas = $("map");
  canvas.onpointerdown = event => {
    const [x, y] = [event.offsetX, event.offsetY];
    if (!info || event.button) return;
    const kind = event.shiftKey ? "line" : event.ctrlKey || $("select").ariaPressed === "true" ? "region" : "pan";
    hold = {kind, x0: x, y0: y, x, y, cell: view.cell(x, y), moved: false};
    canvas.setPointerCapture(event.pointerId);
  };
  canvas.onpointermove = event => { if (view.layer) moveTo(event); };
  canvas.onpointerup = release;
  canvas.onpointercancel = () => { hold = null; };
  canvas.addEventListener("wheel", event => {
    event.preventDefault();
    if (view.layer) view.zoomAt(event.offsetX, event.offsetY, Math.exp(-event.deltaY / 400));
  }, {passive: false});
  $("fit").onclick = () => view.fit();
  $("select").onclick = () => { $("select").ariaPressed = String($("select").ariaPressed !== "true"); };
  $("recolour").onclick = () => { resetLimits(view.layer.kind); line.send({recolour: !(run.stated && run.recoloured)}); };
  $("kind").onchange = askLayer;
  for (const id of ["red", "green", "blue"]) $(id).onchange = askLayer;
  for (const id of ["low", "high"]) $(id).onchange = takeLimits;
  $("save").onclick = () => $("map").toBlob(save);
  canvas.onkeydown = press;
}

function press(event) {
  const {clientWidth: width, clientHeight: height} = $("map"), step = 60;
  const moves = {ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step]};
  if (moves[event.key]) view.pan(...moves[event.key]);
  else if (event.key === "+" || event.key === "-") view.zoomAt(width / 2, height / 2, event.key === "+" ? 1.25 : 0.8);
  else if (event.key === "0") view.fit();
  else if (event.key === "s") $("select").click();
  else if (event.key === "Escape") { view.marks = {}; showRegion("–"); show({kind: "pca", numbers: []}); }
  else return;
  event.preventDefault();
}

function save(blob) {
  const link = document.createElement("a"), {kind, numbers, name} = view.layer;
  const what = kind === "stored" ? name.replace("/", "-") : [kind, ...numbers].join("-");
  link.href = URL.createObjectURL(blob);
  link.download = `${info.name.replace(/(\.latents)?\.h5$/, "")}.${what}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

view.onpaint = () => {
  watch.drawStrip();
  if (view.marks.line) drawProfile(view, ...view.marks.line);
  report();
};

// What is painted stands in the document, for whoever measures or tests it.
function report() {
  Object.assign($("map").dataset, {painted: view.painted, done: run.done ?? 0, layer: view.layer ? kindOf(view.layer) : ""});
}
window.microrunView = view;
listen();
