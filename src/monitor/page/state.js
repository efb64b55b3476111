// state.js - the panels of /graph in the address, in Prometheus' own parameters. What is written is read by Prometheus
// 2.x and 3.x; the forms of both are read.
import { formatDuration, formatTime, parseDuration, parseTime } from './time.js';

export function newPanel() {
  return { expr: '', tab: 'table', range: 3600000, end: null, step: null, stacked: false, exemplars: false };
}

function decodePanel(get) {
  const p = newPanel();
  p.expr = get('expr');
  const tab = get('tab');
  p.tab = tab === '0' || tab === 'graph' ? 'graph' : 'table';
  p.range = parseDuration(get('range_input') || '') || p.range;
  const end = get('end_input') || get('moment_input');
  if (end) p.end = parseTime(end, false);
  const step = get('res_type') ? (get('res_type') === 'auto' ? null : get('res_step')) : get('step_input');
  if (Number(step) > 0) p.step = Number(step) * 1000;
  p.stacked = get('stacked') === '1' || get('display_mode') === 'stacked';
  p.exemplars = get('show_exemplars') === '1';
  return p;
}

export function decode(search) {
  const params = new URLSearchParams(search);
  const panels = [];
  for (let i = 0; params.has(`g${i}.expr`); i++) panels.push(decodePanel((name) => params.get(`g${i}.${name}`)));
  return panels.length ? panels : [newPanel()];
}

export function encode(panels) {
  const out = [];
  panels.forEach((p, i) => {
    const put = (name, value) => out.push(`g${i}.${name}=${encodeURIComponent(value)}`);
    put('expr', p.expr);
    put('tab', p.tab === 'graph' ? '0' : '1');
    put('range_input', formatDuration(p.range));
    if (p.end !== null) {
      put('end_input', formatTime(p.end, false));
      put('moment_input', formatTime(p.end, false));
    }
    if (p.step) put('step_input', p.step / 1000);
    put('stacked', p.stacked ? '1' : '0');
    put('show_exemplars', p.exemplars ? '1' : '0');
  });
  return out.join('&');
}

/* A link to an expression, for other pages. */
export const graphLink = (expr, tab = 'table') => `graph?${encode([{ ...newPanel(), expr, tab }])}`;
