// app.js - the bar on top and which page is shown. All pages are one document; links between them are relative, so they
// work below any prefix.
import { el, message, replace } from './dom.js';
import { alertsPage } from './alerts.js';
import { configPage, flagsPage } from './config.js';
import { queryPage } from './query.js';
import { rulesPage } from './rules.js';
import { runtimePage, tsdbPage } from './status.js';
import { targetsPage } from './targets.js';

const PAGES = [
  ['graph', 'Query', queryPage],
  ['alerts', 'Alerts', alertsPage],
  ['rules', 'Rules', rulesPage],
  ['targets', 'Targets', targetsPage],
  ['tsdb-status', 'TSDB', tsdbPage],
  ['config', 'Configuration', configPage],
  ['flags', 'Flags', flagsPage],
  ['status', 'Runtime', runtimePage],
];

const root = document.getElementById('page');
const bar = document.getElementById('bar');
let current = null;

const nameOf = (address) => new URL(address, location.href).pathname.split('/').pop();

function show() {
  const name = nameOf(location.href);
  if (current && current.name === name && current.page && current.page.again) {
    current.page.again();
    return;
  }
  /* Who comes back to the queries finds them as they were. */
  if (current && current.page && current.page.address) bar.querySelector('nav a').setAttribute('href', current.page.address());
  if (current && current.page && current.page.free) current.page.free();
  const row = PAGES.find((p) => p[0] === name) || PAGES[0];
  for (const link of bar.querySelectorAll('nav a')) {
    const on = nameOf(link.href) === row[0];
    link.classList.toggle('on', on);
    if (on) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
    if (on) link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }
  replace(root);
  root.className = `page-${row[0]}`;
  current = { name, page: null };
  try {
    current.page = row[2](root);
  } catch (e) {
    root.append(message('error', `The page cannot be shown: ${e.message}`));
    throw e;
  }
}

/* Links within the page change the address without loading the document again. */
function follow(e) {
  const link = e.target.closest('a');
  if (!link || e.defaultPrevented || e.button || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey || link.target) return;
  const to = new URL(link.href, location.href);
  const folder = (path) => path.slice(0, path.lastIndexOf('/') + 1);
  if (to.origin !== location.origin || folder(to.pathname) !== folder(location.pathname) || !PAGES.some((p) => p[0] === nameOf(link.href))) return;
  e.preventDefault();
  history.pushState(null, '', link.href);
  show();
  window.scrollTo(0, 0);
}

replace(bar, el('a', { class: 'brand', href: 'graph' }, el('img', { src: 'page/icon.svg', alt: '', width: 20, height: 20 }), 'knarr monitor'),
  el('nav', null, PAGES.map(([name, text]) => el('a', { href: name }, text))));
document.addEventListener('click', follow);
window.addEventListener('popstate', show);
/* dygraphs is a script of the old kind, which has run by the time a module does. */
show();
