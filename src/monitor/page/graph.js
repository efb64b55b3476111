// graph.js - the answer to a range query as a graph, drawn by dygraphs. Series go to it as numbers: their names, which
// come from outside, are shown by legend.js and the tip only.
/* global Dygraph */
import { count, el, message, replace, series, seriesText } from './dom.js';
import { legend } from './legend.js';
import { formatTime, useLocal } from './time.js';

const SERIES_FIRST = 200; // more are drawn when asked for
const EXEMPLARS_MAX = 300;
const DRAG_MIN = 6;
const LIGHT = ['#2563c9', '#c2410c', '#15803d', '#9333ea', '#b7791f', '#0e7490', '#be185d', '#4d7c0f', '#6d28d9', '#b91c1c', '#0f766e', '#57534e'];
const DARK = ['#6ba4ff', '#ff8a4c', '#4ade80', '#c792ff', '#f2c14e', '#38cfe0', '#ff7ab8', '#a8d94a', '#a78bfa', '#ff7b72', '#2dd4bf', '#b8b0a8'];
export const darkMode = matchMedia('(prefers-color-scheme: dark)');

function color(i) {
  const palette = darkMode.matches ? DARK : LIGHT;
  if (i < palette.length) return palette[i];
  return `hsl(${Math.round((i * 137.508) % 360)}, 60%, ${darkMode.matches ? 65 : 40}%)`;
}

