// The dashboard of one machine: reads the gateway's JSON once a second and draws it.
//
// Enters: GET /devices, /pipeline, /recent and /. Leaves: the DOM of index.html, by textContent, attributes and the
// CSSOM alone, because the content security policy allows no inline script or style and device names are not ours.
// Can fail: the gateway may be away (the page says so and retries) or the session may end (it says so and stops).

const POLL_MS = 1000;
const RETRY_MS_MAX = 5000;
const REQUEST_MS_MAX = 10_000;
const PAGE_LIMIT = 500;
// A large fleet is read in slices: each poll spends this long on it, so its cost per second does not grow with it.
const SWEEP_MS = 250;
const RATE_WINDOW_MS = 6000;
const TREND_POINTS = 40;

const $ = (id) => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';

function element(name, attributes = {}, text) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function svgElement(name, attributes = {}) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

// Writing only what differs keeps the browser from laying out a page that has not changed.
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

// ---------------------------------------------------------------------------------------------------------- Formats

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const fixed = Array.from({ length: 13 }, (_, digits) =>
  new Intl.NumberFormat('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits }));
const dayMonth = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const monthYear = new Intl.DateTimeFormat('en-GB', { month: 'short', year: 'numeric' });
const date = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
const hourMinute = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const clockExact = new Intl.DateTimeFormat('en-GB',
  { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 });

const UNDEFINED = '–';

function formatCount(count) {
  return count === null || count === undefined ? UNDEFINED : whole.format(count);
}

// `digits` significant digits, trailing zeros kept so that a live number keeps its width. For what was computed.
function formatValue(value, digits = 5) {
  if (value === null || value === undefined) return UNDEFINED;
  if (value === 0) return '0';
  const magnitude = Math.floor(Math.log10(Math.abs(value)));
  if (magnitude >= 9 || magnitude < -4) return value.toExponential(digits - 1);
  if (Number.isInteger(value)) return whole.format(value);
  return fixed[Math.min(12, Math.max(0, digits - 1 - magnitude))].format(value);
}

// For what was sent, or stands between two that were: no zeros that the device did not send.
function formatSent(value, digits = 5) {
  const magnitude = Math.abs(value ?? 0);
  if (magnitude === 0) return formatValue(value);
  if (magnitude >= 1e9 || magnitude < 1e-4) return String(Number(value.toPrecision(digits)));
  return new Intl.NumberFormat('en-US', { maximumSignificantDigits: digits }).format(value);
}

function formatInstant(timestamp) {
  const instant = new Date(timestamp);
  return Number.isNaN(instant.getTime()) ? UNDEFINED : `${date.format(instant)}, ${clock.format(instant)}`;
}

function formatInstantShort(timestamp) {
  const instant = new Date(timestamp);
  if (Number.isNaN(instant.getTime())) return UNDEFINED;
  const sameDay = instant.toDateString() === new Date().toDateString();
  return sameDay ? clock.format(instant) : `${instant.toLocaleDateString('sv-SE')} ${hourMinute.format(instant)}`;
}

function formatSeconds(seconds) {
  if (seconds === null || seconds === undefined) return UNDEFINED;
  if (seconds < 10) return `${fixed[1].format(seconds)} s`;
  if (seconds < 120) return `${whole.format(seconds)} s`;
  if (seconds < 7200) return `${whole.format(seconds / 60)} min`;
  return seconds < 172_800 ? `${whole.format(seconds / 3600)} h` : `${whole.format(seconds / 86_400)} days`;
}

const plural = (count, noun) => `${whole.format(count)} ${noun}${count === 1 ? '' : 's'}`;

// ---------------------------------------------------------------------------------------------------------- Gateway

class SessionEnded extends Error {}

async function getJson(path, { absent } = {}) {
  const response = await fetch(path, {
    credentials: 'same-origin', cache: 'no-store', redirect: 'error', headers: { accept: 'application/json' },
    signal: AbortSignal.timeout(REQUEST_MS_MAX),
  });
  if (response.status === 401 || response.status === 403) throw new SessionEnded();
  if (response.status === 404 && absent !== undefined) return absent;
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

const pipeline = { latest: null, samples: [], unexplainedPolls: 0 };

async function readPipeline() {
  const latest = await getJson('/pipeline');
  const at = performance.now();
  const last = pipeline.samples.at(-1);
  // Fewer than before: another data directory answers now, so the old samples say nothing about its rate.
  if (last && latest.counted < last.counted) pipeline.samples = [];
  pipeline.samples.push({ at, counted: latest.counted });
  while (pipeline.samples.length > 2 && at - pipeline.samples[0].at > RATE_WINDOW_MS) pipeline.samples.shift();
  pipeline.latest = latest;
}

function readingsPerSecond() {
  const [first, last] = [pipeline.samples[0], pipeline.samples.at(-1)];
  return first && last.at > first.at ? (last.counted - first.counted) * 1000 / (last.at - first.at) : null;
}

// device_id -> { statistics, means: the means this page has seen, rank: its place by name }
const fleet = { devices: new Map(), cursor: null, seen: new Set(), complete: false, sweepStarted: 0, sweepMs: 0, renamed: false };

function keepStatistics(statistics) {
  let device = fleet.devices.get(statistics.device_id);
  if (!device) {
    device = { statistics, means: [], rank: 0 };
    fleet.devices.set(statistics.device_id, device);
    fleet.renamed = true;
  }
  if (statistics.mean !== null && (device.means.length === 0 || statistics.count !== device.statistics.count)) {
    device.means.push(statistics.mean);
    if (device.means.length > TREND_POINTS) device.means.shift();
  }
  device.statistics = statistics;
}

async function readFleet() {
  const started = performance.now();
  do {
    if (fleet.cursor === null) fleet.sweepStarted = performance.now();
    const after = fleet.cursor === null ? '' : `&after=${encodeURIComponent(fleet.cursor)}`;
    const page = await getJson(`/devices?limit=${PAGE_LIMIT}${after}`);
    for (const statistics of page.devices) {
      keepStatistics(statistics);
      fleet.seen.add(statistics.device_id);
    }
    fleet.cursor = page.next ?? null;
    if (fleet.cursor === null) {
      finishSweep();
      return;
    }
  } while (!fleet.complete || performance.now() - started < SWEEP_MS);
}

function finishSweep() {
  for (const id of fleet.devices.keys()) {
    if (!fleet.seen.has(id)) {
      fleet.devices.delete(id);
      fleet.renamed = true;
    }
  }
  fleet.seen = new Set();
  fleet.complete = true;
  fleet.sweepMs = performance.now() - fleet.sweepStarted;
}

const chosen = { id: null, recent: null, askedAt: null };

function deviceOfHash() {
  const match = /^#device=(.+)$/.exec(location.hash);
  try {
    return match && decodeURIComponent(match[1]);
  } catch {
    return null; // not percent-encoded text: nobody's name
  }
}

function choose() {
  const id = deviceOfHash() ?? chosen.id ?? table.order[0] ?? null;
  if (id !== chosen.id) Object.assign(chosen, { id, recent: null, askedAt: null });
}

async function readChosen() {
  const id = chosen.id;
  if (id === null) return;
  if (fleet.devices.size > PAGE_LIMIT && fleet.devices.has(id)) {
    const statistics = await getJson(`/?device_id=${encodeURIComponent(id)}`, { absent: null });
    if (statistics) keepStatistics(statistics);
  }
  const statistics = fleet.devices.get(id)?.statistics;
  if (!statistics) return;
  // The revision of what is drawn: an unchanged device is not asked for again.
  const revision = `${statistics.count} ${statistics.updated_at}`;
  if (revision === chosen.askedAt) return;
  const recent = await getJson(`/recent?device_id=${encodeURIComponent(id)}`, { absent: null });
  if (id !== chosen.id) return; // another device was chosen meanwhile
  chosen.recent = recent && prepareRecent(recent);
  chosen.askedAt = revision;
}

function prepareRecent(recent) {
  // Within one millisecond, or under names of their own, several readings share one `at`: `key` tells them apart.
  const timed = (rows) => rows.map((row) => ({ ...row, at: Date.parse(row.timestamp), key: `${row.timestamp} ${row.value}` }))
    .filter((row) => !Number.isNaN(row.at)).sort((a, b) => a.at - b.at);
  return { readings: timed(recent.readings), statistics: timed(recent.statistics) };
}

// --------------------------------------------------------------------------------------------------- Pipeline health

// What each reason of the dead-letter contract means, for somebody who has not read it.
const REASONS = {
  malformed_json: 'not JSON', invalid_reading: 'a member is missing or out of its range',
  future_timestamp: 'its time is in the future', conflicting_duplicate: 'same device and time, another value',
  partition_key_mismatch: 'stored under another device’s key', bad_aggregate: 'a broken aggregate of records',
  late: 'too old for the ledger', corrupt_state: 'the device’s stored state cannot be read',
};

function showTile(id, text, exact, state = '') {
  const value = $(id).querySelector('.value');
  setText(value, text);
  setAttribute(value, 'data-value', exact ?? '');
  setAttribute($(id), 'data-state', state);
}

function showPipeline() {
  const latest = pipeline.latest;
  if (!latest) return;
  const reasons = Object.entries(latest.dead_letters ?? {}).filter(([, count]) => count > 0)
    .sort(([a, countA], [b, countB]) => countB - countA || a.localeCompare(b));
  const deadLetters = reasons.reduce((sum, [, count]) => sum + count, 0);
  const behind = latest.pending > 0 && (latest.backlog_age_seconds ?? 0) >= 5;
  showTile('tile-accepted', formatCount(latest.accepted), latest.accepted);
  showTile('tile-counted', formatCount(latest.counted), latest.counted);
  showTile('tile-duplicates', formatCount(latest.duplicates), latest.duplicates);
  showTile('tile-dead-letters', formatCount(deadLetters), deadLetters, deadLetters > 0 ? 'bad' : '');
  showTile('tile-pending', formatCount(latest.pending), latest.pending, behind ? 'warn' : '');
  showTile('tile-backlog', formatSeconds(latest.backlog_age_seconds ?? 0), latest.backlog_age_seconds, behind ? 'warn' : '');
  setText($('pipeline-state'), behind ? `${formatCount(latest.pending)} behind` : 'Keeping up');
  setAttribute($('pipeline-state'), 'data-state', behind ? 'warn' : 'good');
  $('dead-letter-state').hidden = deadLetters === 0;
  showReasons(reasons);
  showReconciliation(latest, deadLetters);
  const rate = readingsPerSecond();
  setText($('rate').querySelector('.value'), rate === null ? '–' : rate < 9.95 ? fixed[1].format(rate) : whole.format(rate));
}

function showReasons(reasons) {
  const list = $('dead-letter-reasons');
  list.hidden = reasons.length === 0;
  const key = JSON.stringify(reasons);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...reasons.map(([code, count]) => {
    const item = element('li', { 'data-reason': code });
    item.append(element('code', {}, code), REASONS[code] ? `: ${REASONS[code]}` : '', element('b', {}, formatCount(count)));
    return item;
  }));
}

function showReconciliation(latest, deadLetters) {
  const difference = latest.accepted - latest.counted - latest.duplicates - deadLetters;
  // The counters are read one after the other while readings flow: only a difference that stays is one.
  pipeline.unexplainedPolls = difference !== 0 && latest.pending === 0 ? pipeline.unexplainedPolls + 1 : 0;
  const state = difference === 0 ? 'balanced' : pipeline.unexplainedPolls >= 3 ? 'difference' : 'pending';
  const text = {
    balanced: 'Every accepted reading is accounted for',
    pending: `${plural(Math.abs(difference), 'reading')} on the way`,
    difference: `Accepted differs by ${formatCount(difference)} from counted + duplicates + dead letters`,
  }[state];
  setAttribute($('reconciliation'), 'data-state', state);
  setText($('reconciliation').querySelector('.mark'), { balanced: '✓', pending: '…', difference: '≠' }[state]);
  setText($('reconciliation').querySelector('.text'), text);
}

// ------------------------------------------------------------------------------------------------------------ Fleet

const CELLS = [
  ['count', formatCount], ['mean', formatValue], ['median', formatValue], ['standard_deviation', formatValue],
  ['minimum', formatSent], ['maximum', formatSent], ['anomaly_count', formatCount], ['last_timestamp', formatInstantShort],
];
const table = { key: 'device_id', descending: false, search: '', page: 0, size: 25, order: [], rows: new Map(), stale: true };

function rankByName() {
  const byName = new Intl.Collator('en', { numeric: true }).compare;
  const ids = [...fleet.devices.keys()].sort((a, b) => byName(a, b) || (a < b ? -1 : 1));
  ids.forEach((id, rank) => { fleet.devices.get(id).rank = rank; });
  fleet.renamed = false;
  table.stale = true;
}

function sortKey(device) {
  const value = device.statistics[table.key];
  return table.key === 'last_timestamp' && value ? Date.parse(value) : value;
}

function orderDevices() {
  const wanted = table.search.toLowerCase();
  const devices = [...fleet.devices.entries()].filter(([id]) => id.toLowerCase().includes(wanted))
    .map(([id, device]) => ({ id, rank: device.rank, key: table.key === 'device_id' ? device.rank : sortKey(device) }));
  const direction = table.descending ? -1 : 1;
  devices.sort((a, b) => {
    // Undefined numbers stand last in either direction: they are neither small nor large.
    if ((a.key ?? null) === null || (b.key ?? null) === null) return ((a.key ?? null) === null) - ((b.key ?? null) === null) || a.rank - b.rank;
    return (a.key - b.key) * direction || a.rank - b.rank;
  });
  table.order = devices.map(({ id }) => id);
  table.stale = false;
}

function showFleet() {
  if (fleet.renamed) rankByName();
  const body = $('devices').tBodies[0];
  // Rows must not move under a pointer or away from the keyboard, unless the person asked for another order.
  const held = body.matches(':hover') || body.contains(document.activeElement);
  if (table.stale || (table.key !== 'device_id' && !held)) orderDevices();
  const pages = Math.max(1, Math.ceil(table.order.length / table.size));
  table.page = Math.min(table.page, pages - 1);
  const start = table.page * table.size;
  showRows(body, table.order.slice(start, start + table.size));
  setText($('device-count'), whole.format(fleet.devices.size));
  const end = Math.min(start + table.size, table.order.length);
  setText($('page-range'), table.order.length ? `${whole.format(start + 1)}–${whole.format(end)} of ${whole.format(table.order.length)}` : '');
  setText($('refresh-note'), fleet.sweepMs > 2 * POLL_MS ? `All devices are read again every ${formatSeconds(Math.ceil(fleet.sweepMs / 1000))}` : '');
  $('no-match').hidden = table.order.length > 0 || table.search === '';
  $('page-previous').disabled = table.page === 0;
  $('page-next').disabled = table.page >= pages - 1;
}

function showRows(body, ids) {
  const focused = document.activeElement;
  const visible = new Set(ids);
  for (const [id, row] of table.rows) {
    if (!visible.has(id)) {
      row.node.remove();
      table.rows.delete(id);
    }
  }
  ids.forEach((id, index) => {
    if (!table.rows.has(id)) table.rows.set(id, newRow(id));
    const row = table.rows.get(id);
    if (body.rows[index] !== row.node) body.insertBefore(row.node, body.rows[index] ?? null);
    showRow(row, fleet.devices.get(id), id === chosen.id);
  });
  if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
}

function newRow(id) {
  const node = element('tr', { 'data-device': id });
  const heading = element('th', { scope: 'row', title: id });
  heading.append(element('a', { href: `#device=${encodeURIComponent(id)}` }, id));
  const trend = element('td');
  const line = svgElement('polyline', { class: 'trend' });
  const picture = svgElement('svg', { viewBox: '0 0 84 20', 'aria-hidden': 'true' });
  picture.append(line);
  trend.append(picture);
  const cells = CELLS.map(([field]) => element('td', { 'data-field': field }));
  node.append(heading, trend, ...cells);
  return { node, line, cells };
}

function showRow(row, device, isChosen) {
  setAttribute(row.node, 'aria-current', isChosen ? 'true' : null);
  CELLS.forEach(([field, format], index) => {
    const cell = row.cells[index];
    const value = device.statistics[field];
    const text = format(value);
    setAttribute(cell, 'data-value', value ?? '');
    if (cell.textContent === text) return;
    // Not the time: it changes with every reading, and says nothing by changing.
    if (cell.textContent !== '' && field !== 'last_timestamp') cell.dataset.flash = cell.dataset.flash === 'a' ? 'b' : 'a';
    cell.textContent = text;
    cell.title = value === null || value === undefined ? 'undefined' : String(value);
    if (field === 'anomaly_count') cell.className = value > 0 ? 'some' : 'none';
  });
  setAttribute(row.line, 'points', trendPoints(device.means));
}

function trendPoints(means) {
  if (means.length < 2) return '';
  const low = Math.min(...means);
  const span = Math.max(...means) - low;
  const y = (mean) => span > 0 ? 18 - 16 * ((mean - low) / span) : 10;
  return means.map((mean, index) => `${(84 * index / (means.length - 1)).toFixed(1)},${y(mean).toFixed(1)}`).join(' ');
}

function sortBy(key) {
  table.descending = table.key === key ? !table.descending : key !== 'device_id';
  Object.assign(table, { key, page: 0, stale: true });
  for (const heading of $('devices').querySelectorAll('thead th[data-key]')) {
    const direction = table.descending ? 'descending' : 'ascending';
    setAttribute(heading, 'aria-sort', heading.dataset.key === key ? direction : null);
  }
  showFleet();
}

function bindFleet() {
  const change = (values) => {
    Object.assign(table, values, { stale: true });
    showFleet();
  };
  for (const heading of $('devices').querySelectorAll('thead th[data-key]')) {
    heading.querySelector('button').addEventListener('click', () => sortBy(heading.dataset.key));
  }
  $('search').addEventListener('input', (event) => change({ search: event.target.value.trim(), page: 0 }));
  $('page-size').addEventListener('change', (event) => change({ size: Number(event.target.value), page: 0 }));
  $('page-previous').addEventListener('click', () => change({ page: table.page - 1 }));
  $('page-next').addEventListener('click', () => change({ page: table.page + 1 }));
  const body = $('devices').tBodies[0];
  body.addEventListener('click', (event) => {
    const row = event.target.closest('tr[data-device]');
    if (!row) return;
    event.preventDefault();
    location.hash = `device=${encodeURIComponent(row.dataset.device)}`;
    $('device').scrollIntoView({ block: 'nearest', behavior: 'smooth' });
  });
  body.addEventListener('keydown', (event) => {
    const row = event.target.closest('tr[data-device]');
    const next = { ArrowDown: row?.nextElementSibling, ArrowUp: row?.previousElementSibling }[event.key];
    if (!next) return;
    event.preventDefault();
    next.querySelector('a').focus();
  });
}

// ---------------------------------------------------------------------------------------------------- Chosen device

function showDevice() {
  const id = chosen.id;
  const statistics = fleet.devices.get(id)?.statistics;
  setText($('device-title'), id ?? '\u00a0');
  const interval = statistics?.mean_confidence_95;
  const values = { ...statistics, confidence_low: interval?.low, confidence_high: interval?.high };
  // A large mean of a small spread needs more digits before they tell anything.
  const ratio = Math.abs(statistics?.mean ?? 0) / (statistics?.standard_deviation || Infinity);
  const digits = clamp(Math.ceil(Math.log10(ratio || 1)) + 5, 8, 17);
  for (const cell of $('numbers').querySelectorAll('dd')) {
    const value = values[cell.dataset.field];
    const format = /_timestamp$|_at$/.test(cell.dataset.field) ? formatInstant
      : /count$/.test(cell.dataset.field) ? formatCount
        : /^m(edian|inimum|aximum)$/.test(cell.dataset.field) ? (number) => formatSent(number, 15)
          : (number) => formatValue(number, cell.dataset.field === 'standard_deviation' ? 8 : digits);
    setText(cell, value === undefined || value === null ? UNDEFINED : format(value));
    setAttribute(cell, 'data-value', value ?? '');
    setAttribute(cell, 'title', value ?? (statistics ? 'undefined' : ''));
  }
  let message = '';
  if (fleet.complete && id !== null && !statistics) message = 'No device has this name. Choose one from the table.';
  else if (statistics && chosen.askedAt !== null && !chosen.recent?.readings.length) {
    message = 'No recent readings. The chart starts with the next one.';
  }
  setText($('chart-message'), message);
  $('chart-message').hidden = message === '';
  drawChart(id, chosen.recent?.readings.length ? chosen.recent : null);
}

// ------------------------------------------------------------------------------------------------------------ Chart

const chart = { device: null, recent: null, scale: null, domain: null, focus: null, parts: null };

// Tukey's far-out fences, three interquartile ranges beyond the quartiles, so that one wild value does not flatten
// all the others. Where the quartiles coincide (a mostly constant signal) the 2nd and 98th percentiles stand in.
function fences(sorted) {
  const at = (fraction) => sorted[Math.round(fraction * (sorted.length - 1))];
  let [low, high] = [at(0.25), at(0.75)];
  if (low === high) [low, high] = [at(0.02), at(0.98)];
  const reach = 3 * (high - low);
  return [low - reach, high + reach];
}

function fencedExtent(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = fences(sorted);
  const kept = sorted.filter((value) => value >= low && value <= high);
  return [kept[0], kept.at(-1)];
}

function valueDomain(readings, statistics) {
  let [low, high] = fencedExtent(readings.map((reading) => reading.value));
  const last = statistics.at(-1);
  const scale = (high - low) || last?.standard_deviation || Math.abs(high) / 10 || 1;
  // Lines and band widen the range only while the readings still fill a fair part of it.
  const include = (value, widest) => {
    const [lower, upper] = [Math.min(low, value), Math.max(high, value)];
    if (upper - lower <= widest * scale) [low, high] = [lower, upper];
  };
  for (const { mean, median } of statistics) {
    if (mean !== null) include(mean, 16);
    if (median !== null) include(median, 16);
  }
  for (const { mean, standard_deviation: deviation } of statistics) {
    if (mean === null || deviation === null) continue;
    include(mean - deviation, 5);
    include(mean + deviation, 5);
  }
  const margin = (high - low) * 0.06 || scale * 0.5;
  return [low - margin, high + margin];
}

// A range that still fits is kept, or every new reading would make the whole chart twitch.
function steadyDomain([low, high], previous) {
  if (!previous) return [low, high];
  const fits = low >= previous[0] && high <= previous[1];
  return fits && high - low > 0.7 * (previous[1] - previous[0]) ? previous : [low, high];
}

function timeDomain(readings) {
  const [first, last] = fencedExtent(readings.map((reading) => reading.at));
  return first === last ? [first - 30_000, last + 30_000] : [first, last];
}

function valueTicks([low, high], wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.ceil(low / step);
  // Counted, not compared: on 1e17 the next multiple of a tiny step can be the same double.
  const count = Math.min(20, Math.max(0, Math.floor(high / step) - first + 1));
  const widest = Math.max(Math.abs(low), Math.abs(high));
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9) + (step / power === 2.5 ? 1 : 0));
  const significant = Math.max(0, Math.ceil(Math.log10(widest / step)));
  const format = (value) => (widest >= 1e7 || digits > 6 ? value.toExponential(Math.min(6, significant)) : fixed[digits].format(value || 0));
  const ticks = Array.from({ length: count }, (_, index) => ({ value: (first + index) * step, label: format((first + index) * step) }));
  if (significant <= 6) return { ticks, base: null };
  // A narrow range far from zero: the labels say how far each line is from one of them.
  const base = ticks[ticks.length >> 1]?.value ?? low;
  for (const tick of ticks) tick.label = tick.value === base ? '±0' : `${tick.value > base ? '+' : ''}${Number((tick.value - base).toPrecision(3))}`;
  return { ticks, base };
}

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const TIME_STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE,
  2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY,
  2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 91 * DAY, 182 * DAY, 365 * DAY, 730 * DAY, 1826 * DAY, 3652 * DAY, 36_524 * DAY,
  365_242 * DAY,
];

