// Is the pipeline well, and is every reading accounted for?

import { $, element, setAttribute, setText } from './dom.js';
import { UNDEFINED, formatCount, formatFixed, formatSeconds, formatShare, formatWhole, plural } from './format.js';
import { REASONS } from './reasons.js';

const RATE_WINDOW_MS = 6000;
const pipeline = { samples: [], unexplained: 0, latest: null };

// A new state, or `null` where nothing has changed: the rate falls all the same.
export function showHealth(state) {
  pipeline.latest = state?.pipeline ?? pipeline.latest;
  if (!pipeline.latest) return;
  sample(pipeline.latest.counted);
  showRate();
  if (state) showAccounts(state.pipeline, state.letters_wait, state.health);
}

function sample(counted) {
  const at = performance.now();
  const { samples } = pipeline;
  // Fewer than before: another data directory answers now, so the old samples say nothing about its rate.
  if (samples.length && counted < samples.at(-1).counted) samples.length = 0;
  // Two answers at once, as after a click, are one sample.
  if (samples.length > 1 && at - samples.at(-2).at < 500) samples.pop();
  samples.push({ at, counted });
  while (samples.length > 2 && at - samples[0].at > RATE_WINDOW_MS) samples.shift();
}

export function forgetRate() {
  pipeline.samples.length = 0;
  setText($('rate').querySelector('.value'), UNDEFINED);
}

function showRate() {
  const [first, last] = [pipeline.samples[0], pipeline.samples.at(-1)];
  const rate = last.at - first.at > 400 ? (last.counted - first.counted) * 1000 / (last.at - first.at) : null;
  setText($('rate').querySelector('.value'), rate === null ? UNDEFINED : rate > 0 && rate < 9.95 ? formatFixed(rate, 1) : formatWhole(rate));
}

function showTile(id, text, exact, { state = '', note } = {}) {
  const value = $(id).querySelector('.value');
  setText(value, text);
  setAttribute(value, 'data-value', exact ?? '');
  setAttribute($(id), 'data-state', state);
  if (note !== undefined) setText($(id).querySelector('.note'), note);
}

function showAccounts(latest, lettersWait, health) {
  const reasons = Object.entries(latest.dead_letters ?? {}).filter(([, count]) => count > 0)
    .sort(([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1));
  const deadLetters = reasons.reduce((sum, [, count]) => sum + count, 0);
  const behind = latest.pending > 0 && (latest.backlog_age_seconds ?? 0) >= 5;
  const share = (count, otherwise) => (count > 0 ? `${formatShare(count, latest.accepted)} of accepted` : otherwise);
  showTile('tile-accepted', formatCount(latest.accepted), latest.accepted);
  showTile('tile-counted', formatCount(latest.counted), latest.counted);
  showTile('tile-duplicates', formatCount(latest.duplicates), latest.duplicates, { note: share(latest.duplicates, 'none counted twice') });
  showTile('tile-dead-letters', formatCount(deadLetters), deadLetters,
    { state: lettersWait ? 'bad' : '', note: deadLetters > 0 && !lettersWait ? 'all seen to' : share(deadLetters, 'none given up') });
  showTile('tile-pending', formatCount(latest.pending), latest.pending, { state: behind ? 'warn' : '' });
  showTile('tile-backlog', formatSeconds(latest.backlog_age_seconds ?? 0), latest.backlog_age_seconds, { state: behind ? 'warn' : '' });
  showState(latest, behind, health);
  $('dead-letter-state').hidden = !lettersWait;
  showReasons(reasons);
  showReconciliation(latest, deadLetters);
}

// The worst of what is wrong.
function showState(latest, behind, health) {
  const [state, text, title] = latest.unexplained > 0 ? ['bad', 'Totals don’t add up', 'More readings are counted or dead letters than were accepted. The log says more.']
    : health.status !== 'ok' ? ['bad', 'Not storing readings', health.reason]
      : behind ? ['warn', `${formatCount(latest.pending)} behind`, null] : ['good', 'Keeping up', null];
  setText($('pipeline-state'), text);
  setAttribute($('pipeline-state'), 'data-state', state);
  setAttribute($('pipeline-state'), 'title', title);
}

function showReasons(reasons) {
  const list = $('dead-letter-reasons');
  list.hidden = reasons.length === 0;
  const key = JSON.stringify(reasons);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...reasons.map(([code, count]) => {
    const item = element('li', { 'data-reason': code });
    const link = element('a', { href: `/dashboard/dead-letters#reason=${encodeURIComponent(code)}` });
    link.append(element('code', {}, code), REASONS[code] ? `: ${REASONS[code]}` : '', element('b', {}, formatCount(count)));
    item.append(link);
    return item;
  }));
}

function showReconciliation(latest, deadLetters) {
  const difference = latest.accepted - latest.counted - latest.duplicates - deadLetters;
  // The counters are read one after the other while readings flow: only a difference that stays is one.
  pipeline.unexplained = difference !== 0 && latest.pending === 0 ? pipeline.unexplained + 1 : 0;
  const beyond = latest.unexplained > 0;
  const state = beyond || pipeline.unexplained >= 3 ? 'difference' : difference === 0 ? 'balanced' : 'pending';
  const text = {
    balanced: 'Every accepted reading is accounted for',
    pending: `${plural(Math.abs(difference), 'reading')} on the way`,
    difference: beyond ? `${formatCount(latest.unexplained)} more counted or dead letters than accepted` : `Accepted differs by ${formatCount(difference)} from counted + duplicates + dead letters`,
  }[state];
  setAttribute($('reconciliation'), 'data-state', state);
  setText($('reconciliation').querySelector('.mark'), { balanced: '✓', pending: '…', difference: '≠' }[state]);
  setText($('reconciliation').querySelector('.text'), text);
}
