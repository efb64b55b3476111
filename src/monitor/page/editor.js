// editor.js - the field for an expression: a textarea that is seen through to its coloured copy, and a list of
// completions. Enter runs, Shift-Enter begins a line, Ctrl-Space completes.
import { debounce, el, replace } from './dom.js';
import { complete } from './complete.js';
import { tokens } from './promql.js';

const LETTERS = { function: 'ƒ', aggregation: 'Σ', keyword: 'k', metric: 'm', label: 'l', value: 'v', duration: 't', history: '↺' };
let ids = 0;

/* Where "2:5" (columns in bytes, as the server counts) is in the text. */
export function offsetOf(text, line, column) {
  const lines = text.split('\n');
  const before = lines.slice(0, line - 1).reduce((n, l) => n + l.length + 1, 0);
  const bytes = new TextEncoder().encode(lines[line - 1] || '').slice(0, column - 1);
  return Math.min(text.length, before + new TextDecoder().decode(bytes).length);
}

export class Editor {
  constructor({ value, onRun, onChange }) {
    this.onRun = onRun;
    this.onChange = onChange;
    this.mark = null;
    this.items = [];
    this.turn = 0;
    const id = `completions${ids++}`;
    this.copy = el('pre', { class: 'copy', 'aria-hidden': 'true' });
    this.area = el('textarea', {
      class: 'expr', rows: 1, spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off', autocorrect: 'off', wrap: 'soft',
      placeholder: 'Expression (press Ctrl-Space for completions)', 'aria-label': 'Expression', role: 'combobox',
      'aria-autocomplete': 'list', 'aria-controls': id, 'aria-expanded': 'false',
      oninput: () => this.input(), onkeydown: (e) => this.key(e), onblur: () => setTimeout(() => this.close(), 150),
    });
    this.area.value = value;
    this.list = el('div', { class: 'list', id, role: 'listbox' });
    this.help = el('div', { class: 'help' });
    this.popup = el('div', { class: 'popup', hidden: true }, this.list, this.help);
    this.popup.addEventListener('mousedown', (e) => e.preventDefault());
    this.root = el('div', { class: 'editor' }, this.copy, this.area, this.popup);
    this.later = debounce(60, () => this.ask(false));
    this.paint();
  }

  get value() { return this.area.value; }
  set value(text) {
    this.area.value = text;
    this.mark = null;
    this.paint();
  }

  /* Marks the place of a mistake; null: none. */
  setMark(offset) {
    this.mark = offset;
    this.paint();
  }

  paint() {
    const out = document.createDocumentFragment();
    for (const t of tokens(this.value)) {
      const marked = this.mark !== null && this.mark >= t.at && this.mark < t.at + t.text.length;
      out.append(el('span', { class: `t-${t.kind}${marked ? ' wrong' : ''}` }, t.text));
    }
    if (this.mark !== null && this.mark >= this.value.length) out.append(el('span', { class: 'wrong' }, ' '));
    replace(this.copy, out, '\u200b');
  }

  input() {
    this.mark = null;
    this.paint();
    this.onChange(this.value);
    this.later();
  }

  /* ---- completion ---- */

  async ask(asked) {
    const turn = ++this.turn;
    const pos = this.area.selectionStart;
    if (pos !== this.area.selectionEnd) return this.close();
    const text = this.value;
    const found = await complete(text, pos, asked);
    if (turn !== this.turn || document.activeElement !== this.area) return undefined;
    if (this.value !== text || this.area.selectionStart !== pos) return undefined; // it is asked again
    const typed = this.value.slice(found.from, pos);
    const done = found.items.length === 1 && found.items[0].text === typed;
    if (!found.items.length || (done && !asked)) return this.close();
    this.from = found.from;
    this.asked = typed;
    this.items = found.items;
    this.moved = false;
    this.show();
    return undefined;
  }

  show() {
    replace(this.list, this.items.map((item, i) => el('div', {
      class: `item k-${item.kind}`, role: 'option', id: `${this.list.id}-${i}`, onclick: () => this.accept(i),
    }, el('i', null, LETTERS[item.kind]), el('span', { class: 'text' }, item.text), el('span', { class: 'detail' }, item.detail))));
    this.popup.hidden = false;
    this.area.setAttribute('aria-expanded', 'true');
    this.place();
    this.select(0);
  }

