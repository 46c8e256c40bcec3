// Colours of numbers: one or three channels, limits by percentiles, little-endian RGBA in one 32-bit word.
export const BLANK = 0xff808080; // a pattern without information
const SEQUENTIAL = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137],
  [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37]];
const DIVERGING = [[16, 42, 110], [48, 98, 176], [116, 162, 212], [188, 211, 232], [242, 240, 236], [240, 204, 184],
  [222, 144, 116], [184, 70, 60], [108, 14, 34]];
const MOST = 65536; // values that percentiles are taken of
const LABELS = 4096;

const word = (r, g, b) => (255 << 24 | b << 16 | g << 8 | r) >>> 0;

function table(stops) {
  const found = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    const t = i / 255 * (stops.length - 1), k = Math.min(stops.length - 2, t | 0), f = t - k;
    found[i] = word(...stops[k].map((value, j) => Math.round(value + (stops[k + 1][j] - value) * f)));
  }
  return found;
}

function labelTable() {
  const found = new Uint32Array(LABELS);
  let seed = 1;
  const next = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  for (let i = 0; i < LABELS; i++) found[i] = word(...[0, 0, 0].map(() => 40 + Math.floor(200 * next())));
  return found;
}

export const tables = {sequential: table(SEQUENTIAL), diverging: table(DIVERGING), labels: labelTable()};

// Limits of single channels whose values lie on both sides of 0 are made symmetric, so that 0 has the middle colour.
export function scaleOf(layer) {
  const [low, high] = layer.limits[0];
  const signed = layer.kind !== "distance" && low < 0 && high > 0 && Math.min(-low, high) > 0.1 * Math.max(-low, high);
  if (layer.channels === 3 || !signed) return {limits: layer.limits, table: tables.sequential, signed: false};
  const end = Math.max(-low, high);
  return {limits: [[-end, end]], table: tables.diverging, signed: true};
}

export function paint(values, layer, colours, start, stop) {
  const {limits, table: lut} = scaleOf(layer);
  if (layer.labels) return paintLabels(values, colours, start, stop);
  const [l0, h0] = limits[0], g0 = 255 / Math.max(h0 - l0, 1e-12);
  if (layer.channels === 1) {
    for (let i = start; i < stop; i++) {
      const v = values[i];
      colours[i] = v !== v ? 0 : v === Infinity ? BLANK : lut[Math.max(0, Math.min(255, (v - l0) * g0 + 0.5 | 0))];
    }
    return;
  }
  const [[, ], [l1, h1], [l2, h2]] = limits, g1 = 255 / Math.max(h1 - l1, 1e-12), g2 = 255 / Math.max(h2 - l2, 1e-12);
  const byte = v => v < 0 ? 0 : v > 255 ? 255 : v + 0.5 | 0;
  for (let i = start, k = 3 * start; i < stop; i++, k += 3) {
    const v = values[k];
    colours[i] = v !== v ? 0 : v === Infinity ? BLANK
      : word(byte((v - l0) * g0), byte((values[k + 1] - l1) * g1), byte((values[k + 2] - l2) * g2));
  }
}

function paintLabels(values, colours, start, stop) {
  for (let i = start; i < stop; i++) {
    const v = values[i];
    colours[i] = v !== v ? 0 : v < 0 || v === Infinity ? BLANK : tables.labels[v % LABELS];
  }
}

// Percentiles of what is there, for each channel; null where nothing is.
export function percentiles(values, channels, low, high) {
  const points = values.length / channels, step = Math.max(1, Math.ceil(points / MOST)), found = [];
  for (let channel = 0; channel < channels; channel++) {
    const some = [];
    for (let i = 0; i < points; i += step) {
      const v = values[i * channels + channel];
      if (Number.isFinite(v)) some.push(v);
    }
    if (!some.length) return null;
    const sorted = Float64Array.from(some).sort();
    found.push([low, high].map(share => at(sorted, share / 100)));
  }
  return found;
}

function at(sorted, share) {
  const place = share * (sorted.length - 1), k = Math.floor(place), next = Math.min(k + 1, sorted.length - 1);
  return sorted[k] + (sorted[next] - sorted[k]) * (place - k);
}
