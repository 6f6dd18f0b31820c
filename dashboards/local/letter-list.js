// The list of dead letters, newest first, read page by page as far as somebody asks.

import { $, element, setAttribute, setText } from './dom.js';
import { formatInstant, formatInstantShort, formatWhole, plural } from './format.js';
import { getJson } from './gateway.js';
import { chooseLetter, chosenLetter, filterMembers } from './letter-filter.js';
import { printable } from './printable.js';

const PAGE = 50;
// Pages that a search for a rare word looks at before it asks whether to go on.
const CALLS_MAX = 25;

const list = { letters: [], next: null, run: 0, pages: 0 };

// Reads the list again, as far as it was read; `keep` leaves it as it is until the answer is there.
export async function readLetters({ keep = false } = {}) {
  const run = ++list.run;
  const wanted = keep ? Math.max(PAGE, list.letters.length) : PAGE;
  const [letters, next] = await readUntil(run, [], undefined, wanted);
  if (run !== list.run) return;
  Object.assign(list, { letters, next });
  showLetters();
}

async function readMore() {
  const run = ++list.run;
  setText($('letters-more'), 'Reading…');
  const [letters, next] = await readUntil(run, list.letters, list.next, list.letters.length + PAGE);
  if (run !== list.run) return;
  Object.assign(list, { letters, next });
  showLetters();
}

async function readUntil(run, before, after, wanted) {
  const letters = [...before];
  let next = after;
  for (let call = 0; call < CALLS_MAX && letters.length < wanted; call += 1) {
    const members = { ...filterMembers(), payload: 'excerpt', limit: Math.min(200, wanted - letters.length) };
    if (next) members.after = next;
    const page = await getJson(`/dead-letters?${new URLSearchParams(members)}`);
    if (run !== list.run) break;
    letters.push(...page.dead_letters);
    next = page.next;
    if (next === null) break;
  }
  return [letters, next];
}

function showLetters() {
  const body = $('letters').tBodies[0];
  const focused = document.activeElement?.closest?.('tr[data-letter]')?.dataset.letter;
  body.replaceChildren(...list.letters.map(row));
  if (focused) body.querySelector(`tr[data-letter="${CSS.escape(focused)}"] a`)?.focus({ preventScroll: true });
  $('letters-none').hidden = list.letters.length > 0;
  setText($('letters-none'), list.next ? 'None among the newest letters that were looked at.' : 'No dead letter matches.');
  $('letters-more').hidden = list.next === null;
  setText($('letters-more'), 'Show more');
  setText($('letters-range'), list.letters.length ? `${plural(list.letters.length, 'letter')} shown${list.next ? ', there are more' : ''}` : '');
  markChosen();
}

function row(letter) {
  const node = element('tr', { 'data-letter': letter.id });
  const heading = element('th', { scope: 'row', title: formatInstant(letter.failed_at) });
  heading.append(element('a', { href: `#letter=${encodeURIComponent(letter.id)}` }, formatInstantShort(letter.failed_at)));
  const reason = element('td');
  reason.append(element('span', { class: `swatch fill-${letter.reason}`, 'aria-hidden': 'true' }), element('code', {}, letter.reason));
  const excerpt = element('td', { class: 'excerpt' });
  excerpt.append(element('code', {}, printable(letter.excerpt)));
  const detail = element('td', { class: 'detail' }, printable(letter.detail));
  node.append(heading, reason, element('td', {}, letter.device_id ?? '–'), detail, excerpt);
  return node;
}

export function markChosen() {
  const id = chosenLetter();
  for (const node of $('letters').tBodies[0].rows) setAttribute(node, 'aria-current', node.dataset.letter === id ? 'true' : null);
}

export function bindLetters(choose) {
  const body = $('letters').tBodies[0];
  body.addEventListener('click', (event) => {
    const chosen = event.target.closest('tr[data-letter]');
    if (!chosen) return;
    event.preventDefault();
    chooseLetter(chosen.dataset.letter);
    markChosen();
    choose();
  });
  body.addEventListener('keydown', (event) => {
    const at = event.target.closest('tr[data-letter]');
    const next = { ArrowDown: at?.nextElementSibling, ArrowUp: at?.previousElementSibling }[event.key];
    if (!next) return;
    event.preventDefault();
    next.querySelector('a').focus();
  });
  $('letters-more').addEventListener('click', () => readMore().catch(() => setText($('letters-more'), 'Show more')));
}

export function showTotal(total) {
  setText($('letter-count'), formatWhole(total));
}
