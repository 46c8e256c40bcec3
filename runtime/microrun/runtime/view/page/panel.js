// The side panel: pictures of a point, its latent vector, and a profile of what is shown.
import {tables} from "./colours.js";
import {shortNumber} from "./map.js";

const $ = id => document.getElementById(id);
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name);
const LINES = ["#e5484d", "#30a46c", "#3e8bff"];

function picture(canvas, side, word) {
  const [rows, cols] = side, context = canvas.getContext("2d");
  if (canvas.width !== cols) { canvas.width = cols; canvas.height = rows; }
  context.clearRect(0, 0, cols, rows);
  if (!word) return;
  const image = new ImageData(cols, rows), words = new Uint32Array(image.data.buffer);
  for (let i = 0; i < words.length; i++) words[i] = word(i);
  context.putImageData(image, 0, 0);
}

export function showPoint(about, bytes, info) {
  const side = info.side, size = side[0] * side[1];
  let taken = 0;
  const next = there => there ? bytes.subarray(taken, taken += size) : null;
  const grey = levels => levels && (i => 0xff000000 + levels[i] * 0x10101);
  picture($("pattern"), side, grey(next(about.pattern)));
  picture($("made"), side, grey(next(about.reconstruction)));
  const left = next(about.difference);
  picture($("difference"), side, left && (i => tables.diverging[left[i]]));
  $("correlation").textContent = about.correlation === null ? "" : `correlation of the bands ${about.correlation.toFixed(2)}`;
  $("notes").textContent = about.notes.join(" · ");
  drawLatent(about.seen && about.informative ? about.latent : []);
}

function prepared(id) {
  const canvas = $(id), ratio = devicePixelRatio || 1, context = canvas.getContext("2d");
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = canvas.clientHeight * ratio;
  context.scale(ratio, ratio);
  context.font = "10px system-ui, sans-serif";
  return [context, canvas.clientWidth, canvas.clientHeight];
}

function drawLatent(latent) {
  const [context, width, height] = prepared("latent"), most = Math.max(1e-9, ...latent.map(Math.abs));
  const each = width / Math.max(1, latent.length);
  context.fillStyle = css("--line");
  context.fillRect(0, height / 2, width, 1);
  context.fillStyle = css("--accent");
  latent.forEach((value, i) => context.fillRect(i * each, height / 2, Math.max(1, each - 1), -value / most * height / 2));
  $("latentcaption").textContent = latent.length
    ? `latent vector, features 0 to ${latent.length - 1}, within ±${shortNumber(most)}` : "latent vector";
}

// Values of what is shown along a line of points, against the distance.
export function drawProfile(view, from, to) {
  const a = view.centre(from), b = view.centre(to), far = Math.hypot(b[0] - a[0], b[1] - a[1]);
  const count = Math.max(2, Math.ceil(far / Math.min(view.sx, view.sy)) + 1), rows = [];
  for (let i = 0; i < count; i++) {
    const t = i / (count - 1), cell = view.cellAt(a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t);
    rows.push(cell ? view.valueAt(cell) : [NaN]);
  }
  $("profile").hidden = false;
  const finite = rows.flat().filter(Number.isFinite), [context, width, height] = prepared("profile");
  if (!finite.length) return [];
  const low = Math.min(...finite), high = Math.max(...finite), scale = (height - 16) / Math.max(high - low, 1e-12);
  context.fillStyle = css("--faint");
  context.fillText(shortNumber(high), 0, 9);
  context.fillText(shortNumber(low), 0, height - 2);
  for (let channel = 0; channel < view.layer.channels; channel++) {
    context.strokeStyle = view.layer.channels === 1 ? css("--accent") : LINES[channel];
    context.lineWidth = 1.5;
    context.beginPath();
    let down = false;
    rows.forEach((values, i) => {
      const value = values[channel], x = i / (count - 1) * width, y = height - 8 - (value - low) * scale;
      if (!Number.isFinite(value)) { down = false; return; }
      if (down) context.lineTo(x, y); else context.moveTo(x, y);
      down = true;
    });
    context.stroke();
  }
  const unit = view.info.step[0] > 0 ? "µm" : "steps";
  $("profilecaption").textContent =
    `row ${from[0]}, column ${from[1]} to row ${to[0]}, column ${to[1]}: ${shortNumber(far)} ${unit}`;
  return rows;
}
