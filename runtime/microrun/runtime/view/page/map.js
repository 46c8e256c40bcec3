// The map on its canvas: every pixel asks which point of the grid it shows, so that any size, zoom and grid is one case.
import {paint, scaleOf} from "./colours.js";

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name);
const HATCH_PX = 8, MOST_ZOOM = 200;

export class MapView {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", {willReadFrequently: true});
    this.marks = {};
    this.asked = false;
    this.painted = 0;
    this.left = 0; // for what is drawn beside the map
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  setInfo(info) {
    const old = this.info, points = info.rows * info.cols;
    const same = old && old.rows === info.rows && old.cols === info.cols && old.hexagonal === info.hexagonal;
    this.info = info;
    this.sx = info.step[0] || 1;
    this.sy = info.step[1] || (info.hexagonal ? this.sx * Math.sqrt(3) / 2 : this.sx);
    this.colours = new Uint32Array(points);
    if (!same) { this.marks = {}; this.fit(); }
  }

  setLayer(layer) {
    this.layer = layer;
    this.values = new Float32Array(this.info.rows * this.info.cols * layer.channels).fill(NaN);
    this.colours.fill(0);
    this.redraw();
  }

  put(start, numbers) {
    const {channels} = this.layer, stop = start + numbers.length / channels, {cols} = this.info;
    this.values.set(numbers, start * channels);
    paint(this.values, this.layer, this.colours, start, stop);
    this.redraw(Math.floor(start / cols), Math.ceil(stop / cols));
  }

  setLimits(limits) {
    this.layer.limits = limits;
    paint(this.values, this.layer, this.colours, 0, this.colours.length);
    this.redraw();
  }

  // Geometry: world units are µm, or steps where the step is not known.
  shift(row) { return this.info.hexagonal && (row % 2 === 1) !== this.info.firstShifted ? 0.5 : 0; }
  get width() { return (this.info.cols + (this.info.hexagonal ? 0.5 : 0)) * this.sx; }
  get height() { return this.info.rows * this.sy; }

  exists(row, col) {
    const {rows, cols, alternating} = this.info;
    return row >= 0 && row < rows && col >= 0 && col < cols && !(alternating && this.shift(row) && col === cols - 1);
  }

  cellAt(x, y) { // of a place in the world; null beside the map
    const u = x / this.sx, v = y / this.sy;
    let row = Math.floor(v), col = Math.floor(u);
    if (this.info.hexagonal) [row, col] = this.hexagon(u, v - 0.5);
    return this.exists(row, col) ? [row, col] : null;
  }

  hexagon(u, v) { // hexagons are what is nearest to their centres
    const row = Math.floor(v), f = v - row, k = (this.sy / this.sx) ** 2;
    const c0 = Math.floor(u - this.shift(row)), c1 = Math.floor(u - this.shift(row + 1));
    if (f < 1 / 3) return [row, c0];
    if (f > 2 / 3) return [row + 1, c1];
    const d0 = (u - this.shift(row) - c0 - 0.5) ** 2 + f * f * k;
    const d1 = (u - this.shift(row + 1) - c1 - 0.5) ** 2 + (1 - f) ** 2 * k;
    return d0 <= d1 ? [row, c0] : [row + 1, c1];
  }

  centre([row, col]) { return [(col + 0.5 + this.shift(row)) * this.sx, (row + 0.5) * this.sy]; }
  toWorld(px, py) { return [this.x + px * this.ratio / this.zoom, this.y + py * this.ratio / this.zoom]; }
  toPixel([x, y]) { return [(x - this.x) * this.zoom, (y - this.y) * this.zoom]; }
  cell(px, py) { return this.cellAt(...this.toWorld(px, py)); }
  valueAt([row, col]) {
    const {channels} = this.layer, i = (row * this.info.cols + col) * channels;
    return Array.from(this.values.subarray(i, i + channels));
  }