const PREFIXES = [[1e24, 'Y'], [1e21, 'Z'], [1e18, 'E'], [1e15, 'P'], [1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']];
export function short(y, digits = 4) {
  const a = Math.abs(y);
  for (const [size, name] of PREFIXES) if (a >= size) return Number((y / size).toPrecision(digits)) + name;
  return a && a < 1e-3 ? Number(y.toPrecision(digits)).toExponential() : String(Number(y.toPrecision(digits)));
}

/* Rows of [Date, value, …] on the grid of the query; null where a series has no sample. */
function rows(list, start, end, step) {
  const n = Math.floor((end - start) / step + 1e-9) + 1;
  const out = Array.from({ length: n }, (_, i) => [new Date(start + i * step), ...new Array(list.length).fill(null)]);
  list.forEach((s, k) => (s.values || []).forEach(([t, v]) => {
    const row = out[Math.round((t * 1000 - start) / step)];
    const y = Number(v === '+Inf' || v === '-Inf' ? NaN : v);
    if (row) row[k + 1] = y;
  }));
  return out;
}

export class Graph {
  /* onZoom(start, end) in ms. */
  constructor({ onZoom }) {
    this.onZoom = onZoom;
    this.plot = el('div', { class: 'plot' });
    this.tip = el('div', { class: 'tip', hidden: true });
    this.area = el('div', { class: 'drag', hidden: true });
    this.marks = el('div', { class: 'marks' });
    this.stage = el('div', { class: 'stage' }, this.plot, this.marks, this.area, this.tip);
    this.below = el('div', { class: 'below' });
    this.root = el('div', { class: 'graph' }, this.stage, this.below);
    this.chart = null;
    this.all = false;
    this.drags();
    this.onTheme = () => this.draw();
    darkMode.addEventListener('change', this.onTheme);
  }

  free() {
    darkMode.removeEventListener('change', this.onTheme);
    this.dropChart();
  }

  dropChart() {
    if (this.chart) {
      /* Its fading of a highlight goes on by timers, which must not find a chart that is gone. */
      this.chart.animateId++;
      this.chart.fadeLevel = 0;
      this.chart.destroy();
    }
    this.chart = null;
  }

  /* { list, start, end, step (ms), stacked, exemplars } */
  show(data) {
    this.data = data;
    this.draw();
  }

  draw() {
    if (!this.data || !this.root.isConnected) return;
    this.dropChart();
    this.tip.hidden = true;
    const { list, start, end, step, stacked } = this.data;
    const floats = list.filter((s) => s.values && s.values.length);
    const drawn = this.all ? floats : floats.slice(0, SERIES_FIRST);
    this.drawn = drawn;
    this.stage.hidden = !drawn.length;
    replace(this.below);
    if (floats.length < list.length)
      this.below.append(message('note', `${count(list.length - floats.length)} of the series are native histograms, which the graph does not draw: use histogram_quantile(), histogram_avg() or the table.`));
    if (!list.length) this.below.append(message('note', 'The query gives an empty result.'));
    if (!drawn.length) return;
    if (drawn.length < floats.length)
      this.below.append(message('note', `${count(drawn.length)} of ${count(floats.length)} series are drawn. `,
        el('button', { class: 'link', onclick: () => { this.all = true; this.draw(); } }, 'Draw all')));
    const colors = drawn.map((_, i) => color(i));
    this.colors = colors;
    this.chart = this.make(rows(drawn, start, end, step), colors, stacked);
    this.placeExemplars();
    this.below.append(legend(drawn, colors, (visible) => this.chart.updateOptions({ visibility: visible }),
      (i) => (i < 0 ? this.chart.clearSelection() : this.chart.setSelection(0, String(i), false))));
  }

  make(data, colors, stacked) {
    const style = getComputedStyle(this.root);
    const grid = style.getPropertyValue('--grid').trim();
    Dygraph.PLUGINS = [Dygraph.Plugins.Grid, Dygraph.Plugins.Axes];
    return new Dygraph(this.plot, data, {
      labels: ['x', ...colors.map((_, i) => String(i))], colors,
      labelsUTC: !useLocal(), legend: 'never', interactionModel: {}, stackedGraph: stacked, stackedGraphNaNFill: 'none',
      fillAlpha: 0.25, strokeWidth: 1.4, includeZero: stacked, yRangePad: 8, gridLineColor: grid, axisLineColor: grid, gridLineWidth: 1,
      axisLabelFontSize: 11, rightGap: 8, pointSize: 1.5, animatedZooms: false,
      axes: { y: { axisLabelWidth: 52, axisLabelFormatter: (y) => short(y), pixelsPerLabel: 28 }, x: { axisLabelWidth: 72, pixelsPerLabel: 88 } },
      dateWindow: [this.data.start, this.data.end],
      highlightCircleSize: 3, highlightSeriesBackgroundAlpha: colors.length > 1 ? 0.6 : 1,
      highlightSeriesBackgroundColor: style.getPropertyValue('--panel').trim(), highlightSeriesOpts: { strokeWidth: 2.2 },
      highlightCallback: (e, x, points, r, name) => this.hover(e, x, points, name),
      unhighlightCallback: () => { this.tip.hidden = true; },
      drawCallback: () => this.chart && this.placeExemplars(),
    });
  }

  hover(e, x, points, name) {
    const point = points.find((p) => p.name === name);
    if (!point || this.dragging) return;
    const swatch = el('i', { class: 'swatch' });
    swatch.style.background = this.colors[Number(name)];
    const value = this.data.list.length ? this.exact(Number(name), x) : null;
    replace(this.tip, el('div', { class: 'dim' }, `${formatTime(x)}${useLocal() ? '' : ' UTC'}`),
      el('div', null, swatch, el('b', null, value === null ? String(point.yval) : value)), series(this.drawn[Number(name)].metric));
    this.putTip(point.canvasx, point.canvasy);
  }

  /* The value as the server wrote it. */
  exact(i, x) {
    const found = this.drawn[i].values.find(([t]) => Math.abs(t * 1000 - x) < 1);
    return found ? found[1] : null;
  }

  putTip(x, y) {
    this.tip.hidden = false;
    const w = this.tip.offsetWidth;
    const h = this.tip.offsetHeight;
    const width = this.stage.clientWidth;
    this.tip.style.left = `${Math.max(0, x + 14 + w < width ? x + 14 : x - 14 - w)}px`;
    this.tip.style.top = `${Math.max(0, y - h - 10 > 0 ? y - h - 10 : y + 14)}px`;
  }

  /* ---- exemplars: diamonds that tell their labels ---- */

  placeExemplars() {
    replace(this.marks);
    const { exemplars, start, end } = this.data;
    if (!exemplars || !this.chart) return;
    const [low, high] = this.chart.yAxisRange();
    let n = 0;
    for (const s of exemplars)
      for (const e of s.exemplars) {
        const at = e.timestamp * 1000;
        const y = Number(e.value);
        if (at < start || at > end || !(y >= low && y <= high) || n++ >= EXEMPLARS_MAX) continue;
        const mark = el('i', { title: `${seriesText(s.seriesLabels)}\nexemplar ${seriesText(e.labels)} ${e.value}\n${formatTime(at)}` });
        const [x, top] = this.chart.toDomCoords(at, y);
        mark.style.left = `${x}px`;
        mark.style.top = `${top}px`;
        this.marks.append(mark);
      }
  }

  /* ---- dragging over a span of time shows it ---- */

  drags() {
    let from = null;
    const x = (e) => e.clientX - this.stage.getBoundingClientRect().left;
    const inside = (px) => {
      const a = this.chart.getArea();
      return Math.max(a.x, Math.min(a.x + a.w, px));
    };
    this.stage.addEventListener('pointerdown', (e) => {
      if (!this.chart || e.button !== 0 || e.pointerType === 'touch') return;
      from = inside(x(e));
      this.stage.setPointerCapture(e.pointerId);
      e.preventDefault();
    });
    this.stage.addEventListener('pointermove', (e) => {
      if (from === null || !this.chart) return;
      const to = inside(x(e));
      this.dragging = Math.abs(to - from) >= DRAG_MIN;
      this.area.hidden = !this.dragging;
      this.tip.hidden = this.dragging || this.tip.hidden;
      this.area.style.left = `${Math.min(from, to)}px`;
      this.area.style.width = `${Math.abs(to - from)}px`;
    });
    const end = (e) => {
      const zoom = this.dragging && e.type === 'pointerup' && this.chart;
      const ends = zoom ? [from, inside(x(e))].map((px) => this.chart.toDataXCoord(px)).sort((a, b) => a - b) : null;
      from = null;
      this.dragging = false;
      this.area.hidden = true;
      if (ends) this.onZoom(Math.round(ends[0]), Math.round(ends[1]));
    };
    this.stage.addEventListener('pointerup', end);
    this.stage.addEventListener('pointercancel', end);
  }
}