function timeTicks([start, end], wanted) {
  const step = TIME_STEPS.find((candidate) => (end - start) / candidate <= wanted) ?? TIME_STEPS.at(-1);
  const format = step < SECOND ? clockExact : step < MINUTE ? clock : step < DAY ? hourMinute : step < 91 * DAY ? dayMonth : monthYear;
  const zone = -new Date(start).getTimezoneOffset() * MINUTE; // whole hours and days of the viewer's own clock
  const ticks = [];
  for (let local = Math.ceil((start + zone) / step) * step; local - zone <= end; local += step) {
    const midnight = step < DAY && step >= MINUTE && local % DAY === 0;
    ticks.push({ value: local - zone, label: (midnight ? dayMonth : format).format(local - zone) });
  }
  return ticks;
}

function chartParts() {
  if (chart.parts) return chart.parts;
  const svg = svgElement('svg', { 'aria-hidden': 'true' });
  const clip = svgElement('clipPath', { id: 'plot' });
  const frame = svgElement('rect');
  clip.append(frame);
  const plot = svgElement('g', { 'clip-path': 'url(#plot)' });
  const parts = { svg, frame, axes: svgElement('g'), marks: svgElement('g', { class: 'marks' }) };
  for (const name of ['band', 'points', 'median', 'mean']) plot.append(parts[name] = svgElement('path', { class: name }));
  parts.meanEnd = svgElement('circle', { class: 'mean-end', r: 4 });
  parts.beyond = svgElement('path', { class: 'beyond' });
  parts.crosshair = svgElement('path', { class: 'crosshair' });
  parts.crosshairPoint = svgElement('circle', { class: 'crosshair-point', r: 5 });
  parts.marks.append(parts.meanEnd, parts.beyond, parts.crosshair, parts.crosshairPoint);
  svg.append(clip, parts.axes, plot, parts.marks);
  $('chart').prepend(svg);
  chart.parts = parts;
  return parts;
}

