// dom.js - makes elements. Text from outside only ever becomes text nodes: nothing here or elsewhere parses HTML.

/* el('a', { class: 'x', href: 'y', onclick: f }, 'text', child, null): attributes that are null or false are left out. */
export function el(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) e.addEventListener(name.slice(2), value);
    else if (name === 'value' || name === 'checked' || name === 'disabled') e[name] = value;
    else e.setAttribute(name, value === true ? '' : value);
  }
  add(e, children);
  return e;
}

export function add(parent, children) {
  for (const c of children.flat(Infinity)) if (c !== null && c !== undefined && c !== false) parent.append(c);
}

export function replace(parent, ...children) {
  parent.replaceChildren();
  add(parent, children);
  return parent;
}

const whole = new Intl.NumberFormat('en-US');
export const count = (n) => whole.format(n);

/* "1 series", "3 rules" */
export const counted = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;

export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let at = 0;
  for (; n >= 1024 && at < units.length - 1; at++) n /= 1024;
  return `${at ? n.toFixed(1) : n} ${units[at]}`;
}

export function badge(text, kind) {
  return el('span', { class: `badge ${kind || ''}` }, text);
}

const ESCAPES = { '\\': '\\\\', '"': '\\"', '\n': '\\n' };
export const quoted = (s) => '"' + s.replace(/[\\"\n]/g, (c) => ESCAPES[c]) + '"';
const plainName = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
export const labelName = (s) => (plainName.test(s) ? s : quoted(s));

/* A series as it stands in an expression; names that need quotes move into the braces. */
export function seriesText(labels) {
  const name = labels.__name__ || '';
  const plain = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(name);
  const pairs = Object.keys(labels).filter((k) => k !== '__name__').map((k) => `${labelName(k)}=${quoted(labels[k])}`);
  if (name && !plain) pairs.unshift(quoted(name));
  const braces = pairs.length || !name ? `{${pairs.join(', ')}}` : '';
  return (plain ? name : '') + braces;
}

/* The same, in colours. */
export function series(labels) {
  const out = el('span', { class: 'series' });
  const name = labels.__name__ || '';
  const plain = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(name);
  const keys = Object.keys(labels).filter((k) => k !== '__name__');
  if (plain) out.append(el('span', { class: 'metric' }, name));
  if (!keys.length && plain) return out;
  out.append('{');
  if (name && !plain) out.append(el('span', { class: 'metric' }, quoted(name)), keys.length ? ', ' : '');
  keys.forEach((k, i) => {
    out.append(i ? ', ' : '', el('span', { class: 'label' }, labelName(k)), '=', el('span', { class: 'value' }, quoted(labels[k])));
  });
  out.append('}');
  return out;
}

/* Labels as chips: of targets, rules and alerts. */
export function chips(labels, skip = []) {
  const keys = Object.keys(labels || {}).filter((k) => !skip.includes(k));
  return el('span', { class: 'chips' }, keys.map((k) => el('span', { class: 'chip' }, el('b', null, k), `=${quoted(labels[k])}`)));
}

export function message(kind, ...text) {
  return el('div', { class: `message ${kind}`, role: kind === 'error' ? 'alert' : 'status' }, ...text);
}

/* Rows up to a cap, then a way to see more: make(i) gives the element of row i. */
export function capped(parent, total, first, make, what) {
  let shown = 0;
  const more = el('div', { class: 'more' });
  const holder = parent.tagName === 'TBODY' ? parent.parentNode.parentNode : parent.parentNode;
  const upTo = (n) => {
    const rows = document.createDocumentFragment();
    for (; shown < Math.min(n, total); shown++) rows.append(make(shown));
    parent.append(rows);
    more.hidden = shown >= total;
    replace(more, `${count(shown)} of ${count(total)} ${what} are shown. `,
      el('button', { class: 'link', onclick: () => upTo(shown + first) }, `Show ${count(Math.min(first, total - shown))} more`));
  };
  upTo(first);
  if (total > first) holder.append(more);
}

/* Calls fn once nothing has been asked of it for so long; .cancel() forgets. */
export function debounce(ms, fn) {
  let timer = 0;
  const ask = (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => fn(...args), ms);
  };
  ask.cancel = () => clearTimeout(timer);
  return ask;
}
