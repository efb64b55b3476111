// targets.js - /targets: what is scraped, pool by pool, and what relabelling dropped.
import { get } from './api.js';
import { badge, capped, chips, counted, el, message } from './dom.js';
import { fold, frame, holds, labelsText, switches } from './frame.js';
import { ago, formatTime, shortDuration } from './time.js';

const ROWS_FIRST = 200;
const KINDS = { up: 'good', down: 'bad', unknown: 'idle' };

function head(...names) {
  return el('thead', null, el('tr', null, names.map((n) => el('th', null, n))));
}

/* The address as text; only an ordinary one becomes a link. */
function endpoint(url) {
  return /^https?:\/\//.test(url) ? el('a', { href: url, target: '_blank', rel: 'noreferrer noopener' }, url) : url;
}

function targetRow(t) {
  const before = el('details', { class: 'discovered' }, el('summary', null, 'before relabelling'), chips(t.discoveredLabels));
  const rows = [el('tr', { class: t.health }, el('td', { class: 'endpoint' }, endpoint(t.globalUrl || t.scrapeUrl),
    t.lastError && el('div', { class: 'why' }, t.lastError)),
  el('td', null, badge(t.health.toUpperCase(), KINDS[t.health])), el('td', null, chips(t.labels), before),
  el('td', { class: 'num', title: t.lastScrape }, ago(t.lastScrape)),
  el('td', { class: 'num', title: `interval ${t.scrapeInterval}, timeout ${t.scrapeTimeout}` },
    t.health === 'unknown' ? '' : shortDuration(t.lastScrapeDuration)))];
  return rows[0];
}

/* Of each job what its discovery fails at; a job without targets is shown for that. */
function withErrors(pools, errors) {
  const all = new Map(pools);
  for (const e of errors) if (!all.has(e.scrapePool)) all.set(e.scrapePool, []);
  return [...all].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([name, list]) => [name, list, errors.filter((e) => e.scrapePool === name)]);
}

function pool(name, list, errors) {
  const up = list.filter((t) => t.health === 'up').length;
  const body = el('tbody');
  const part = fold(`pool.${name}`, true, [el('b', null, name), ' ', badge(`${up} / ${list.length} up`, up === list.length && !errors.length ? 'good' : 'bad')],
    ...errors.map((e) => el('div', { class: 'why' }, `discovery ${e.discovery}: ${e.error}`)),
    el('div', { class: 'scroll' }, el('table', { class: 'targets' }, head('Endpoint', 'State', 'Labels', 'Last scrape', 'Duration'), body)));
  capped(body, list.length, ROWS_FIRST, (i) => targetRow(list[i]), 'targets');
  return part;
}

function droppedPool(name, list, total) {
  const body = el('tbody');
  const part = fold(`dropped.${name}`, false, [el('b', null, name), ' ', badge(`${total} dropped`, 'idle')],
    el('div', { class: 'scroll' }, el('table', { class: 'targets' }, head('Discovered labels'), body)));
  capped(body, list.length, ROWS_FIRST, (i) => el('tr', null, el('td', null, chips(list[i].discoveredLabels))), 'targets');
  return part;
}

function byPool(list) {
  const pools = new Map();
  for (const t of list) pools.set(t.scrapePool, [...(pools.get(t.scrapePool) || []), t]);
  return [...pools].sort((a, b) => (a[0] < b[0] ? -1 : 1));
}

export function targetsPage(root) {
  let states = new Set();
  let dropped = false;
  let page = null;
  const health = switches(['up', 'down', 'unknown'], [], (set) => {
    states = set;
    page.again(false);
  });
  const showDropped = el('input', { type: 'checkbox', onchange: () => {
    dropped = showDropped.checked;
    page.again();
  } });
  page = frame(root, {
    title: 'Targets', filter: 'Filter by endpoint, labels or error',
    extras: [health, el('label', { class: 'check' }, showDropped, 'Dropped')],
    load: async (signal) => (await get('targets', { state: dropped ? 'any' : 'active' }, signal)).data,
    draw: (data, body, typed) => {
      const all = data.activeTargets;
      const list = all.filter((t) => (!states.size || states.has(t.health)) &&
        holds(typed, t.scrapeUrl, t.scrapePool, t.lastError, labelsText(t.labels), dropped && labelsText(t.discoveredLabels)));
      const errors = (data.discoveryErrors || []).filter((e) => holds(typed, e.scrapePool, e.error));
      body.append(...withErrors(byPool(list), errors).map(([name, l, why]) => pool(name, l, why)));
      if (!list.length && !errors.length) body.append(message('note', all.length ? 'No target fits the filter.' : 'Nothing is scraped: the configuration names no target.'));
      if (dropped) {
        const gone = byPool(data.droppedTargets.filter((t) => holds(typed, t.scrapePool, labelsText(t.discoveredLabels))));
        body.append(el('h2', null, 'Dropped by relabelling'), ...gone.map(([name, l]) => droppedPool(name, l, (data.droppedTargetCounts || {})[name] ?? l.length)));
        if (!gone.length) body.append(message('note', 'No target was dropped.'));
      }
      return `${counted(all.filter((t) => t.health === 'up').length, 'up', 'up')} of ${all.length} · ${formatTime(Date.now())}`;
    },
  });
  return page;
}
