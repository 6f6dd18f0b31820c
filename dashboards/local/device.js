// The chosen device: its numbers, and its latest readings as a chart.

import { drawChart } from './chart.js';
import { $, clamp, setAttribute, setText } from './dom.js';
import { UNDEFINED, formatCount, formatInstant, formatSent, formatValue } from './format.js';
import { getJson } from './gateway.js';

const chosen = { id: null, statistics: null, recent: null, askedAt: null };

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
  return true;
}

// A name that no device can have is not asked for.
export const deviceQuestion = () => (/^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/.test(chosen.id ?? '') ? { device_id: chosen.id } : {});

// `recent` where it is there already.
export async function showChosen(statistics, known, recent) {
  chosen.statistics = statistics;
  if (recent) Object.assign(chosen, { recent: prepareRecent(recent), askedAt: revisionOf(statistics) });
  show(known);
  await readRecent().then((changed) => changed && show(known), () => {}); // the stream says when the gateway is away
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

function prepareRecent(recent) {
  // Within one millisecond, or under names of their own, several readings share one `at`: `key` tells them apart.
  const timed = (rows) => rows.map((row) => ({ ...row, at: Date.parse(row.timestamp), key: `${row.timestamp} ${row.value}` }))
    .filter((row) => !Number.isNaN(row.at)).sort((a, b) => a.at - b.at);
  return { readings: timed(recent.readings), statistics: timed(recent.statistics) };
}

function show(known) {
  const { id, statistics, recent } = chosen;
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
  else if (statistics && recent === null && chosen.askedAt !== null) message = 'No recent readings. The chart starts with the next one.';
  else if (recent && !recent.readings.length) message = 'No recent readings. The chart starts with the next one.';
  setText($('chart-message'), message);
  $('chart-message').hidden = message === '';
  drawChart(id, recent?.readings.length ? recent : null);
}

function formatOf(field, digits) {
  if (/_timestamp$|_at$/.test(field)) return formatInstant;
  if (/count$/.test(field)) return formatCount;
  if (/^m(edian|inimum|aximum)$/.test(field)) return (number) => formatSent(number, 15);
  return (number) => formatValue(number, field === 'standard_deviation' ? 8 : digits);
}
