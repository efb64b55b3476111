// legend.js - the series below a graph. A click shows only that one (again: all), with Ctrl it is switched on or off.
import { capped, el, series } from './dom.js';

const ROWS_FIRST = 50;

/* onChange(visible) gets an array of booleans; onHover(i or -1). */
export function legend(list, colors, onChange, onHover) {
  const visible = list.map(() => true);
  const rows = [];
  const paint = () => rows.forEach((r, i) => {
    r.classList.toggle('off', !visible[i]);
    r.setAttribute('aria-pressed', visible[i]);
  });
  const click = (i, one) => {
    if (one) {
      visible[i] = !visible[i];
    } else {
      const alone = visible[i] && visible.every((on, k) => on === (k === i));
      visible.fill(alone);
      visible[i] = true;
    }
    paint();
    onChange(visible.slice());
  };
  const row = (i) => {
    const swatch = el('i', { class: 'swatch' });
    swatch.style.background = colors[i];
    rows[i] = el('button', {
      class: `entry${visible[i] ? '' : ' off'}`, 'aria-pressed': String(visible[i]), title: 'Click: only this. Ctrl-click: on or off.',
      onclick: (e) => click(i, e.ctrlKey || e.metaKey), onmouseenter: () => onHover(visible[i] ? i : -1), onmouseleave: () => onHover(-1),
    }, swatch, series(list[i].metric));
    return rows[i];
  };
  const entries = el('div', { class: 'entries' });
  const root = el('div', { class: 'legend' }, entries);
  capped(entries, list.length, ROWS_FIRST, row, 'series');
  return root;
}
