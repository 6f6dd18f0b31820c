// The page of dead letters.
//
// Enters: GET /dead-letters/summary once a second; the list and the open letter whenever that changes. Leaves: the DOM of
// dead-letters.html; POST /dead-letters/preview, and with a key that somebody types, /dead-letters/redrive.

import { BarChart } from './bars.js';
import { $, element, setText } from './dom.js';
import { formatInstant, formatSpan, formatWhole, plural } from './format.js';
import { getJson } from './gateway.js';
import { bindFilter, setFilter, showFilter } from './letter-filter.js';
import { bindLetters, markChosen, readLetters, showTotal } from './letter-list.js';
import { readLetter } from './letter.js';
import { REASONS } from './reasons.js';
import { bindRedrive } from './redrive.js';
import { timeTicks } from './scale.js';
import { bindShell, keepReading } from './shell.js';

const seen = { key: null };
let timeline;

// The gateway counts the letters once a second at most, and less often where there are very many. The list is read
// again when their number has changed.
async function readPage() {
  const summary = await getJson('/dead-letters/summary');
  showSummary(summary);
  const key = JSON.stringify([summary.letters, summary.reasons]);
  if (key === seen.key) return;
  await Promise.all([readLetters({ keep: true }), readLetter()]);
  seen.key = key;
}

function showSummary(summary) {
  showTotal(summary.letters);
  $('none').hidden = summary.letters > 0;
  const { under_1_hour: hour, under_1_day: day, under_7_days: week, from_7_days: older } = summary.ages;
  const ages = [[hour, 'in the last hour'], [day, 'in the last day'], [week, 'in the last 7 days'], [older, 'longer ago']];
  setText($('ages'), summary.letters ? ages.filter(([count]) => count).map(([count, when]) => `${formatWhole(count)} ${when}`).join(' · ') : '');
  showReasons(summary);
  showDevices(summary);
  timeline.draw(bars(summary.timeline, summary.letters));
}

function showReasons({ reasons }) {
  const rows = Object.entries(reasons).sort(([a, of], [b, than]) => than.letters - of.letters || (a < b ? -1 : 1));
  $('reasons').replaceChildren(...rows.map(([code, { letters, newest }]) => {
    const item = element('li');
    const button = element('button', { type: 'button', 'data-reason': code, title: `Newest: ${formatInstant(newest)}` });
    button.append(element('span', { class: `swatch fill-${code}`, 'aria-hidden': 'true' }), element('code', {}, code),
      element('b', {}, formatWhole(letters)), element('span', { class: 'quiet' }, REASONS[code] ?? ''));
    button.addEventListener('click', () => filterBy({ reason: code }));
    item.append(button);
    return item;
  }));
}

function showDevices({ devices, device_count: count, without_device: without }) {
  $('letter-devices').replaceChildren(...devices.slice(0, 8).map(({ device_id: device, letters }) => {
    const item = element('li');
    const button = element('button', { type: 'button', 'data-device': device });
    button.append(element('span', { class: 'name' }, device), element('b', {}, formatWhole(letters)));
    button.addEventListener('click', () => filterBy({ device }));
    item.append(button);
    return item;
  }));
  const notes = [];
  if (count > 8) notes.push(`and ${plural(count - 8, 'other device')}`);
  if (without) notes.push(`${formatWhole(without)} name no valid device`);
  setText($('letter-devices-rest'), notes.join(' · '));
}

function bars({ start, bar_seconds: seconds, reasons }, letters) {
  if (start === null) return { bars: [], message: 'The queue is empty.' };
  const [first, width] = [Date.parse(start), seconds * 1000];
  const codes = Object.keys(reasons).sort();
  const count = reasons[codes[0]].length;
  const shown = Array.from({ length: count }, (_, index) => {
    const [from, to] = [first + index * width, first + (index + 1) * width];
    const segments = codes.map((key) => ({ key, value: reasons[key][index] }));
    const named = segments.filter(({ value }) => value).map(({ key, value }) => [key, formatWhole(value)]);
    return { from, to, segments, rows: [[formatInstant(from), ''], ...(named.length ? named : [['none', '']])] };
  });
  return {
    bars: shown, domain: [first, first + count * width], count: 'Dead letters', unit: `Given up, ${formatSpan(seconds)} a bar`,
    ticks: (wanted) => timeTicks([first, first + count * width], wanted), letters,
  };
}

function filterBy(change) {
  setFilter(change);
  filterChanged();
  $('letters-title').scrollIntoView({ block: 'nearest', behavior: 'smooth' });
}

let redriveChanged;

function filterChanged() {
  redriveChanged();
  readLetters().catch(() => {}); // the next poll says what is wrong
  readLetter().catch(() => {});
}

function start() {
  bindShell();
  const select = $('filter-reason');
  select.append(...Object.keys(REASONS).map((code) => element('option', { value: code }, code)));
  timeline = new BarChart($('timeline'));
  showFilter();
  redriveChanged = bindRedrive();
  bindFilter(filterChanged);
  bindLetters(() => {
    readLetter().then(() => {
      markChosen();
      $('letter').scrollIntoView({ block: 'nearest', behavior: 'smooth' });
    }, () => {});
  });
  document.addEventListener('redriven', () => { seen.key = null; });
  keepReading(readPage);
}

start();
