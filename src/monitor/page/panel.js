// panel.js - one expression with its answer, as a table or as a graph.
import { ApiError, post } from './api.js';
import { remember } from './complete.js';
import { count, el, message, replace } from './dom.js';
import { Editor, offsetOf } from './editor.js';
import { RETRY_MS } from './frame.js';
import { Graph } from './graph.js';
import { table } from './table.js';
import { formatDuration, formatTime, parseDuration, parseTime, shortDuration } from './time.js';

const POINTS = 250; // of a graph when no step is given
const RANGES = ['1m', '5m', '15m', '30m', '1h', '2h', '6h', '12h', '1d', '2d', '1w', '2w', '4w', '8w', '52w'].map(parseDuration);

export class Panel {
  /* save(push) writes the address; remove(panel). */
  constructor(state, { save, remove }) {
    this.state = state;
    this.save = save;
    this.running = null;
    this.graph = null;
    this.ran = false;
    this.editor = new Editor({ value: state.expr, onRun: () => this.run(true), onChange: (text) => { this.state.expr = text; } });
    this.button = el('button', { class: 'primary run', onclick: () => this.run(true) }, 'Execute');
    this.notes = el('div', { class: 'notes' });
    this.controls = el('div', { class: 'controls' });
    this.stats = el('div', { class: 'stats' });
    this.body = el('div', { class: 'body' });
    this.tabs = {};
    const tabs = ['table', 'graph'].map((name) => (this.tabs[name] = el('button', {
      class: 'tab', role: 'tab', onclick: () => this.setTab(name) }, name === 'table' ? 'Table' : 'Graph')));
    this.root = el('section', { class: 'panel' },
      el('div', { class: 'ask' }, this.editor.root, el('div', { class: 'buttons' }, this.button,
        el('button', { title: 'Format the expression', onclick: () => this.format() }, 'Format'),
        el('button', { class: 'close', title: 'Remove this panel', 'aria-label': 'Remove this panel', onclick: () => remove(this) }, '×'))),
      this.notes, el('div', { class: 'strip' }, el('div', { class: 'tabs', role: 'tablist' }, tabs), this.controls, this.stats), this.body);
    this.paint();
  }

  focus() { this.editor.area.focus(); }

  free() {
    this.cancel();
    if (this.graph) this.graph.free();
    this.root.remove();
  }

  cancel() {
    if (this.running) this.running.abort();
    this.running = null;
    this.root.classList.remove('loading');
  }

  setTab(name) {
    if (this.state.tab === name) return;
    this.state.tab = name;
    this.paint();
    this.clear();
    if (this.state.expr.trim()) this.run(true);
    else this.save(false);
  }

  clear() {
    if (this.graph) this.graph.free();
    this.graph = null;
    replace(this.body);
    replace(this.stats);
  }

  /* After a change of how time is shown. */
  redraw() {
    this.paint();
    if (this.graph) this.graph.draw();
  }

  set(changes) {
    Object.assign(this.state, changes);
    this.paint();
    if (this.state.expr.trim()) this.run(true);
    else this.save(false);
  }

  /* ---- controls ---- */

  paint() {
    for (const [name, tab] of Object.entries(this.tabs)) {
      tab.classList.toggle('on', name === this.state.tab);
      tab.setAttribute('aria-selected', name === this.state.tab);
    }
    replace(this.controls, this.state.tab === 'graph' ? [this.rangeControl(), this.endControl('End time'), this.stepControl(), this.modeControl()]
      : this.endControl('Evaluation time'));
  }

  field(label, value, apply, more) {
    const input = el('input', { type: 'text', value, 'aria-label': label, spellcheck: 'false', ...more,
      onchange: () => input.classList.toggle('bad', apply(input.value) === false),
      onkeydown: (e) => e.key === 'Enter' && input.blur() });
    return input;
  }

  rangeControl() {
    const { range } = this.state;
    const smaller = RANGES.filter((r) => r < range).pop();
    const larger = RANGES.find((r) => r > range);
    return el('div', { class: 'group' },
      el('button', { title: 'Shorter range', 'aria-label': 'Shorter range', disabled: !smaller, onclick: () => this.set({ range: smaller }) }, '−'),
      this.field('Range', formatDuration(range), (text) => {
        const ms = parseDuration(text);
        return ms ? this.set({ range: ms }) : false;
      }, { class: 'range', title: 'Range, such as 1h or 30m' }),
      el('button', { title: 'Longer range', 'aria-label': 'Longer range', disabled: !larger, onclick: () => this.set({ range: larger }) }, '+'));
  }

  endControl(label) {
    const { end, range, tab } = this.state;
    const step = tab === 'graph' ? range / 2 : 300000;
    const base = () => (end === null ? Math.floor(Date.now() / 1000) * 1000 : end);
    return el('div', { class: 'group' },
      el('button', { title: 'Earlier', 'aria-label': 'Earlier', onclick: () => this.set({ end: base() - step }) }, '‹'),
      this.field(label, end === null ? '' : formatTime(end), (text) => {
        const ms = text.trim() ? parseTime(text) : null;
        return text.trim() && ms === null ? false : this.set({ end: ms });
      }, { class: 'time', placeholder: label, title: `${label}: 2026-01-31 12:00:00` }),
      end !== null && el('button', { title: 'Now', 'aria-label': 'Now', onclick: () => this.set({ end: null }) }, '×'),
      el('button', { title: 'Later', 'aria-label': 'Later', onclick: () => this.set({ end: base() + step }) }, '›'));
  }