function drawChart(device, recent) {
  if (device !== chart.device) Object.assign(chart, { device, domain: null, focus: null });
  chart.recent = recent;
  const { svg } = chartParts();
  svg.toggleAttribute('hidden', !recent);
  if (!recent) {
    chart.focus = null;
    setText($('chart-caption'), '\u00a0');
    showCrosshair();
    return;
  }
  const times = timeDomain(recent.readings);
  const statistics = visibleStatistics(recent.statistics, times);
  chart.domain = steadyDomain(valueDomain(recent.readings, statistics), chart.domain);
  scaleChart(times);
  drawLines(recent.readings, statistics);
  showCaption(recent.readings, times);
  showCrosshair();
}

// Those within the chart's time and the last one before it, from which the line enters at the left.
function visibleStatistics(statistics, [start]) {
  const first = statistics.findIndex((row) => row.at >= start);
  return first < 0 ? statistics.slice(-1) : statistics.slice(Math.max(0, first - 1));
}

function scaleChart(times) {
  const [width, height] = [$('chart').clientWidth, $('chart').clientHeight];
  const { ticks, base } = valueTicks(chart.domain, Math.max(3, height / 50));
  const longest = Math.max(4, ...ticks.map((tick) => tick.label.length));
  const box = { left: longest * 7 + 12, right: width - 12, top: 10, bottom: height - 26 };
  const [low, high] = chart.domain;
  const x = (at) => box.left + (box.right - box.left) * ((at - times[0]) / (times[1] - times[0]));
  const y = (value) => box.bottom - (box.bottom - box.top) * ((value - low) / (high - low));
  chart.scale = { ...box, x, y, times, base };
  const { svg, frame, axes } = chart.parts;
  setAttribute(svg, 'viewBox', `0 0 ${width} ${height}`);
  for (const [name, value] of [['x', box.left - 4], ['y', box.top - 4], ['width', Math.max(0, box.right - box.left + 8)], ['height', box.bottom - box.top + 4]]) {
    setAttribute(frame, name, value);
  }
  drawAxes(axes, ticks, timeTicks(times, Math.max(2, (box.right - box.left) / 84)));
}

