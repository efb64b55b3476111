// histogram.js - a native histogram as people read it: count, sum, and a bar for each bucket.
import { el } from './dom.js';

const SIDES = [['(', ']'], ['[', ')'], ['(', ')'], ['[', ']']];
const BUCKETS_FIRST = 24;
const short = (x) => (Number.isFinite(Number(x)) ? String(Number(Number(x).toPrecision(5))) : x);

function bucketRow([side, lower, upper, count], most) {
  const [open, close] = SIDES[side] || SIDES[0];
  const bar = el('meter', { min: 0, max: most, value: Number(count) });
  return el('div', { class: 'bucket' }, el('span', { title: `${open}${lower}, ${upper}${close}` }, `${open}${short(lower)}, ${short(upper)}${close}`),
    bar, el('span', { class: 'n' }, short(count)));
}

export function histogram(h) {
  const buckets = h.buckets || [];
  const most = Math.max(...buckets.map((b) => Number(b[3])), 0) || 1;
  const rows = el('div', { class: 'buckets' }, buckets.slice(0, BUCKETS_FIRST).map((b) => bucketRow(b, most)));
  const rest = buckets.slice(BUCKETS_FIRST);
  const more = rest.length > 0 && el('button', {
    class: 'link', onclick: () => {
      more.remove();
      rows.append(...rest.map((b) => bucketRow(b, most)));
    },
  }, `${rest.length} more buckets`);
  return el('div', { class: 'histogram' },
    el('div', { class: 'sums' }, 'count ', el('b', null, h.count), ' sum ', el('b', null, h.sum),
      Number(h.count) ? [' average ', el('b', null, short(Number(h.sum) / Number(h.count)))] : null), rows, more);
}
