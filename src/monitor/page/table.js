// table.js - the answer to an instant query as a table.
import { capped, el, message, series } from './dom.js';
import { histogram } from './histogram.js';
import { formatTime } from './time.js';

const ROWS_FIRST = 500;
const SAMPLES_FIRST = 200;

function samples(row) {
  const floats = (row.values || []).map(([t, v]) => [t, v]);
  const all = [...floats, ...(row.histograms || [])].sort((a, b) => a[0] - b[0]);
  const shown = (list) => list.map(([t, x]) => el('div', { title: formatTime(t * 1000) },
    typeof x === 'string' ? x : histogram(x), el('span', { class: 'at' }, ` @ ${t}`)));
  const out = el('div', { class: 'samples' }, shown(all.slice(0, SAMPLES_FIRST)));
  if (all.length > SAMPLES_FIRST)
    out.append(el('button', { class: 'link', onclick: (e) => e.target.replaceWith(...shown(all.slice(SAMPLES_FIRST))) },
      `${all.length - SAMPLES_FIRST} more samples`));
  return out;
}

function row(entry) {
  const value = entry.value ? entry.value[1] : entry.histogram ? histogram(entry.histogram[1]) : samples(entry);
  return el('tr', null, el('td', null, series(entry.metric)), el('td', { class: 'value' }, value));
}

/* { element, text }: what is shown, and a summary. */
export function table(data) {
  if (data.resultType === 'scalar' || data.resultType === 'string')
    return { text: data.resultType, element: el('div', { class: 'single' }, el('span', { class: 'dim' }, data.resultType), ' ', data.result[1]) };
  const list = data.result;
  if (!list.length) return { text: 'empty', element: message('note', 'The query gives an empty result.') };
  const body = el('tbody');
  const element = el('div', { class: 'scroll' }, el('table', { class: 'result' }, body));
  capped(body, list.length, ROWS_FIRST, (i) => row(list[i]), 'series');
  return { text: `${list.length.toLocaleString('en-US')} series`, element };
}