  /* Below the word that is being written. */
  place() {
    const range = document.createRange();
    let left = this.from;
    for (const span of this.copy.childNodes) {
      const length = span.textContent.length;
      if (left < length || span === this.copy.lastChild) {
        const node = span.firstChild || span;
        range.setStart(node, Math.min(left, node.length));
        break;
      }
      left -= length;
    }
    range.collapse(true);
    const at = range.getBoundingClientRect();
    const box = this.root.getBoundingClientRect();
    const width = this.popup.offsetWidth;
    this.popup.style.left = `${Math.max(-1, Math.min(at.left - box.left - 30, box.width - width))}px`;
    this.popup.style.top = `${(at.height ? at.bottom : box.bottom - 8) - box.top + 6}px`;
  }

  select(i) {
    const old = this.list.querySelector('.selected');
    if (old) old.classList.remove('selected');
    this.at = (i + this.items.length) % this.items.length;
    const row = this.list.children[this.at];
    row.classList.add('selected');
    row.scrollIntoView({ block: 'nearest' });
    this.area.setAttribute('aria-activedescendant', row.id);
    const item = this.items[this.at];
    this.help.hidden = !item.help;
    replace(this.help, item.help);
  }

  /* What stands now in the place of the word that is being written. */
  get typed() { return this.value.slice(this.from, this.area.selectionStart); }

  /* Whether the list is still about it: after quick typing, what is to replace it must at least begin with it. */
  fits() { return this.typed === this.asked || this.items[this.at].text.startsWith(this.typed); }

  close() {
    this.turn++;
    this.popup.hidden = true;
    this.area.setAttribute('aria-expanded', 'false');
    this.area.removeAttribute('aria-activedescendant');
  }

  /* Closes it for good: also a list that is still on its way. */
  dismiss() {
    this.later.cancel();
    this.close();
  }

  accept(i = this.at) {
    const item = this.items[i];
    const pos = this.area.selectionStart;
    const rest = this.value.slice(pos);
    let text = item.insert;
    if (text.endsWith('(') && /^\s*\(/.test(rest)) text = text.slice(0, -1);
    if (item.close && !rest.startsWith(item.close)) text += item.close;
    this.area.setSelectionRange(this.from, pos);
    /* Keeps the browser's undo; where that is gone, the text is put in by hand. */
    if (!document.execCommand('insertText', false, text)) this.area.setRangeText(text, this.from, pos, 'end');
    if (item.close && rest.startsWith(item.close)) this.area.selectionStart = this.area.selectionEnd = this.from + text.length + 1;
    this.mark = null;
    this.paint();
    this.onChange(this.value);
    this.dismiss();
    if (/\($/.test(text)) this.later();
  }

  /* ---- keys ---- */

  key(e) {
    if (e.isComposing) return;
    if (e.key === ' ' && e.ctrlKey) {
      e.preventDefault();
      this.ask(true);
    } else if (!this.popup.hidden && this.popupKey(e)) {
      e.preventDefault();
    } else if (e.key === 'Enter' && !e.shiftKey) {
      e.preventDefault();
      this.dismiss();
      this.onRun();
    } else if (e.key === 'Escape') {
      this.dismiss();
    }
  }

  popupKey(e) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
    if (steps[e.key]) {
      this.moved = true;
      const to = this.at + steps[e.key];
      this.select(Math.abs(steps[e.key]) > 1 ? Math.max(0, Math.min(this.items.length - 1, to)) : to);
      return true;
    }
    if (e.key === 'Escape') {
      this.dismiss();
      return true;
    }
    if (e.key !== 'Tab' && (e.key !== 'Enter' || e.shiftKey)) return false;
    if (!this.fits()) {
      this.close();
      return e.key === 'Tab';
    }
    /* A word that stands there in full is not completed but run. */
    if (e.key === 'Enter' && !this.moved && this.typed === this.items[this.at].text) return false;
    this.accept();
    return true;
  }
}
