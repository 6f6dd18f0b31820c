// The table of devices: the rows that the gateway was asked for, in its order.

import { $, element, setAttribute, setText, svgElement } from './dom.js';
import { formatCount, formatInstantShort, formatSent, formatValue, formatWhole } from './format.js';
import { describeDevices, describeRange } from './overview.js';

const TREND_POINTS = 40;
// Means are remembered of so many devices, those shown last.
const TRENDS_MAX = 1000;
const CELLS = [
  ['count', formatCount], ['mean', formatValue], ['median', formatValue], ['standard_deviation', formatValue],
  ['minimum', formatSent], ['maximum', formatSent], ['anomaly_count', formatCount], ['last_timestamp', formatInstantShort],
];

const table = { sort: 'device_id', descending: false, search: '', page: 0, size: 25, range: null, asked: true, ids: [], rows: new Map() };
const trends = new Map();

// The table's part of the question.
export function tableQuestion() {
  const { sort, descending, search, page, size, range } = table;
  return { sort, order: descending ? 'descending' : 'ascending', offset: page * size, limit: size, ...(search && { search }),
    ...(range && { within: `${range.statistic},${range.from},${range.to}` }) };
}

export const firstDevice = () => table.ids[0] ?? null;

export function showTable({ devices, matching, overview }, chosen) {
  devices.forEach(keepTrend);
  const body = $('devices').tBodies[0];
  const pages = Math.max(1, Math.ceil(matching / table.size));
  // Rows must not move under a pointer or away from the keyboard, unless the person asked for another order.
  const held = !table.asked && table.sort !== 'device_id' && (body.matches(':hover') || body.contains(document.activeElement));
  const told = new Map(devices.map((statistics) => [statistics.device_id, statistics]));
  table.ids = held ? table.ids : [...told.keys()];
  table.asked = false;
  showRows(body, table.ids, told, chosen);
  const start = Math.min(table.page, pages - 1) * table.size;
  setText($('device-count'), describeDevices(matching, overview.devices));
  setText($('page-range'), matching ? `${formatWhole(start + 1)}–${formatWhole(Math.min(start + table.size, matching))} of ${formatWhole(matching)}` : '');
  $('no-match').hidden = matching > 0 || overview.devices === 0;
  $('range').hidden = table.range === null;
  if (table.range) setText($('range-text'), describeRange(table.range));
  $('page-previous').disabled = table.page === 0;
  $('page-next').disabled = table.page >= pages - 1;
  return table.page > pages - 1;
}

function keepTrend({ device_id: id, count, mean }) {
  const trend = trends.get(id) ?? { count: null, means: [] };
  trends.delete(id); // to stand last
  trends.set(id, trend);
  if (trends.size > TRENDS_MAX) trends.delete(trends.keys().next().value);
  if (mean === null || count === trend.count) return;
  trend.count = count;
  trend.means.push(mean);
  if (trend.means.length > TREND_POINTS) trend.means.shift();
}

function showRows(body, ids, told, chosen) {
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
    setAttribute(row.node, 'aria-current', id === chosen ? 'true' : null);
    if (told.has(id)) showRow(row, told.get(id));
  });
  if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
}

export function markChosen(chosen) {
  for (const [id, row] of table.rows) setAttribute(row.node, 'aria-current', id === chosen ? 'true' : null);
}

function newRow(id) {
  const node = element('tr', { 'data-device': id });
  const heading = element('th', { scope: 'row', title: id });
  heading.append(element('a', { href: `#device=${encodeURIComponent(id)}` }, id));
  const trend = element('td');
  const cells = CELLS.map(([field]) => element('td', { 'data-field': field }));
  node.append(heading, trend, ...cells);
  return { node, trend, cells };
}

function showRow(row, statistics) {
  CELLS.forEach(([field, format], index) => {
    const cell = row.cells[index];
    const value = statistics[field];
    const text = format(value);
    setAttribute(cell, 'data-value', value ?? '');
    if (cell.textContent === text) return;
    // Not the time: it changes with every reading, and says nothing by changing.
    if (cell.textContent !== '' && field !== 'last_timestamp') cell.dataset.flash = cell.dataset.flash === 'a' ? 'b' : 'a';
    cell.textContent = text;
    cell.title = value === null || value === undefined ? 'undefined' : String(value);
    if (field === 'anomaly_count') cell.className = value > 0 ? 'some' : 'none';
  });
  showTrend(row.trend, trends.get(statistics.device_id)?.means ?? []);
}

// Drawn once there is a trend: a picture of nothing costs the page that opens as much as one of something.
function showTrend(cell, means) {
  if (means.length < 2 && !cell.firstChild) return;
  if (!cell.firstChild) {
    const picture = svgElement('svg', { viewBox: '0 0 84 20', 'aria-hidden': 'true' });
    picture.append(svgElement('polyline', { class: 'trend' }));
    cell.append(picture);
  }
  setAttribute(cell.firstChild.firstChild, 'points', trendPoints(means));
}

function trendPoints(means) {
  if (means.length < 2) return '';
  const low = Math.min(...means);
  const span = Math.max(...means) - low;
  const y = (mean) => (span > 0 ? 18 - 16 * ((mean - low) / span) : 10);
  return means.map((mean, index) => `${(84 * index / (means.length - 1)).toFixed(1)},${y(mean).toFixed(1)}`).join(' ');
}

let askAgain;

export function askTable(values) {
  Object.assign(table, values, { asked: true });
  for (const heading of $('devices').querySelectorAll('thead th[data-key]')) {
    const direction = table.descending ? 'descending' : 'ascending';
    setAttribute(heading, 'aria-sort', heading.dataset.key === table.sort ? direction : null);
  }
  askAgain();
}

// `ask` asks the gateway anew.
export function bindTable(ask) {
  askAgain = ask;
  for (const heading of $('devices').querySelectorAll('thead th[data-key]')) {
    heading.querySelector('button').addEventListener('click', () => {
      const { key } = heading.dataset;
      askTable({ sort: key, descending: table.sort === key ? !table.descending : key !== 'device_id', page: 0 });
    });
  }
  let waiting;
  $('search').addEventListener('input', (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => askTable({ search: event.target.value.trim(), page: 0 }), 120);
  });
  $('page-size').addEventListener('change', (event) => askTable({ size: Number(event.target.value), page: 0 }));
  $('page-previous').addEventListener('click', () => askTable({ page: Math.max(0, table.page - 1) }));
  $('page-next').addEventListener('click', () => askTable({ page: table.page + 1 }));
  $('range-clear').addEventListener('click', () => askTable({ range: null, page: 0 }));
  const body = $('devices').tBodies[0];
  body.addEventListener('click', (event) => {
    const row = event.target.closest('tr[data-device]');
    if (!row) return;
    event.preventDefault();
    location.hash = `device=${encodeURIComponent(row.dataset.device)}`;
  });
  body.addEventListener('keydown', (event) => {
    const row = event.target.closest('tr[data-device]');
    const next = { ArrowDown: row?.nextElementSibling, ArrowUp: row?.previousElementSibling }[event.key];
    if (!next) return;
    event.preventDefault();
    next.querySelector('a').focus();
  });
}