  resize() {
    this.ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * this.ratio), height = Math.round(this.canvas.clientHeight * this.ratio);
    if (!width || !height || (width === this.canvas.width && height === this.canvas.height)) return;
    const fitted = this.fitted;
    this.canvas.width = width;
    this.canvas.height = height;
    this.image = new ImageData(width, height);
    this.words = new Uint32Array(this.image.data.buffer);
    if (this.info && (fitted || this.zoom === undefined)) this.fit();
    this.redraw();
  }

  fit() {
    if (!this.image) this.resize();
    const {width, height} = this.canvas, margin = 0.96, below = 44 * this.ratio; // for the bars
    const left = this.left * this.ratio;
    this.zoom = margin * Math.min((width - left) / this.width, (height - below) / this.height);
    this.x = (this.width - (width + left) / this.zoom) / 2;
    this.y = (this.height - (height - below) / this.zoom) / 2;
    this.fitted = true;
    this.redraw();
  }

  pan(dx, dy) {
    this.x -= dx * this.ratio / this.zoom;
    this.y -= dy * this.ratio / this.zoom;
    this.fitted = false;
    this.redraw();
  }

  zoomAt(px, py, factor) {
    const [x, y] = this.toWorld(px, py), least = 16 / Math.max(this.width, this.height);
    this.zoom = Math.min(MOST_ZOOM * this.ratio / this.sx, Math.max(least, this.zoom * factor));
    this.x = x - px * this.ratio / this.zoom;
    this.y = y - py * this.ratio / this.zoom;
    this.fitted = false;
    this.redraw();
  }

  redraw(firstRow = -Infinity, stopRow = Infinity) {
    this.from = Math.min(this.from ?? Infinity, firstRow);
    this.to = Math.max(this.to ?? -Infinity, stopRow);
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      const {from, to} = this;
      this.from = this.to = undefined;
      if (this.image && this.info && this.layer) this.draw(from, to);
    });
  }

  draw(from, to) {
    const first = Math.max(0, Math.floor(((from - 1) * this.sy - this.y) * this.zoom));
    const last = Math.min(this.canvas.height, Math.ceil(((to + 1) * this.sy - this.y) * this.zoom));
    this.theme();
    if (this.info.hexagonal) this.fillHexagons(first, last); else this.fillSquares(first, last);
    this.context.putImageData(this.image, 0, 0);
    this.drawMarks();
    this.drawBars();
    this.painted++;
    this.onpaint?.();
  }

  theme() {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    [this.ground, this.hatch, this.hatchLine] = dark ? [0xff1b1715, 0xff2b2622, 0xff48413b] : [0xffffffff, 0xfff1efed, 0xffcdc6c0];
  }

  fillSquares(first, last) {
    const {width} = this.canvas, {rows, cols} = this.info, {words, colours, ground} = this;
    const columns = new Int32Array(width);
    for (let px = 0; px < width; px++) {
      const col = Math.floor((this.x + (px + 0.5) / this.zoom) / this.sx);
      columns[px] = col >= 0 && col < cols ? col : -1;
    }
    for (let py = first; py < last; py++) {
      const row = Math.floor((this.y + (py + 0.5) / this.zoom) / this.sy), out = py * width, base = row * cols;
      if (row < 0 || row >= rows) { words.fill(ground, out, out + width); continue; }
      for (let px = 0; px < width; px++) {
        const col = columns[px];
        words[out + px] = col < 0 ? ground : colours[base + col] || this.hatched(px, py);
      }
    }
  }

  fillHexagons(first, last) {
    const {width} = this.canvas, {cols} = this.info, {words, colours, ground} = this;
    for (let py = first; py < last; py++) {
      const v = (this.y + (py + 0.5) / this.zoom) / this.sy - 0.5, out = py * width;
      for (let px = 0; px < width; px++) {
        const [row, col] = this.hexagon((this.x + (px + 0.5) / this.zoom) / this.sx, v);
        words[out + px] = this.exists(row, col) ? colours[row * cols + col] || this.hatched(px, py) : ground;
      }
    }
  }

  hatched(px, py) {
    const period = HATCH_PX * this.ratio;
    return (px + py) % period < this.ratio ? this.hatchLine : this.hatch;
  }

  drawMarks() {
    const {context, marks, ratio} = this;
    for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width * ratio;
      context.beginPath();
      if (marks.region) this.traceRegion(marks.region);
      if (marks.line) { context.moveTo(...this.toPixel(this.centre(marks.line[0]))); context.lineTo(...this.toPixel(this.centre(marks.line[1]))); }
      if (marks.pick) this.traceCross(this.toPixel(this.centre(marks.pick)), 7 * ratio);
      context.stroke();
    }
  }

  traceRegion([r0, r1, c0, c1]) {
    const [x, y] = this.toPixel([c0 * this.sx, r0 * this.sy]), [right, below] = this.toPixel([c1 * this.sx, r1 * this.sy]);
    this.context.rect(x, y, right - x, below - y);
  }

  traceCross([x, y], arm) {
    for (const [dx, dy] of [[arm, 0], [0, arm]]) { this.context.moveTo(x - dx, y - dy); this.context.lineTo(x + dx, y + dy); }
  }

  drawBars() {
    const {context, ratio, canvas} = this, {height, width} = canvas, base = height - 14 * ratio;
    const known = this.info.step[0] > 0, length = niceLength(140 * ratio / this.zoom), long = length * this.zoom;
    context.font = `${12 * ratio}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    this.boxed(10 * ratio, base - 20 * ratio, long + 20 * ratio, 28 * ratio);
    context.fillRect(20 * ratio, base, long, 3 * ratio);
    context.textAlign = "center";
    context.fillText(`${+length.toPrecision(3)} ${known ? "µm" : length === 1 ? "step" : "steps"}`, 20 * ratio + long / 2, base - 9 * ratio);
    if (!this.layer.labels) this.drawColourBar(width - 10 * ratio, base);
  }

  boxed(x, y, width, height) {
    const {context} = this;
    context.fillStyle = css("--bar");
    context.globalAlpha = 0.86;
    context.fillRect(x, y, width, height);
    context.globalAlpha = 1;
    context.fillStyle = css("--text");
  }

  drawColourBar(right, base) {
    const {context, ratio, layer} = this;
    context.textAlign = "left";
    if (layer.channels === 3) {
      const names = layer.kind === "pca" ? ["component 1", "2", "3"] : layer.numbers.map((n, i) => (i ? "" : "feature ") + n);
      const wide = 180 * ratio, left = right - wide;
      this.boxed(left, base - 20 * ratio, wide, 28 * ratio);
      let x = left + 8 * ratio;
      ["#e5484d", "#30a46c", "#3e8bff"].forEach((colour, i) => {
        context.fillStyle = colour;
        context.fillRect(x, base - 10 * ratio, 10 * ratio, 10 * ratio);
        context.fillStyle = css("--text");
        context.fillText(names[i], x + 14 * ratio, base - 5 * ratio);
        x += 26 * ratio + context.measureText(names[i]).width;
      });
      return;
    }
    const {limits: [[low, high]], table} = scaleOf(layer), long = 160 * ratio, left = right - long - 130 * ratio;
    this.boxed(left, base - 20 * ratio, long + 130 * ratio, 28 * ratio);
    for (let i = 0; i < long; i++) {
      const w = table[Math.floor(i / long * 256)];
      context.fillStyle = `rgb(${w & 255},${w >> 8 & 255},${w >> 16 & 255})`;
      context.fillRect(left + 65 * ratio + i, base - 10 * ratio, 1, 12 * ratio);
    }
    context.fillStyle = css("--text");
    context.textAlign = "right";
    context.fillText(shortNumber(low), left + 60 * ratio, base - 4 * ratio);
    context.textAlign = "left";
    context.fillText(shortNumber(high), left + long + 70 * ratio, base - 4 * ratio);
  }
}

export const shortNumber = value => String(+value.toPrecision(3));

function niceLength(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [5, 2, 1].find(step => step * power <= most * (1 + 1e-9)) * power;
}
