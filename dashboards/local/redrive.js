// Sending dead letters again: what would happen to each, and then, with the key, the same done.
//
// The gateway runs what `streamgauge dlq redrive` runs, one page of letters a call. The key is typed for each run, goes
// with its calls, and is forgotten with them: what the page has by itself, its session, changes nothing.

import { $, element, setText } from './dom.js';
import { formatWhole, plural } from './format.js';
import { postJson } from './gateway.js';
import { filterFlags, filterMembers } from './letter-filter.js';
import { openLetter } from './letter.js';
import { printable } from './printable.js';

const OUTCOMES_SHOWN = 200;
const ACTIONS = { send: 'would be sent', sent: 'sent', skip: 'left', refuse: 'refused', gone: 'gone', failed: 'failed' };

// What was previewed, word for word: nothing else is sent.
const plan = { selection: null, totals: null, run: 0 };

const scopeIsLetter = () => $('scope-letter').checked;
const assignments = () => $('redrive-set').value.split('\n').map((line) => line.trim()).filter(Boolean);

function selection() {
  const letter = openLetter();
  if (!scopeIsLetter()) {
    return { ...filterMembers(), set: assignments(), all_reasons: $('redrive-all').checked };
  }
  const body = $('redrive-body').value;
  const edited = letter.payload.editable !== null && body !== letter.payload.editable;
  const bodies = edited ? { [letter.id]: body } : {};
  return { ids: [letter.id], set: edited ? [] : assignments(), bodies, all_reasons: $('redrive-all').checked };
}

