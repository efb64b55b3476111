// query.js - /graph: panels one below the other, and their state in the address.
import { el } from './dom.js';
import { Panel } from './panel.js';
import { decode, encode, newPanel } from './state.js';
import { setLocal, useLocal } from './time.js';

export function queryPage(root) {
  const holder = el('div', { class: 'panels' });
  let panels = [];

  const whole = () => `graph?${encode(panels.map((p) => p.state))}`;
  /* `push`: a step that the browser's back button undoes. */
  const save = (push) => {
    const address = whole();
    if (location.pathname.endsWith('/graph') && `graph${location.search}` === address) return;
    history[push ? 'pushState' : 'replaceState'](null, '', address);
  };
  const remove = (panel) => {
    panel.free();
    panels = panels.filter((p) => p !== panel);
    if (!panels.length) put({ ...newPanel() }).focus();
    save(true);
  };
  const put = (state) => {
    const panel = new Panel(state, { save, remove });
    panels.push(panel);
    holder.append(panel.root);
    return panel;
  };
  const fill = () => {
    panels.forEach((p) => p.free());
    panels = [];
    decode(location.search).forEach(put);
    panels.forEach((p) => p.state.expr.trim() && p.run(false));
    if (panels.length === 1 && !panels[0].state.expr) panels[0].focus();
  };

  const local = el('input', { type: 'checkbox', checked: useLocal(), onchange: () => {
    setLocal(local.checked);
    panels.forEach((p) => p.redraw());
  } });
  root.append(holder, el('div', { class: 'foot' },
    el('button', { class: 'add', onclick: () => { put(newPanel()).focus(); save(true); } }, '+ Add panel'),
    el('label', { class: 'check' }, local, 'Local time')));
  fill();
  return { again: fill, address: whole, free: () => panels.forEach((p) => p.free()) };
}
