// The dashboard of one machine: reads the gateway's JSON once a second and draws it.
//
// Enters: GET /devices, /pipeline, /recent and /. Leaves: the DOM of index.html. Can fail: the gateway may be away (the
// page says so and retries) or the session may end (it says so and stops).

import { bindChart, drawChart } from './chart.js';
import { $, clamp, element, setAttribute, setText, svgElement } from './dom.js';
import { UNDEFINED, fixed, formatCount, formatInstant, formatInstantShort, formatSeconds, formatSent, formatValue, plural, whole } from './format.js';
import { getJson } from './gateway.js';
import { REASONS } from './reasons.js';
import { bindShell, keepReading } from './shell.js';

const POLL_MS = 1000;
const PAGE_LIMIT = 500;
// A large fleet is read in slices: each poll spends this long on it, so its cost per second does not grow with it.
const SWEEP_MS = 250;
const RATE_WINDOW_MS = 6000;
const TREND_POINTS = 40;

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

// ------------------------------------------------------------------------------------------------------- Whole page

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
}

async function poll() {
  await Promise.all([readPipeline(), readFleet()]);
  if (fleet.renamed) showFleet(); // gives the first choice its order
  choose();
  await readChosen();
}

function startDashboard() {
  bindShell();
  bindFleet();
  bindChart();
  fillCommands();
  document.addEventListener('disconnected', () => {
    pipeline.samples = [];
    setText($('rate').querySelector('.value'), UNDEFINED);
  });
  addEventListener('hashchange', async () => {
    choose();
    showAll();
    // At once, not at the next poll; when it fails, that poll says so.
    await readChosen().then(showDevice, () => {});
  });
  keepReading(async () => {
    await poll();
    showAll();
  });
}

startDashboard();
