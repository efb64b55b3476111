// alerts.js - /alerts: alerting rules by what they say now, with the alerts of each.
import { get } from './api.js';
import { badge, capped, chips, el, message } from './dom.js';
import { fold, frame, holds, labelsText, switches } from './frame.js';
import { definition } from './rules.js';
import { ago } from './time.js';

const ROWS_FIRST = 100;
const KINDS = { firing: 'bad', pending: 'warn', inactive: 'good', unknown: 'idle' };
const ORDER = ['firing', 'pending', 'inactive', 'unknown'];

/* Links that annotations hold; all else stays text. */
function annotation(text) {
  return /^https?:\/\/\S+$/.test(text) ? el('a', { href: text, target: '_blank', rel: 'noreferrer noopener' }, text) : text;
}

function alertRow(a) {
  const notes = Object.entries(a.annotations || {});
  return el('tr', null, el('td', null, chips(a.labels, ['alertname']),
    notes.length > 0 && el('dl', null, notes.map(([k, v]) => [el('dt', null, k), el('dd', null, annotation(v))]))),
  el('td', null, badge(a.state, KINDS[a.state]), a.keepFiringSince && el('div', { class: 'dim' }, `kept firing since ${ago(a.keepFiringSince)}`)),
  el('td', { class: 'num', title: a.activeAt }, ago(a.activeAt)), el('td', { class: 'num value' }, String(Number(a.value)) === 'NaN' ? a.value : String(Number(a.value))));
}

function rulePart(rule, group, alerts) {
  const body = el('tbody');
  const counts = ['firing', 'pending'].map((s) => [s, rule.alerts.filter((a) => a.state === s).length]).filter((c) => c[1]);
  const table = el('div', { class: 'scroll' }, el('table', { class: 'alerts' },
    el('thead', null, el('tr', null, ['Labels and annotations', 'State', 'Active since', 'Value'].map((h) => el('th', null, h)))), body));
  const part = fold(`alert.${group.file}.${group.name}.${rule.name}`, rule.state === 'firing' || rule.state === 'pending',
    [badge(rule.state, KINDS[rule.state]), ' ', el('b', null, rule.name), ' ',
      counts.map(([s, n]) => el('span', { class: 'dim' }, ` ${n} ${s}`)), el('span', { class: 'right dim' }, group.name)],
    el('div', { class: 'rule' }, definition(rule), rule.lastError && el('div', { class: 'why' }, rule.lastError)), alerts.length > 0 && table);
  if (alerts.length) capped(body, alerts.length, ROWS_FIRST, (i) => alertRow(alerts[i]), 'alerts');
  return part;
}

export function alertsPage(root) {
  let states = new Set();
  let page = null;
  page = frame(root, {
    title: 'Alerts', filter: 'Filter by name, labels or annotations',
    extras: [switches(['firing', 'pending', 'inactive'], [], (set) => {
      states = set;
      page.again(false);
    })],
    load: async (signal) => (await get('rules', { type: 'alert' }, signal)).data.groups,
    draw: (groups, body, typed) => {
      const all = groups.flatMap((g) => g.rules.filter((r) => r.type === 'alerting').map((r) => [r, g]));
      const fits = (a) => (!states.size || states.has(a.state)) && holds(typed, labelsText(a.labels), labelsText(a.annotations));
      const shown = all.map(([r, g]) => {
        const named = holds(typed, r.name, r.query, labelsText(r.labels));
        const alerts = r.alerts.filter((a) => fits(a) || (named && (!states.size || states.has(a.state))));
        const wanted = alerts.length || (named && (!states.size || states.has(r.state)));
        return wanted ? [r, g, alerts] : null;
      }).filter(Boolean).sort((a, b) => ORDER.indexOf(a[0].state) - ORDER.indexOf(b[0].state));
      body.append(...shown.map((s) => rulePart(...s)));
      if (!shown.length) body.append(message('note', all.length ? 'No alert fits the filter.' : 'The configuration names no alerting rules.'));
      return all.length ? ORDER.slice(0, 3).map((s) => `${all.filter(([r]) => r.state === s).length} ${s}`).join(' · ') : '';
    },
  });
  return page;
}