function drawAxes(axes, values, times) {
  const { left, right, bottom, x, y } = chart.scale;
  let lines = `M${left} ${bottom}H${right}`;
  const labels = [];
  const label = (attributes, text) => {
    const node = svgElement('text', attributes);
    node.textContent = text;
    labels.push(node);
  };
  for (const tick of values) {
    const level = y(tick.value).toFixed(1);
    lines += `M${left} ${level}H${right}`;
    label({ x: left - 8, y: level, dy: '0.35em', 'text-anchor': 'end' }, tick.label);
  }
  for (const tick of times) {
    const place = x(tick.value);
    lines += `M${place.toFixed(1)} ${bottom}v5`;
    const half = tick.label.length * 3.4;
    // Labels are not cut off at the edges.
    if (place + half <= right + 10 && place - half >= 0) label({ x: place.toFixed(1), y: bottom + 19, 'text-anchor': 'middle' }, tick.label);
  }
  axes.replaceChildren(svgElement('path', { class: 'grid', d: lines }), ...labels);
}

function drawLines(readings, statistics) {
  const { x, y, top, bottom, left, right } = chart.scale;
  const { band, points, mean, median, meanEnd, beyond } = chart.parts;
  const at = (when, value) => `${x(when).toFixed(1)} ${clamp(y(value), -1e4, 1e4).toFixed(1)}`;
  const line = (field) => statistics.filter((row) => row[field] !== null)
    .map((row, index) => `${index ? 'L' : 'M'}${at(row.at, row[field])}`).join('');
  const spread = statistics.filter((row) => row.mean !== null && row.standard_deviation !== null);
  const edge = (rows, sign) => rows.map((row) => at(row.at, row.mean + sign * row.standard_deviation));
  setAttribute(band, 'd', spread.length > 1 ? `M${[...edge(spread, 1), ...edge(spread.toReversed(), -1)].join('L')}Z` : '');
  setAttribute(mean, 'd', line('mean'));
  setAttribute(median, 'd', line('median'));
  const inside = readings.filter((reading) => isWithin(y(reading.value), top, bottom) && isWithin(x(reading.at), left, right));
  setAttribute(points, 'd', inside.map((reading) => `M${at(reading.at, reading.value)}h0`).join(''));
  setAttribute(points, 'data-count', inside.length);
  const last = statistics.at(-1);
  const shown = last && last.mean !== null && isWithin(y(last.mean), top, bottom);
  setAttribute(meanEnd, 'visibility', shown ? 'visible' : 'hidden');
  if (shown) setPlace(meanEnd, clamp(x(last.at), left, right), y(last.mean));
  const outside = readings.filter((reading) => !isWithin(y(reading.value), top, bottom) && isWithin(x(reading.at), left, right));
  setAttribute(beyond, 'd', outside.map((reading) => (y(reading.value) < top
    ? `M${x(reading.at).toFixed(1)} ${top}l4.5 8h-9z` : `M${x(reading.at).toFixed(1)} ${bottom}l4.5-8h-9z`)).join(''));
  setAttribute(beyond, 'data-count', outside.length);
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const isWithin = (value, low, high) => value >= low - 0.01 && value <= high + 0.01;

function setPlace(circle, x, y) {
  setAttribute(circle, 'cx', x.toFixed(1));
  setAttribute(circle, 'cy', y.toFixed(1));
}

function showCaption(readings, [start, end]) {
  const beyond = Number(chart.parts.beyond.dataset.count);
  const older = readings.filter((reading) => reading.at < start || reading.at > end).length;
  const shown = readings.length - older;
  const first = new Date(readings.find((reading) => reading.at >= start).at);
  const last = new Date(Math.max(...readings.filter((reading) => reading.at <= end).map((reading) => reading.at)));
  const sameDay = first.toDateString() === last.toDateString();
  const until = ` – ${sameDay ? '' : `${date.format(last)}, `}${clock.format(last)}`;
  const span = `${date.format(first)}, ${clock.format(first)}${shown === 1 ? '' : until}`;
  const notes = [`${shown === 1 ? 'One reading' : `${shown} readings`}, ${span}`];
  if (chart.scale.base !== null) notes.push(`values as distances from ${chart.scale.base}`);
  if (beyond) notes.push(`${beyond} beyond the range (▲▼)`);
  if (chart.parts.meanEnd.getAttribute('visibility') === 'hidden') notes.push('the mean lies beyond the range');
  if (older) notes.push(`${older} far older not drawn`);
  setText($('chart-caption'), notes.join(' · '));
}

// The crosshair remembers its reading, not its place, and so stays on it while the chart moves on.
function focusedIndex() {
  const readings = chart.recent?.readings ?? [];
  return chart.focus === null ? -1 : readings.findIndex((reading) => reading.key === chart.focus);
}

function showCrosshair() {
  const index = focusedIndex();
  const tooltip = $('tooltip');
  const { crosshair, crosshairPoint } = chart.parts;
  const reading = chart.recent?.readings[index];
  const visible = reading !== undefined && isWithin(chart.scale.x(reading.at), chart.scale.left, chart.scale.right);
  tooltip.hidden = !visible;
  for (const part of [crosshair, crosshairPoint]) setAttribute(part, 'visibility', visible ? 'visible' : 'hidden');
  if (!visible) return;
  const { left, right, top, bottom, x, y } = chart.scale;
  const [place, level] = [x(reading.at), clamp(y(reading.value), top, bottom)];
  setAttribute(crosshair, 'd', `M${place.toFixed(1)} ${top}V${bottom}`);
  setPlace(crosshairPoint, place, level);
  fillTooltip(tooltip, reading);
  const beside = place + 14 + tooltip.offsetWidth <= right + 10 ? place + 14 : place - 14 - tooltip.offsetWidth;
  const lowest = $('chart').clientHeight - tooltip.offsetHeight;
  const [tipX, tipY] = [clamp(beside, Math.min(0, left), $('chart').clientWidth - tooltip.offsetWidth), clamp(level - 40, 0, lowest)];
  tooltip.style.transform = `translate(${Math.round(tipX)}px, ${Math.round(tipY)}px)`;
}

function fillTooltip(tooltip, reading) {
  const then = chart.recent.statistics.findLast((row) => row.at <= reading.at);
  const instant = new Date(reading.at);
  const rows = [[date.format(instant), clockExact.format(instant)], ['Reading', String(reading.value)]];
  if (then) {
    rows.push(['Mean then', formatValue(then.mean, 8)], ['Std. deviation', formatValue(then.standard_deviation, 8)],
      ['Median', formatValue(then.median, 8)], ['Count', formatCount(then.count)]);
  }
  const key = JSON.stringify(rows);
  if (tooltip.dataset.key === key) return; // a live region must not repeat itself
  tooltip.dataset.key = key;
  tooltip.replaceChildren(...rows.map(([name, value]) => {
    const row = element('div');
    row.append(element('span', {}, name), element('span', {}, value));
    return row;
  }));
}

function focusNearest(event) {
  if (!chart.recent || !chart.scale) return;
  const { left, right, times } = chart.scale;
  const across = (event.clientX - $('chart').getBoundingClientRect().left - left) / (right - left);
  const wanted = times[0] + across * (times[1] - times[0]);
  const nearest = chart.recent.readings.reduce((best, reading) =>
    (Math.abs(reading.at - wanted) < Math.abs(best.at - wanted) ? reading : best));
  chart.focus = nearest.key;
  showCrosshair();
}

function moveCrosshair(event) {
  const readings = chart.recent?.readings ?? [];
  const last = readings.length - 1;
  if (last < 0) return;
  const index = focusedIndex();
  const from = index < 0 ? last + 1 : index;
  const target = { ArrowLeft: from - 1, ArrowRight: from + 1, PageUp: from - 10, PageDown: from + 10, Home: 0, End: last }[event.key];
  if (event.key === 'Escape') chart.focus = null;
  else if (target === undefined) return;
  else chart.focus = readings[clamp(target, 0, last)].key;
  event.preventDefault();
  showCrosshair();
}

function bindChart() {
  const box = $('chart');
  box.addEventListener('pointermove', focusNearest);
  box.addEventListener('pointerdown', focusNearest);
  const clear = () => {
    chart.focus = null;
    showCrosshair();
  };
  box.addEventListener('pointerleave', clear);
  box.addEventListener('blur', clear);
  box.addEventListener('keydown', moveCrosshair);
  new ResizeObserver(() => drawChart(chart.device, chart.recent)).observe(box);
}

// ------------------------------------------------------------------------------------------------------- Whole page

function showConnection(state) {
  const text = { connecting: 'Connecting', connected: 'Connected', reconnecting: 'Reconnecting', ended: 'Session ended' }[state];
  setAttribute($('connection'), 'data-state', state);
  if (state !== 'connected') setText($('rate').querySelector('.value'), UNDEFINED);
  setText($('connection').querySelector('.state'), text);
  if (state === 'connected') {
    const word = element('span', { class: 'word' }, 'updated ');
    $('connection').querySelector('.updated').replaceChildren(word, clock.format(new Date()));
  }
}

function showAll() {
  const empty = fleet.complete && fleet.devices.size === 0;
  $('empty').hidden = !empty;
  $('device').hidden = empty;
  $('fleet').hidden = empty;
  showPipeline();
  showFleet();
  choose();
  showFleet(); // once more: the first choice may have come from this very order
  showDevice();
}

function fillCommands() {
  const origin = location.origin;
  setText($('command-send'), `streamgauge send --endpoint ${origin} --api-key "$STREAMGAUGE_API_KEY" --devices 25 --readings 1000`);
  const reading = JSON.stringify({ device_id: 'kitchen', timestamp: new Date().toISOString(), value: 21.5 });
  setText($('command-curl'), `curl ${origin}/data \\\n  -H "x-api-key: $STREAMGAUGE_API_KEY" \\\n  -H "content-type: application/json" \\\n  -d '${reading}'`);
  for (const button of document.querySelectorAll('[data-copies]')) {
    // Only a secure context (loopback or HTTPS) has a clipboard.
    button.hidden = !navigator.clipboard;
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText($(button.dataset.copies).textContent).then(() => setText(button, 'Copied'), () => setText(button, 'Not allowed'));
      setTimeout(() => setText(button, 'Copy'), 1500);
    });
  }
}

