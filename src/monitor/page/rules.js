// rules.js - /rules: groups of rules with their health, and expressions that lead to /graph.
import { get } from './api.js';
import { badge, chips, count, counted, el, message } from './dom.js';
import { fold, frame, holds, labelsText, switches } from './frame.js';
import { tokens } from './promql.js';
import { graphLink } from './state.js';
import { ago, formatDuration, shortDuration } from './time.js';

const HEALTH = { ok: 'good', err: 'bad', unknown: 'idle' };
const STATES = { firing: 'bad', pending: 'warn', inactive: 'good', unknown: 'idle' };

export function expression(expr, tab) {
  return el('a', { class: 'query', href: graphLink(expr, tab) }, tokens(expr).map((t) => el('span', { class: `t-${t.kind}` }, t.text)));
}

/* Rows "name value" of what is set. */
function facts(rule) {
  const out = [];
  if (rule.duration) out.push(['for', formatDuration(rule.duration * 1000)]);
  if (rule.keepFiringFor) out.push(['keep firing for', formatDuration(rule.keepFiringFor * 1000)]);
  if (Object.keys(rule.labels || {}).length) out.push(['labels', chips(rule.labels)]);
  for (const [name, text] of Object.entries(rule.annotations || {})) out.push([name, el('span', { class: 'template' }, text)]);
  return out.length ? el('dl', null, out.map(([name, value]) => [el('dt', null, name), el('dd', null, value)])) : null;
}

export function definition(rule) {
  return [expression(rule.query, rule.type === 'recording' ? 'graph' : 'table'), facts(rule)];
}

function ruleRow(rule) {
  const alerting = rule.type === 'alerting';
  return el('div', { class: 'rule' },
    el('div', { class: 'line' }, el('span', { class: 'kind' }, alerting ? 'alert' : 'record'),
      alerting ? el('a', { class: 'name', href: `alerts?search=${encodeURIComponent(rule.name)}` }, rule.name)
        : el('a', { class: 'name', href: graphLink(rule.name, 'graph') }, rule.name),
      alerting && badge(rule.state, STATES[rule.state]), el('span', { class: 'gap' }), badge(rule.health, HEALTH[rule.health]),
      el('span', { class: 'dim num', title: rule.lastEvaluation }, ago(rule.lastEvaluation)),
      el('span', { class: 'dim num' }, shortDuration(rule.evaluationTime))),
    definition(rule), rule.lastError && el('div', { class: 'why' }, rule.lastError));
}

function group(g, rules) {
  const bad = g.rules.filter((r) => r.health === 'err').length;
  return fold(`rules.${g.file}.${g.name}`, true,
    [el('b', null, g.name), ' ', el('span', { class: 'dim' }, g.file), ' ', bad ? badge(counted(bad, 'rule fails', 'rules fail'), 'bad') : null,
      el('span', { class: 'right dim num' }, `every ${formatDuration(g.interval * 1000)} · last ${ago(g.lastEvaluation)}, took ${shortDuration(g.evaluationTime)}`)],
    el('div', { class: 'rules' }, rules.map(ruleRow)));
}

export function rulesPage(root) {
  let kinds = new Set();
  let page = null;
  page = frame(root, {
    title: 'Rules', filter: 'Filter by name, expression or labels',
    extras: [switches(['alerting', 'recording', 'failing'], [], (set) => {
      kinds = set;
      page.again(false);
    })],
    load: async (signal) => (await get('rules', { exclude_alerts: 'true' }, signal)).data.groups,
    draw: (groups, body, typed) => {
      const types = ['alerting', 'recording'].filter((k) => kinds.has(k));
      const wanted = (g) => g.rules.filter((r) => (!types.length || types.includes(r.type)) && (!kinds.has('failing') || r.health === 'err') &&
        holds(typed, r.name, r.query, g.name, g.file, labelsText(r.labels)));
      const shown = groups.map((g) => [g, wanted(g)]).filter(([, rules]) => rules.length);
      body.append(...shown.map(([g, rules]) => group(g, rules)));
      if (!shown.length) body.append(message('note', groups.length ? 'No rule fits the filter.' : 'The configuration names no rules.'));
      const all = groups.reduce((n, g) => n + g.rules.length, 0);
      return groups.length ? `${count(all)} rules in ${counted(groups.length, 'group', 'groups')}` : '';
    },
  });
  return page;
}
