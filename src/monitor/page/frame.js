// frame.js - what the pages besides /graph share: a head with a filter and a way to ask again, and errors in place.
import { add, debounce, el, message, replace } from './dom.js';

const FILTER_MS = 120;
export const RETRY_MS = 1000; // while the server starts

/* load(signal) asks the server, draw(data, body, filter) shows it; `filter` is the text of the field in small letters.
 * `extras` are elements beside the field: they call .again() of what is returned after a change (true: ask anew). */
export function frame(root, { title, load, draw, filter, extras }) {
  let data = null;
  let asking = null;
  const body = el('div', { class: 'content' });
  const summary = el('span', { class: 'dim summary' });
  const params = new URLSearchParams(location.search);
  const field = filter && el('input', { type: 'search', placeholder: filter, 'aria-label': filter, class: 'filter', value: params.get('search') || '' });
  const show = () => {
    replace(body);
    const text = draw(data, body, field ? field.value.trim().toLowerCase() : '');
    replace(summary, text || '');
  };
  const ask = async () => {
    if (asking) asking.abort();
    const mine = new AbortController();
    asking = mine;
    root.classList.add('loading');
    try {
      data = await load(mine.signal);
      if (asking === mine) show();
    } catch (e) {
      if (e.name === 'AbortError' || asking !== mine) return;
      replace(body, message('error', e.message));
      replace(summary);
      if (e.type === 'unready') setTimeout(() => asking === mine && ask(), RETRY_MS);
    }
    if (asking === mine) root.classList.remove('loading');
  };
  if (field) field.addEventListener('input', debounce(FILTER_MS, () => data && show()));
  const head = el('div', { class: 'head' }, el('h1', null, title), summary, el('span', { class: 'gap' }));
  add(head, [...(extras || []), field, el('button', { onclick: () => ask(), title: 'Ask the server again' }, 'Refresh')]);
  root.append(head, body);
  ask();
  return {
    again: (anew) => (anew === false && data ? show() : ask()),
    free: () => {
      root.classList.remove('loading');
      if (asking) asking.abort();
      asking = null;
    },
  };
}

/* A row of switches; chosen(set) is called with the names that are on after a change. */
export function switches(names, on, chosen) {
  const set = new Set(on);
  return el('div', { class: 'group' }, names.map((n) => {
    const b = el('button', { class: set.has(n) ? 'on' : '', 'aria-pressed': String(set.has(n)), onclick: () => {
      if (!set.delete(n)) set.add(n);
      b.classList.toggle('on', set.has(n));
      b.setAttribute('aria-pressed', String(set.has(n)));
      chosen(set);
    } }, n);
    return b;
  }));
}

/* A part that can be folded, remembered by its key. */
export function fold(key, open, head, ...content) {
  const stored = sessionStorage.getItem(`knarr.fold.${key}`);
  const d = el('details', { class: 'fold', open: stored === null ? open : stored === '1' }, el('summary', null, ...head), ...content);
  d.addEventListener('toggle', () => {
    if (d.open === open) sessionStorage.removeItem(`knarr.fold.${key}`);
    else sessionStorage.setItem(`knarr.fold.${key}`, d.open ? '1' : '0');
  });
  return d;
}

/* Does any of the texts hold what was typed? */
export const holds = (typed, ...texts) => !typed || texts.some((t) => String(t || '').toLowerCase().includes(typed));
export const labelsText = (labels) => Object.entries(labels || {}).map(([k, v]) => `${k}="${v}"`).join(' ');
