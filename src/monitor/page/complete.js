// complete.js - what can be put in at a place of an expression: words of the language, and what the server knows about
// metrics, labels and their values.
import { cached } from './api.js';
import { labelName, quoted } from './dom.js';
import { contextAt } from './promql.js';
import { AGGREGATIONS, DURATIONS, FUNCTIONS, KEYWORDS } from './terms.js';

const SHOWN_MAX = 100;
const NAMES_MAX = 50000;
const SCATTERED = 4; // the rank of names that only have the letters in order
const HISTORY_MAX = 50;
const HISTORY_KEY = 'knarr.history';

/* ---- what was asked before ---- */

export function history() {
  try {
    return JSON.parse(localStorage.getItem(HISTORY_KEY)) || [];
  } catch {
    return [];
  }
}

export function remember(expr) {
  if (!expr.trim()) return;
  localStorage.setItem(HISTORY_KEY, JSON.stringify([expr, ...history().filter((h) => h !== expr)].slice(0, HISTORY_MAX)));
}

/* ---- items: { kind, text, insert, detail, help } ---- */

const words = (table, kind) => Object.entries(table).map(([text, w]) => ({
  kind, text, detail: w.args === undefined ? '' : `(${w.args})`, help: w.help + (w.experimental ? ' Experimental: needs its feature flag.' : ''),
  insert: kind === 'keyword' ? (w.list ? `${text} (` : `${text} `) : `${text}(`,
}));
const FUNCTION_ITEMS = [...words(FUNCTIONS, 'function'), ...words(AGGREGATIONS, 'aggregation')];
const KEYWORD_ITEMS = words(KEYWORDS, 'keyword');

const nothing = (p) => p.catch(() => null);

async function metrics() {
  const [names, metadata] = await Promise.all([
    nothing(cached('label/__name__/values', { limit: NAMES_MAX })), nothing(cached('metadata', { limit_per_metric: 1 }))]);
  return (names || []).map((text) => {
    const base = text.replace(/_(bucket|count|sum)$/, '');
    const m = (metadata && (metadata[text] || metadata[base]) || [])[0];
    const insert = /^[a-zA-Z_:][\w:]*$/.test(text) ? text : `{${quoted(text)}}`;
    return { kind: 'metric', text, insert, detail: m ? m.type : '', help: m ? m.help : '' };
  });
}

const matching = (names) => (names.length ? names.map((n) => `{__name__=${quoted(n)}}`) : null);

async function labels(context) {
  const names = await nothing(cached('labels', { 'match[]': matching(context.metrics) }));
  return (names || []).filter((n) => n !== '__name__').map((n) => ({ kind: 'label', text: n, insert: labelName(n), detail: '', help: '' }));
}

async function values(context) {
  const all = await nothing(cached(`label/${encodeURIComponent(context.label)}/values`,
    { 'match[]': matching(context.metric ? [context.metric] : []), limit: NAMES_MAX }));
  const escape = (v) => (context.quote === '`' ? v : quoted(v).slice(1, -1).replaceAll(context.quote === "'" ? "'" : '\0', "\\'"));
  return (all || []).map((v) => ({ kind: 'value', text: v, insert: escape(v), close: context.quote, detail: '', help: '' }));
}

async function items(context) {
  switch (context.want) {
    case 'label': return labels(context);
    case 'value': return values(context);
    case 'duration': return DURATIONS.map((d) => ({ kind: 'duration', text: d, insert: d, detail: '', help: '' }));
    case 'operator': return KEYWORD_ITEMS;
    default: {
      const modifiers = context.after === 'operator' || context.after === 'keyword';
      return [...FUNCTION_ITEMS, ...await metrics(), ...(modifiers ? KEYWORD_ITEMS : [])];
    }
  }
}

/* ---- which of them, and in which order ---- */

/* Smaller is better; null: it does not fit. */
function rank(text, typed) {
  if (!typed) return 0;
  const low = text.toLowerCase();
  if (low === typed) return 0;
  if (low.startsWith(typed)) return 1;
  const at = low.indexOf(typed);
  if (at > 0) return low[at - 1] === '_' ? 2 : 3;
  let i = 0;
  for (const c of low) if (c === typed[i]) i++;
  return i === typed.length ? SCATTERED : null;
}

/* { from, items } for the text up to and around `pos`; `asked`: the user wants to see something. */
export async function complete(text, pos, asked) {
  if (!text.trim()) {
    const past = history().map((h) => ({ kind: 'history', text: h, insert: h, detail: '', help: '' }));
    if (past.length) return { from: 0, items: asked ? [...past, ...await items({ want: 'expression' })].slice(0, SHOWN_MAX) : [] };
  }
  const context = contextAt(text, pos);
  if (!context) return { from: pos, items: [] };
  const typed = text.slice(context.from, pos).toLowerCase();
  if (!typed && !asked && !['label', 'value'].includes(context.want)) return { from: pos, items: [] };
  const fitting = [];
  for (const item of await items(context)) {
    const r = rank(item.text, typed);
    if (r !== null) fitting.push([r, item]);
  }
  const near = fitting.filter((f) => f[0] < SCATTERED);
  if (near.length) fitting.splice(0, fitting.length, ...near);
  fitting.sort((a, b) => a[0] - b[0] || (a[0] ? a[1].text.length - b[1].text.length : 0));
  return { from: context.from, items: fitting.slice(0, SHOWN_MAX).map((f) => f[1]) };
}
