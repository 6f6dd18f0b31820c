// The chosen device: its numbers, and its latest readings or its history as a chart.

import { drawChart } from './chart.js';
import { $, clamp, setAttribute, setText } from './dom.js';
import { UNDEFINED, formatCount, formatInstant, formatSent, formatValue } from './format.js';
import { getJson } from './gateway.js';

// The files of curated statistics grow every few minutes; the newest state is told anyway.
const HISTORY_MS = 60_000;
const RETRY_MS = 5000;
const LATEST = 'latest';

const chosen = { id: null, statistics: null, recent: null, askedAt: null };
const past = { period: LATEST, of: null, states: null, all: 0, unreadable: 0, failed: false, askedAt: 0 };

export const chosenDevice = () => chosen.id;

function deviceOfHash() {
  const match = /^#device=(.+)$/.exec(location.hash);
  try {
    return match && decodeURIComponent(match[1]);
  } catch {
    return null; // not percent-encoded text: nobody's name
  }
}

// The address's device, else the one that was chosen before, else the first of the table. Whether it is another one.
export function choose(first) {
  const id = deviceOfHash() ?? chosen.id ?? first;
  if (id === chosen.id) return false;
  Object.assign(chosen, { id, statistics: null, recent: null, askedAt: null });
  forgetHistory();
  return true;
}

// A name that no device can have is not asked for.
export const deviceQuestion = () => (/^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/.test(chosen.id ?? '') ? { device_id: chosen.id } : {});

// `recent` where it is there already.
export async function showChosen(statistics, known, recent) {
  chosen.statistics = statistics;
  if (recent) Object.assign(chosen, { recent: prepareRecent(recent), askedAt: revisionOf(statistics) });
  show(known);
  const read = past.period === LATEST ? readRecent() : readHistory();
  await read.then((changed) => changed && show(known), () => {}); // the stream says when the gateway is away
}

// What the chart shows: the latest readings, or the states of so many seconds, or of all time.
export function bindDevice() {
  $('period').addEventListener('change', ({ target }) => {
    past.period = target.value;
    forgetHistory();
    setAttribute($('device'), 'data-shows', target.value === LATEST ? 'latest' : 'history');
    showChosen(chosen.statistics, chosen.statistics !== null);
  });
}

// An unchanged device is not asked for again.
const revisionOf = ({ count, updated_at: at }) => `${count} ${at}`;

async function readRecent() {
  const { id, statistics } = chosen;
  if (!statistics) return false;
  const revision = revisionOf(statistics);
  if (revision === chosen.askedAt) return false;
  chosen.askedAt = revision;
  const recent = await getJson(`/recent?device_id=${encodeURIComponent(id)}`, { absent: null });
  if (id !== chosen.id) return false; // another device was chosen meanwhile
  chosen.recent = recent && prepareRecent(recent);
  return true;
}

const forgetHistory = () => Object.assign(past, { of: null, states: null, all: 0, unreadable: 0, failed: false });

async function readHistory() {
  const { id, statistics } = chosen;
  const { period } = past;
  const of = `${id} ${period}`;
  if (!statistics || (of === past.of && performance.now() - past.askedAt < HISTORY_MS)) return false;
  Object.assign(past, { of, askedAt: performance.now() });
  const question = new URLSearchParams({ device_id: id, ...(period !== 'all' && { from: new Date(Date.now() - period * 1000).toISOString() }) });
  const answer = await getJson(`/history?${question}`, { absent: null }).catch((error) => error);
  if (past.of !== of || id !== chosen.id) return false; // another device or period was chosen meanwhile
  if (answer instanceof Error) {
    // Tried again with the next state, or soon if none comes.
    Object.assign(past, { of: null, failed: true });
    setTimeout(() => past.failed && id === chosen.id && showChosen(chosen.statistics, true), RETRY_MS);
    return true;
  }
  past.failed = false;
  Object.assign(past, { states: answer?.rows ?? [], all: answer?.rows_found ?? 0, unreadable: answer?.unreadable_files ?? 0 });
  return true;
}

// The states of the files and, behind them, the one that stands now.
function shownHistory() {
  const { states, all, unreadable } = past;
  const now = chosen.statistics;
  if (!states || !now) return null;
  // Files have times to the millisecond.
  const written = Date.parse(now.updated_at);
  const isNewer = states.length ? Date.parse(states.at(-1).updated_at) < written : past.period === 'all' || Date.now() - written < past.period * 1000;
  const points = (isNewer ? [...states, now] : states).filter(({ mean }) => mean !== null)
    .map((state) => ({ ...state, at: Date.parse(state.updated_at), value: state.mean, key: `${state.updated_at} ${state.count}` }));
  return points.length ? { points, statistics: points, isHistory: true, all: all + (isNewer ? 1 : 0), unreadable } : null;
}

function shownRecent() {
  const { recent } = chosen;
  return recent?.readings.length ? { points: recent.readings, statistics: recent.statistics, isHistory: false } : null;
}

function prepareRecent(recent) {
  // Within one millisecond, or under names of their own, several readings share one `at`: `key` tells them apart.
  const timed = (rows) => rows.map((row) => ({ ...row, at: Date.parse(row.timestamp), key: `${row.timestamp} ${row.value}` }))
    .filter((row) => !Number.isNaN(row.at)).sort((a, b) => a.at - b.at);
  return { readings: timed(recent.readings), statistics: timed(recent.statistics) };
}

function show(known) {
  const { id, statistics, recent } = chosen;
  const isLatest = past.period === LATEST;
  setText($('device-title'), id ?? '\u00a0');
  const interval = statistics?.mean_confidence_95;
  const values = { ...statistics, confidence_low: interval?.low, confidence_high: interval?.high };
  // A large mean of a small spread needs more digits before they tell anything.
  const ratio = Math.abs(statistics?.mean ?? 0) / (statistics?.standard_deviation || Infinity);
  const digits = clamp(Math.ceil(Math.log10(ratio || 1)) + 5, 8, 17);
  for (const cell of $('numbers').querySelectorAll('dd')) {
    const { field } = cell.dataset;
    const value = values[field];
    setText(cell, value === undefined || value === null ? UNDEFINED : formatOf(field, digits)(value));
    setAttribute(cell, 'data-value', value ?? '');
    setAttribute(cell, 'title', value ?? (statistics ? 'undefined' : ''));
  }
  let message = '';
  if (known && id !== null && !statistics) message = 'No device has this name. Choose one from the table.';
  else if (isLatest && statistics && chosen.askedAt !== null && !recent?.readings.length) {
    message = 'No readings since the pipeline was started. The chart begins with the next one; its history can be chosen above.';
  }
  const shown = isLatest ? shownRecent() : shownHistory();
  if (!isLatest && statistics && !shown) {
    if (past.failed) message = 'The history cannot be read just now. It is tried again.';
    else if (past.states) message = 'The device’s statistics have not changed in this time.';
  }
  setText($('chart-message'), message);
  $('chart-message').hidden = message === '';
  drawChart(id, shown);
}

function formatOf(field, digits) {
  if (/_timestamp$|_at$/.test(field)) return formatInstant;
  if (field.endsWith('count')) return formatCount;
  if (/^m(edian|inimum|aximum)$/.test(field)) return (number) => formatSent(number, 15);
  return (number) => formatValue(number, field === 'standard_deviation' ? 8 : digits);
}