const stored = {
  // Storage may be switched off; the theme then follows the system.
  get theme() { try { return localStorage.getItem('streamgauge-theme'); } catch { return null; } },
  set theme(value) { try { localStorage.setItem('streamgauge-theme', value); } catch { /* not remembered */ } },
};

function showTheme() {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const shown = stored.theme === 'dark' || stored.theme === 'light' ? stored.theme : dark.matches ? 'dark' : 'light';
  setAttribute(document.documentElement, 'data-theme', stored.theme === shown ? shown : null);
  setAttribute(document.documentElement, 'data-shown', shown);
  const toggle = $('theme-toggle');
  if (toggle) setAttribute(toggle, 'aria-label', `Switch to the ${shown === 'dark' ? 'light' : 'dark'} theme`);
}

function bindTheme() {
  showTheme();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', showTheme);
  addEventListener('storage', showTheme);
  $('theme-toggle')?.addEventListener('click', () => {
    const next = document.documentElement.dataset.shown === 'dark' ? 'light' : 'dark';
    stored.theme = next;
    setAttribute(document.documentElement, 'data-theme', next);
    setAttribute(document.documentElement, 'data-shown', next);
    setAttribute($('theme-toggle'), 'aria-label', `Switch to the ${next === 'dark' ? 'light' : 'dark'} theme`);
  });
}

