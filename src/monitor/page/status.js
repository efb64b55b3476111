// status.js - /tsdb-status and /status: figures of the database and of the program.
import { get } from './api.js';
import { bytes, count, counted, el, seriesText } from './dom.js';
import { frame } from './frame.js';
import { graphLink } from './state.js';
import { ago, formatTime, useLocal } from './time.js';

function card(name, value, title) {
  return el('div', { class: 'card', title }, el('span', { class: 'dim' }, name), el('b', null, value));
}

/* Bars of a list of { name, value }. */
function top(title, list, { format = count, link }) {
  const most = Math.max(1, ...list.map((e) => e.value));
  return el('section', { class: 'top' }, el('h2', null, title), el('table', null, el('tbody', null, list.map((e) => el('tr', null,
    el('td', { class: 'name' }, link ? el('a', { href: link(e.name) }, e.name) : e.name),
    el('td', { class: 'bar' }, el('meter', { min: 0, max: most, value: e.value })), el('td', { class: 'num' }, format(e.value)))))));
}

const zone = () => (useLocal() ? '' : ' (UTC)');
const stamp = (ms) => formatTime(ms) + zone();

const byName = (name) => graphLink(`count(${seriesText({ __name__: name })})`);
function byPair(pair) {
  const at = pair.indexOf('=');
  return graphLink(`count by (__name__) (${seriesText({ [pair.slice(0, at)]: pair.slice(at + 1) })})`);
}

export function tsdbPage(root) {
  return frame(root, {
    title: 'TSDB status',
    load: async (signal) => (await get('status/tsdb', null, signal)).data,
    draw: (d, body) => {
      const h = d.headStats;
      const has = h.maxTime >= h.minTime && h.numSeries > 0;
      body.append(el('div', { class: 'cards' }, card('Series', count(h.numSeries)), card('Chunks', count(h.chunkCount)),
        card('Label pairs', count(h.numLabelPairs)), card(`Oldest in head${zone()}`, has ? formatTime(h.minTime) : 'none', String(h.minTime)),
        card(`Newest in head${zone()}`, has ? formatTime(h.maxTime) : 'none', String(h.maxTime))),
      el('div', { class: 'tops' },
        top('Series by metric', d.seriesCountByMetricName, { link: byName }),
        top('Series by label pair', d.seriesCountByLabelValuePair, { link: byPair }),
        top('Values by label', d.labelValueCountByLabelName, {}),
        top('Memory by label', d.memoryInBytesByLabelName, { format: bytes })));
      return 'head block';
    },
  });
}

/* Rows "name value", what is empty left out. */
export function rows(list) {
  return el('table', { class: 'facts' }, el('tbody', null, list.filter(([, v]) => v !== '' && v !== undefined && v !== null)
    .map(([name, value]) => el('tr', null, el('th', null, name), el('td', null, value)))));
}

const when = (text) => (text ? `${stamp(Date.parse(text))}, ${ago(text)}` : '');

export function runtimePage(root) {
  return frame(root, {
    title: 'Runtime and build',
    load: async (signal) => {
      const names = ['status/runtimeinfo', 'status/buildinfo', 'alertmanagers'];
      return (await Promise.all(names.map((n) => get(n, null, signal)))).map((a) => a.data);
    },
    draw: ([run, build, managers], body) => {
      body.append(el('h2', null, 'Runtime'), rows([
        ['Started', when(run.startTime)], ['Host', run.hostname], ['Working folder', run.CWD],
        ['Configuration', run.reloadConfigSuccess ? 'in force' : 'the last reload failed: an older one is in force'],
        ['Configuration of', when(run.lastConfigTime)], ['Damaged parts of the log', count(run.corruptionCount)], ['Processors', run.GOMAXPROCS],
        ['Storage retention', run.storageRetention]]),
      el('h2', null, 'Build'), rows([['Prometheus API of version', build.version], ['Revision', build.revision], ['Branch', build.branch],
        ['Built by', build.buildUser], ['Built on', build.buildDate], ['Compiler', build.goVersion]]),
      el('h2', null, 'Alertmanagers'), managers.activeAlertmanagers.length || (managers.droppedAlertmanagers || []).length
        ? rows([...managers.activeAlertmanagers.map((m) => ['active', m.url]), ...(managers.droppedAlertmanagers || []).map((m) => ['dropped', m.url])])
        : el('p', { class: 'dim' }, 'Alerts are sent nowhere.'));
      return counted(managers.activeAlertmanagers.length, 'Alertmanager', 'Alertmanagers');
    },
  });
}
