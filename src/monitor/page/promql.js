// promql.js - PromQL's text as tokens, for colours, and what can stand at a place, for completion. It need not know the
// grammar: the server finds mistakes.
import { AGGREGATIONS, FUNCTIONS, KEYWORDS, LABEL_LISTS } from './terms.js';

const RULES = [
  ['space', /\s+/y],
  ['comment', /#[^\n]*/y],
  ['string', /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`/y],
  ['open', /"(?:\\.|[^"\\\n])*|'(?:\\.|[^'\\\n])*|`[^`]*/y], // a string that does not end
  ['number', /(?:\d+(?:ms|[smhdwy]))+(?![\w.])|0[xX][\da-fA-F_]+|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/y],
  ['name', /[a-zA-Z_:][\w:]*/y],
  ['operator', /=~|!~|!=|==|<=|>=|[-+*\/%^=<>@]/y],
  ['bracket', /[(){}[\]]/y],
  ['other', /[\s\S]/y],
];

/* [{ kind, text, at }]; names are sorted into function, aggregation, keyword, label and metric. */
export function tokens(text) {
  const out = [];
  const stack = [];
  for (let at = 0; at < text.length;) {
    for (const [kind, rule] of RULES) {
      rule.lastIndex = at;
      const found = rule.exec(text);
      if (!found) continue;
      out.push({ kind, text: found[0], at });
      at += found[0].length;
      break;
    }
    const t = out[out.length - 1];
    if (t.kind === 'name') t.kind = nameKind(t, out, stack, text);
    else if (t.kind === 'bracket') nest(t, out, stack);
  }
  return out;
}

const isWord = (t) => t && t.kind !== 'space' && t.kind !== 'comment';
function before(out, n = 1) {
  for (let i = out.length - 1; i >= 0; i--) if (isWord(out[i]) && --n === 0) return out[i];
  return null;
}

function nest(t, out, stack) {
  if ('({['.includes(t.text)) {
    const prev = before(out.slice(0, -1));
    stack.push({ bracket: t.text, prev: prev || null });
  } else {
    stack.pop();
  }
}

function nameKind(t, out, stack, text) {
  const top = stack[stack.length - 1];
  const word = t.text.toLowerCase();
  if (top && (top.bracket === '{' || (top.bracket === '(' && top.prev && LABEL_LISTS.has(top.prev.text.toLowerCase())))) return 'label';
  const call = /^\s*\(/.test(text.slice(t.at + t.text.length));
  if (AGGREGATIONS[word]) return call || /^\s+(by|without)\b/i.test(text.slice(t.at + t.text.length)) ? 'aggregation' : 'metric';
  if (FUNCTIONS[t.text] && call) return 'function';
  if (KEYWORDS[word] && out.length > 1) return 'keyword';
  return /^(inf|nan)$/i.test(t.text) ? 'number' : 'metric';
}

/* Names of metrics that an expression speaks of. */
export function metricsIn(list) {
  return [...new Set(list.filter((t) => t.kind === 'metric').map((t) => t.text))];
}

const VALUE_OPERATORS = ['=', '!=', '=~', '!~'];

/* In braces: the value of a label, or the name of one. `words` are the tokens before the one being written. */
function inBraces(words, current, stack, pos) {
  const top = stack[stack.length - 1];
  const metric = top.prev && (top.prev.kind === 'metric' || top.prev.kind === 'aggregation') ? top.prev.text : null;
  const last = words[words.length - 1];
  if (current && current.kind === 'open') {
    const label = words[words.length - 2];
    if (!last || !VALUE_OPERATORS.includes(last.text) || !label) return null;
    const name = label.kind === 'string' ? label.text.slice(1, -1) : label.text;
    return { want: 'value', label: name, metric, from: current.at + 1, quote: current.text[0] };
  }
  if (last && !['{', ','].includes(last.text)) return null;
  return { want: 'label', metrics: metric ? [metric] : [], from: current ? current.at : pos };
}

/* What could be written at `pos`: { want: 'label'|'value'|'duration'|'expression'|'operator', from, … }, or null. */
export function contextAt(text, pos) {
  const all = tokens(text);
  const list = tokens(text.slice(0, pos));
  const stack = [];
  let current = list[list.length - 1];
  if (!current || !(['open', 'number', 'comment'].includes(current.kind) || /^[a-zA-Z_:]/.test(current.text))) current = null;
  if (current && current.kind === 'comment') return null;
  const seen = current ? list.slice(0, -1) : list;
  seen.forEach((t, i) => t.kind === 'bracket' && nest(t, seen.slice(0, i + 1), stack));
  const words = seen.filter(isWord);
  const last = words[words.length - 1];
  const top = stack[stack.length - 1];
  const from = current ? current.at : pos;
  if (top && top.bracket === '{') return inBraces(words, current, stack, pos);
  if (current && current.kind === 'open') return null;
  if (top && top.bracket === '[') return { want: 'duration', from };
  if (top && top.bracket === '(' && top.prev && LABEL_LISTS.has(top.prev.text.toLowerCase()))
    return last && !['(', ','].includes(last.text) ? null : { want: 'label', metrics: metricsIn(all), from };
  if (current && current.kind === 'number') return null;
  if (last && last.kind === 'keyword' && last.text.toLowerCase() === 'offset') return { want: 'duration', from };
  if (last && last.kind === 'aggregation') return { want: 'operator', from };
  const operand = last && (['metric', 'number', 'string'].includes(last.kind) || [')', '}', ']'].includes(last.text));
  return { want: operand ? 'operator' : 'expression', from, after: last ? last.kind : null };
}