async function poll() {
  await Promise.all([readPipeline(), readFleet()]);
  if (fleet.renamed) showFleet(); // gives the first choice its order
  choose();
  await readChosen();
}

const untilVisible = () => new Promise((resolve) => {
  if (!document.hidden) resolve();
  else document.addEventListener('visibilitychange', resolve, { once: true });
});
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function run() {
  for (let failures = 0; ;) {
    await untilVisible(); // a page that nobody looks at asks for nothing
    const started = performance.now();
    try {
      await poll();
      failures = 0;
      showConnection('connected');
      showAll();
    } catch (error) {
      if (error instanceof SessionEnded) return endSession();
      failures += 1;
      pipeline.samples = [];
      showConnection('reconnecting');
    }
    const pause = Math.min(RETRY_MS_MAX, POLL_MS * 2 ** Math.max(0, failures - 1));
    await sleep(Math.max(100, pause - (performance.now() - started)));
  }
}

function endSession() {
  showConnection('ended');
  $('session-ended').hidden = false;
  $('reload').focus();
}

function startDashboard() {
  bindFleet();
  bindChart();
  fillCommands();
  $('reload').addEventListener('click', () => location.reload());
  $('foot').textContent = `Times are those of this browser (${Intl.DateTimeFormat().resolvedOptions().timeZone}).`;
  addEventListener('hashchange', async () => {
    choose();
    showAll();
    // At once, not at the next poll; when it fails, that poll says so.
    await readChosen().then(showDevice, () => {});
  });
  run();
}

bindTheme();
if ($('login')) $('login-error').hidden = new URLSearchParams(location.search).get('error') !== '1';
else startDashboard();