  stepControl() {
    const { step } = this.state;
    return this.field('Resolution', step ? formatDuration(step) : '', (text) => {
      const ms = text.trim() ? (Number(text) > 0 ? Number(text) * 1000 : parseDuration(text)) : null;
      return text.trim() && !ms ? false : this.set({ step: ms });
    }, { class: 'step', placeholder: 'Res.', title: `Resolution: time between two points (${formatDuration(this.step())} now)` });
  }

  modeControl() {
    const { stacked, exemplars } = this.state;
    const mode = (on, text, changes, title) => el('button', { class: on ? 'on' : '', 'aria-pressed': String(on), title, onclick: () => this.set(changes) }, text);
    return [el('div', { class: 'group' }, mode(!stacked, 'Lines', { stacked: false }), mode(stacked, 'Stacked', { stacked: true })),
      mode(exemplars, 'Exemplars', { exemplars: !exemplars }, 'Show exemplars as diamonds')];
  }

  /* ---- asking ---- */

  step() {
    return this.state.step || Math.max(1000, Math.floor(this.state.range / POINTS / 1000) * 1000);
  }

  async format() {
    if (!this.state.expr.trim()) return;
    try {
      const text = (await post('format_query', { query: this.state.expr })).data;
      this.editor.value = text;
      this.state.expr = text;
      replace(this.notes);
    } catch (e) {
      this.fail(e);
    }
  }

  async run(push) {
    this.cancel();
    const { expr } = this.state;
    this.save(push);
    if (!expr.trim()) {
      replace(this.notes);
      this.clear();
      return;
    }
    remember(expr);
    const running = new AbortController();
    this.running = running;
    this.root.classList.add('loading');
    const began = performance.now();
    try {
      await (this.state.tab === 'graph' ? this.askRange(running.signal, began) : this.askInstant(running.signal, began));
    } catch (e) {
      if (e.name === 'AbortError' || this.running !== running) return;
      this.clear();
      this.fail(e);
      if (e.type === 'unready') {
        setTimeout(() => this.running === running && this.run(false), RETRY_MS);
        return;
      }
    }
    if (this.running !== running) return;
    this.running = null;
    this.root.classList.remove('loading');
  }

  async askInstant(signal, began) {
    const end = this.state.end === null ? Date.now() : this.state.end;
    const answer = await post('query', { query: this.state.expr, time: end / 1000 }, signal);
    const took = performance.now() - began;
    const { element, text } = table(answer.data);
    this.clear();
    this.tell(answer);
    replace(this.body, element);
    replace(this.stats, `${text} · ${shortDuration(took / 1000)}`);
  }

  async askRange(signal, began) {
    const step = this.step();
    const end = this.state.end === null ? Date.now() : this.state.end;
    const start = end - Math.floor(this.state.range / step) * step; // so that the newest samples are a point
    const times = { query: this.state.expr, start: start / 1000, end: end / 1000 };
    const [answer, exemplars] = await Promise.all([post('query_range', { ...times, step: step / 1000 }, signal),
      this.state.exemplars ? post('query_exemplars', times, signal) : null]);
    const took = performance.now() - began;
    if (!this.graph) {
      this.clear();
      this.graph = new Graph({ onZoom: (from, to) => this.zoom(from, to) });
      replace(this.body, this.graph.root);
    }
    this.tell(answer);
    this.graph.show({ list: answer.data.result, start, end, step, stacked: this.state.stacked, exemplars: exemplars && exemplars.data });
    replace(this.stats, `${count(answer.data.result.length)} series · ${formatDuration(step)} · ${shortDuration(took / 1000)}`);
  }

  zoom(from, to) {
    const range = Math.max(1000, Math.round((to - from) / 1000) * 1000);
    this.set({ range, end: Math.round(to / 1000) * 1000 });
  }

  /* ---- what the server says besides ---- */

  tell(answer) {
    this.editor.setMark(null);
    replace(this.notes, (answer.warnings || []).map((w) => message('warning', el('b', null, 'Warning '), w)),
      (answer.infos || []).map((i) => message('info', el('b', null, 'Info '), i)));
  }

  fail(e) {
    if (!(e instanceof ApiError)) throw e;
    const place = /(\d+):(\d+): parse error: ([\s\S]*)/.exec(e.message);
    if (!place) {
      replace(this.notes, message('error', el('b', null, e.type === 'timeout' ? 'Timeout ' : 'Error '), e.message));
      return;
    }
    this.editor.setMark(offsetOf(this.state.expr, Number(place[1]), Number(place[2])));
    replace(this.notes, message('error', el('b', null, `Parse error at ${place[1]}:${place[2]} `), place[3]));
  }
}
