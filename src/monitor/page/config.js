// config.js - /config and /flags: what the program was told.
import { get } from './api.js';
import { el, message } from './dom.js';
import { frame, holds } from './frame.js';
import { rows } from './status.js';

/* YAML in a little colour: keys and comments. */
function yamlLine(line) {
  const found = /^(\s*(?:- )*)([^\s#:"'][^:#]*?)(:)(\s.*|)$/.exec(line);
  if (/^\s*#/.test(line)) return el('span', { class: 't-comment' }, line);
  return found ? [found[1], el('span', { class: 't-label' }, found[2]), found[3], found[4]] : line;
}

export function configPage(root) {
  return frame(root, {
    title: 'Configuration',
    load: async (signal) => (await get('status/config', null, signal)).data.yaml,
    draw: (yaml, body) => {
      const done = el('span', { class: 'dim' });
      const copy = async () => {
        try {
          await navigator.clipboard.writeText(yaml);
          done.textContent = ' copied';
        } catch {
          done.textContent = ' the browser does not allow it here';
        }
      };
      body.append(el('div', { class: 'dim' }, el('button', { onclick: copy }, 'Copy'), done),
        el('pre', { class: 'yaml' }, yaml.trimEnd().split('\n').map((l) => [yamlLine(l), '\n'])));
      return 'as it is in force, secrets hidden';
    },
  });
}

export function flagsPage(root) {
  return frame(root, {
    title: 'Flags', filter: 'Filter by name or value',
    load: async (signal) => (await get('status/flags', null, signal)).data,
    draw: (flags, body, typed) => {
      const list = Object.entries(flags).filter(([k, v]) => holds(typed, k, v));
      body.append(list.length ? rows(list.map(([k, v]) => [`--${k}`, el('code', null, v || ' ')])) : message('note', 'No flag fits the filter.'));
      return `${list.length} flags`;
    },
  });
}
