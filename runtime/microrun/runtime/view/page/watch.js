// What a run measures of its patterns: alarms in words, a strip along the rows of the map, and a curve.
import {shortNumber} from "./map.js";

const $ = id => document.getElementById(id);
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name);
const LANE_PX = 6, GAP_PX = 2, EDGE_PX = 4, MOST_LINES = 3;
const NAMES = {mean: "brightness", contrast: "contrast", saturated: "saturated pixels", sharpness: "sharpness",
  background: "correlation with the background", distance: "latent distance, 1 is usual",
  unknown: "share of unknown patterns", bands: "bands given back"};

export class Watch {
  constructor(view) {
    this.view = view;
    this.clear();
    $("measure").onchange = () => { this.chosen = true; this.drawCurve(); };
  }

  clear() {
    [this.names, this.blocks, this.alarms, this.learned, this.chosen] = [[], [], [], null, false];
  }

  take({names, from, blocks, alarms, learned}) {
    if (from === 0) this.clear();
    Object.assign(this, {names, alarms, learned, blocks: this.blocks.slice(0, from).concat(blocks)});
    const old = this.view.left;
    this.view.left = this.width() ? this.width() + 2 * EDGE_PX : 0;
    if (old !== this.view.left && this.view.fitted) this.view.fit();
    $("stability").hidden = !this.blocks.length && !alarms.length;
    this.list();
    this.drawCurve();
    this.view.redraw();
  }

  // Lines of text: what lasts above the map, all of it in the panel.
  list() {
    const lasting = this.alarms.filter(alarm => alarm.end === null), more = lasting.length - MOST_LINES;
    const last = this.alarms.filter(alarm => alarm.end !== null).slice(-1), above = lasting.length ? lasting : last;
    $("alarms").hidden = !above.length;
    const lines = above.slice(0, MOST_LINES).map(words);
    if (more > 0) lines.push(line(`and ${more} more, on the right`, "lasting"));
    $("alarms").replaceChildren(...lines);
    $("alarmlist").replaceChildren(...(this.alarms.length ? this.alarms.map(words) : [line(this.quiet(), "")]));
  }

  quiet() {
    return this.learned === null ? "learning what is usual in this scan" : `steady against rows 0 to ${this.learned}`;
  }

  // The strip: a lane for each kind of alarm, left of the map or at the edge of the canvas.
  lanes() { return [...new Set(this.alarms.map(alarm => alarm.what))]; }
  width() { return this.blocks.length || this.alarms.length ? (this.lanes().length + 1) * (LANE_PX + GAP_PX) : 0; }

  drawStrip() {
    const wide = this.width(), {view} = this, {context, ratio} = view;
    if (!wide) return;
    const left = Math.max(EDGE_PX * ratio, view.toPixel([0, 0])[0] - (wide + EDGE_PX) * ratio);
    const pixel = row => view.toPixel([0, row * view.sy])[1];
    const bar = (lane, from, to, colour) => {
      context.fillStyle = css(colour);
      context.fillRect(left + lane * (LANE_PX + GAP_PX) * ratio, pixel(from), LANE_PX * ratio,
        Math.max(2 * ratio, pixel(to) - pixel(from)));
    };
    const lanes = this.lanes(), reached = this.reached();
    if (reached) {
      bar(lanes.length, 0, reached, "--good");
      if (this.learned !== null) bar(lanes.length, 0, this.learned, "--faint");
    }
    for (const {what, row, end} of this.alarms) {
      bar(lanes.indexOf(what), row, end ?? Math.max(row + 1, reached), end === null ? "--bad" : "--warn");
    }
  }

  reached() {
    const {blocks} = this, last = blocks.at(-1), before = blocks.at(-2);
    return last ? Math.min(this.view.info.rows, last[0] + Math.max(1, before ? last[0] - before[0] : 1)) : 0;
  }

  // What was measured where the cursor is.
  at([row, col]) {
    const place = row + col / this.view.info.cols, found = this.blocks.findLast(block => block[0] <= place);
    if (!found || row >= this.reached()) return "";
    const told = this.names.map((name, i) => [name, found[i + 1]]).filter(([name, value]) => value !== null && name !== "saturated");
    return told.map(([name, value]) => `${name} ${shortNumber(value)}`).join(" · ");
  }

  // The curve of one measure over the rows; that of the first alarm that lasts, unless another was chosen.
  drawCurve() {
    const select = $("measure"), measured = this.names.filter((_, i) => this.blocks.some(block => block[i + 1] !== null));
    if (select.dataset.options !== String(measured)) {
      const kept = select.value;
      select.dataset.options = String(measured);
      select.replaceChildren(...measured.map(name => new Option(NAMES[name] || name, name)));
      if (measured.includes(kept)) select.value = kept; else if (measured.includes("sharpness")) select.value = "sharpness";
    }
    const loud = this.alarms.find(alarm => alarm.end === null && measured.includes(alarm.what));
    if (loud && !this.chosen) select.value = loud.what;
    const place = this.names.indexOf(select.value) + 1, points = this.blocks.map(block => [block[0], block[place]]);
    plot(points.filter(([, value]) => value !== null && value !== undefined), this.view.info?.rows || 1,
      this.alarms.filter(alarm => alarm.what === select.value));
  }
}

function plot(points, rows, alarms) {
  const canvas = $("curve"), ratio = devicePixelRatio || 1, context = canvas.getContext("2d");
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  [canvas.width, canvas.height] = [width * ratio, height * ratio];
  context.scale(ratio, ratio);
  if (!points.length) return;
  const values = points.map(([, value]) => value), low = Math.min(...values), high = Math.max(...values);
  const x = row => row / rows * width, y = value => height - 6 - (value - low) / Math.max(high - low, 1e-12) * (height - 24);
  context.globalAlpha = 0.25;
  for (const {row, end} of alarms) {
    context.fillStyle = css(end === null ? "--bad" : "--warn");
    context.fillRect(x(row), 0, Math.max(2, x(end ?? points.at(-1)[0]) - x(row)), height);
  }
  context.globalAlpha = 1;
  context.strokeStyle = css("--accent");
  context.lineWidth = 1.5;
  context.beginPath();
  points.forEach(([row, value], i) => { if (i) context.lineTo(x(row), y(value)); else context.moveTo(x(row), y(value)); });
  context.stroke();
  context.fillStyle = css("--faint");
  context.font = "10px system-ui, sans-serif";
  context.fillText(`${shortNumber(low)} to ${shortNumber(high)} over the rows`, 0, 9);
}

function words(alarm) {
  return alarm.end === null ? line(alarm.text, "lasting") : line(`${alarm.text} Over at row ${alarm.end}.`, "over");
}

function line(text, kind) {
  const found = document.createElement("div");
  found.textContent = text;
  found.className = kind;
  return found;
}