// The same from a terminal, or for a script.
function command({ set, all_reasons: all, ids, bodies }) {
  const flags = ids ? ['--id', ids[0]] : filterFlags();
  if (Object.keys(bodies ?? {}).length) return null;
  const quoted = (text) => (/^[\w.,:=/+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  const sets = set.flatMap((assignment) => ['--set', assignment]);
  return ['streamgauge dlq redrive', ...[...flags, ...sets].map(quoted), ...(all ? ['--all-reasons'] : [])].join(' ');
}

async function run(path, selected, key, progress) {
  const number = ++plan.run;
  const totals = { letters: 0, sent: 0, readings: 0, skipped: 0, refused: 0, gone: 0, failed: 0 };
  const outcomes = [];
  for (let after = null, until; ;) {
    const answer = await postJson(path, { ...selected, ...(until && { until }), ...(after && { after }) }, key);
    for (const name of Object.keys(totals)) totals[name] += answer.totals[name] ?? 0;
    outcomes.push(...answer.letters.slice(0, Math.max(0, OUTCOMES_SHOWN - outcomes.length)));
    until ??= answer.until;
    after = answer.next;
    const stopped = number !== plan.run;
    if (!stopped) progress(totals, outcomes);
    if (after === null || stopped) return { totals, outcomes, until, stopped };
  }
}

function describe(totals, done) {
  const { letters, sent, readings, skipped, refused, gone, failed } = totals;
  if (letters === 0) return 'No dead letter matches.';
  const parts = [`${formatWhole(sent)} ${done ? 'sent' : 'would be sent'} (${plural(readings, 'reading')})`];
  if (skipped) parts.push(`${formatWhole(skipped)} left`);
  if (refused) parts.push(`${formatWhole(refused)} refused`);
  if (gone) parts.push(`${formatWhole(gone)} no longer in the queue`);
  if (failed) parts.push(`${formatWhole(failed)} failed`);
  return `${plural(letters, 'dead letter')}: ${parts.join(', ')}`;
}

function showOutcomes(outcomes, totals) {
  $('outcomes').tBodies[0].replaceChildren(...outcomes.map((outcome) => {
    const row = element('tr', { 'data-action': outcome.action });
    const what = outcome.why === null ? plural(outcome.readings, 'reading') : printable(outcome.why);
    const name = element('th', { scope: 'row', title: outcome.id });
    name.append(element('code', {}, outcome.id.slice(0, 12)));
    row.append(name, element('td', {}, outcome.reason), element('td', {}, outcome.device_id ?? '–'),
      element('td', { class: 'action' }, ACTIONS[outcome.action]), element('td', { class: 'detail' }, what));
    return row;
  }));
  const rest = totals.letters - outcomes.length;
  setText($('outcomes-rest'), rest > 0 ? `and ${plural(rest, 'other letter')}` : '');
}

function showProblem(text) {
  setText($('redrive-problem'), text);
  $('redrive-problem').hidden = text === '';
}

async function preview() {
  forget();
  showProblem('');
  const selected = selection();
  if (selected.set.length && !selected.ids && Object.keys(filterMembers()).length === 0) {
    showProblem('Setting a member changes every letter that it meets: say above which ones are meant.');
    return;
  }
  $('plan').hidden = false;
  setText($('plan-totals'), 'Looking…');
  try {
    const { totals, outcomes, until, stopped } = await run('/dead-letters/preview', selected, undefined,
      (counted) => setText($('plan-totals'), `${describe(counted, false)} so far…`));
    if (stopped) return;
    Object.assign(plan, { selection: { ...selected, until }, totals });
    setText($('plan-totals'), describe(totals, false));
    showOutcomes(outcomes, totals);
    const line = command(selected);
    $('plan-command-box').hidden = line === null;
    setText($('plan-command'), line === null ? '' : `${line} --apply`);
    $('apply').hidden = totals.sent === 0;
    setText($('apply-button'), `Send ${plural(totals.sent, 'letter')} again`);
  } catch (error) {
    forget();
    showProblem(error.message);
  }
}

async function apply(event) {
  event.preventDefault();
  const selected = plan.selection;
  const key = $('apply-key').value;
  if (!selected || !key) return;
  const wanted = plan.totals.letters;
  showProblem('');
  busy(true);
  try {
    const { totals, outcomes, stopped } = await run('/dead-letters/redrive', selected, key, (counted) => {
      $('apply-progress').value = wanted ? counted.letters / wanted : 1;
      setText($('plan-totals'), `${describe(counted, true)} so far…`);
    });
    setText($('plan-totals'), `${describe(totals, true)}${stopped ? '; stopped, the rest is as it was' : ''}`);
    const left = outcomes.filter(({ action }) => action !== 'sent' && action !== 'gone');
    showOutcomes(left, { letters: totals.letters - totals.sent - totals.gone });
    $('apply').hidden = true;
    plan.selection = null;
  } catch (error) {
    showProblem(error.status === 403 ? 'That key was not accepted; nothing was sent.' : `${error.message}; what went has gone, and the same can be sent again.`);
  } finally {
    $('apply-key').value = '';
    busy(false);
    document.dispatchEvent(new CustomEvent('redriven'));
  }
}

function busy(is) {
  for (const id of ['apply-button', 'apply-key', 'preview']) $(id).disabled = is;
  $('apply-stop').hidden = !is;
  $('apply-progress').hidden = !is;
  $('apply-progress').value = 0;
}

// A change of what is meant makes the preview void.
function forget() {
  plan.run += 1;
  Object.assign(plan, { selection: null, totals: null });
  $('plan').hidden = true;
  $('apply').hidden = true;
  $('plan-command-box').hidden = true;
  $('outcomes').tBodies[0].replaceChildren();
  setText($('outcomes-rest'), '');
}

function showScope() {
  const letter = openLetter();
  $('scope-letter').disabled = !letter;
  if (!letter && scopeIsLetter()) $('scope-filter').checked = true;
  $('edit').hidden = !scopeIsLetter() || letter.payload.editable === null;
  $('edit-not').hidden = !scopeIsLetter() || letter.payload.editable !== null;
}

export function bindRedrive() {
  const changed = () => {
    forget();
    showProblem('');
    showScope();
  };
  for (const id of ['scope-filter', 'scope-letter', 'redrive-set', 'redrive-body', 'redrive-all']) $(id).addEventListener('input', changed);
  document.addEventListener('letter', ({ detail: { other } }) => {
    if (other) {
      $('redrive-body').value = openLetter()?.payload.editable ?? '';
      if (scopeIsLetter()) changed();
    }
    showScope();
  });
  $('preview').addEventListener('click', preview);
  $('apply').addEventListener('submit', apply);
  $('apply-stop').addEventListener('click', () => { plan.run += 1; });
  showScope();
  return changed;
}
