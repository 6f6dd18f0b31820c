// The chart of one device: its recent readings as points with running mean, band and median, or its history, which is
// the latter without readings; a crosshair for pointer and keyboard.
//
// What is shown has `points`, which the crosshair goes through (readings, or states by their mean), `statistics`,
// `isHistory`, and, of a history, how many states there are in `all`, and how many files are `unreadable`.

import { $, clamp, element, setAttribute, setText, svgElement } from './dom.js';
import { formatClock, formatClockExact, formatCount, formatDate, formatValue, plural } from './format.js';
import { historyDomain, steadyDomain, timeDomain, timeTicks, valueDomain, valueTicks, wholeSpan } from './scale.js';

const chart = { device: null, shown: null, size: null, scale: null, domain: null, focus: null, parts: null };

function chartParts() {
  if (chart.parts) return chart.parts;
  const svg = svgElement('svg', { 'aria-hidden': 'true' });
  const clip = svgElement('clipPath', { id: 'plot' });
  const frame = svgElement('rect');
  clip.append(frame);
  const plot = svgElement('g', { 'clip-path': 'url(#plot)' });
  const parts = { svg, frame, axes: svgElement('g'), marks: svgElement('g', { class: 'marks' }) };
  for (const name of ['anomaly', 'band', 'points', 'interval', 'median', 'mean']) plot.append(parts[name] = svgElement('path', { class: name }));
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

// Between which instants the count of anomalies rose.
function anomalies(statistics) {
  return statistics.slice(1).flatMap((row, index) =>
    (row.anomaly_count > statistics[index].anomaly_count ? [[statistics[index].at, row.at]] : []));
}

export function drawChart(device, shown) {
  const another = device !== chart.device || shown?.isHistory !== chart.shown?.isHistory;
  if (another) Object.assign(chart, { device, domain: null, focus: null });
  chart.shown = shown;
  const { svg } = chartParts();
  svg.toggleAttribute('hidden', !shown);
  if (!shown || !chart.size?.width) {
    chart.focus = null;
    setText($('chart-caption'), '\u00a0');
    showCrosshair();
    return;
  }
  const times = shown.isHistory ? wholeSpan(shown.points) : timeDomain(shown.points);
  const statistics = visibleStatistics(shown.statistics, times);
  const domain = shown.isHistory ? historyDomain(statistics) : valueDomain(shown.points, statistics);
  chart.domain = steadyDomain(domain, chart.domain);
  scaleChart(times);
  drawLines(shown.isHistory ? [] : shown.points, statistics);
  showCaption(shown, times);
  showCrosshair();
}

// Those within the chart's time and the last one before it, from which the line enters at the left.
function visibleStatistics(statistics, [start]) {
  const first = statistics.findIndex((row) => row.at >= start);
  return first < 0 ? statistics.slice(-1) : statistics.slice(Math.max(0, first - 1));
}

function scaleChart(times) {
  const { width, height } = chart.size;
  const { ticks, base } = valueTicks(chart.domain, Math.max(3, height / 50));
  const longest = Math.max(4, ...ticks.map((tick) => tick.label.length));
  const box = { left: longest * 7 + 28, right: width - 12, top: 10, bottom: height - 42 };
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
  label({ class: 'axis-name', x: (left + right) / 2, y: bottom + 37, 'text-anchor': 'middle' }, chart.shown.isHistory ? 'When the statistics were written' : 'Timestamp of the reading');
  const middle = (chart.scale.top + bottom) / 2;
  label({ class: 'axis-name', transform: `translate(11 ${middle}) rotate(-90)`, 'text-anchor': 'middle' }, 'Value, in the device’s own unit');
  axes.replaceChildren(svgElement('path', { class: 'grid', d: lines }), ...labels);
}

function drawLines(readings, statistics) {
  const { x, y, top, bottom, left, right } = chart.scale;
  const { anomaly, band, interval, points, mean, median, meanEnd, beyond } = chart.parts;
  const at = (when, value) => `${x(when).toFixed(1)} ${clamp(y(value), -1e4, 1e4).toFixed(1)}`;
  const line = (field) => statistics.filter((row) => row[field] !== null)
    .map((row, index) => `${index ? 'L' : 'M'}${at(row.at, row[field])}`).join('');
  const spread = chart.shown.isHistory ? [] : statistics.filter((row) => row.mean !== null && row.standard_deviation !== null);
  const edge = (rows, sign) => rows.map((row) => at(row.at, row.mean + sign * row.standard_deviation));
  setAttribute(band, 'd', spread.length > 1 ? `M${[...edge(spread, 1), ...edge(spread.toReversed(), -1)].join('L')}Z` : '');
  const between = statistics.filter((row) => row.mean_confidence_95 !== null);
  const end = (rows, which) => rows.map((row) => at(row.at, row.mean_confidence_95[which]));
  setAttribute(interval, 'd', between.length > 1 ? `M${[...end(between, 'high'), ...end(between.toReversed(), 'low')].join('L')}Z` : '');
  setAttribute(anomaly, 'd', anomalies(statistics).map(([from, to]) => {
    const [start, stop] = [clamp(x(from), left, right), clamp(x(to), left, right)];
    // As wide as the time within which it was counted, and wide enough to be seen.
    const wide = Math.max(6, stop - start);
    return `M${((start + stop - wide) / 2).toFixed(1)} ${top}h${wide.toFixed(1)}V${bottom}h${(-wide).toFixed(1)}Z`;
  }).join(''));
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

const isWithin = (value, low, high) => value >= low - 0.01 && value <= high + 0.01;

function setPlace(circle, x, y) {
  setAttribute(circle, 'cx', x.toFixed(1));
  setAttribute(circle, 'cy', y.toFixed(1));
}

function showCaption({ points, isHistory, all, unreadable }, [start, end]) {
  const beyond = Number(chart.parts.beyond.dataset.count);
  const older = points.filter((point) => point.at < start || point.at > end).length;
  const shown = points.length - older;
  const first = new Date(points.find((point) => point.at >= start).at);
  const last = new Date(Math.max(...points.filter((point) => point.at <= end).map((point) => point.at)));
  const sameDay = first.toDateString() === last.toDateString();
  const until = ` – ${sameDay ? '' : `${formatDate(last)}, `}${formatClock(last)}`;
  const span = `${formatDate(first)}, ${formatClock(first)}${shown === 1 ? '' : until}`;
  const what = isHistory ? `${plural(shown, 'state')}${all > shown ? ` of ${formatCount(all)}` : ''}` : plural(shown, 'reading');
  const notes = [`${what}, ${span}`];
  if (unreadable) notes.push(`${plural(unreadable, 'file')} of the history cannot be read: the log names them`);
  if (chart.scale.base !== null) notes.push(`values as distances from ${chart.scale.base}`);
  if (beyond) notes.push(`${beyond} beyond the range (▲▼)`);
  if (chart.parts.meanEnd.getAttribute('visibility') === 'hidden') notes.push('the mean lies beyond the range');
  if (older) notes.push(`${older} far older not drawn`);
  setText($('chart-caption'), notes.join(' · '));
}

// The crosshair remembers its reading, not its place, and so stays on it while the chart moves on.
function focusedIndex() {
  const points = chart.shown?.points ?? [];
  return chart.focus === null ? -1 : points.findIndex((point) => point.key === chart.focus);
}

function showCrosshair() {
  const index = focusedIndex();
  const tooltip = $('tooltip');
  const { crosshair, crosshairPoint } = chart.parts;
  const point = chart.shown?.points[index];
  const visible = point !== undefined && chart.scale !== null && isWithin(chart.scale.x(point.at), chart.scale.left, chart.scale.right);
  tooltip.hidden = !visible;
  for (const part of [crosshair, crosshairPoint]) setAttribute(part, 'visibility', visible ? 'visible' : 'hidden');
  if (!visible) return;
  const { left, right, top, bottom, x, y } = chart.scale;
  const [place, level] = [x(point.at), clamp(y(point.value), top, bottom)];
  setAttribute(crosshair, 'd', `M${place.toFixed(1)} ${top}V${bottom}`);
  setPlace(crosshairPoint, place, level);
  fillTooltip(tooltip, point);
  const beside = place + 14 + tooltip.offsetWidth <= right + 10 ? place + 14 : place - 14 - tooltip.offsetWidth;
  const lowest = $('chart').clientHeight - tooltip.offsetHeight;
  const [tipX, tipY] = [clamp(beside, Math.min(0, left), $('chart').clientWidth - tooltip.offsetWidth), clamp(level - 40, 0, lowest)];
  tooltip.style.transform = `translate(${Math.round(tipX)}px, ${Math.round(tipY)}px)`;
}

function fillTooltip(tooltip, point) {
  const { isHistory, statistics } = chart.shown;
  const then = isHistory ? point : statistics.findLast((row) => row.at <= point.at);
  const instant = new Date(point.at);
  const rows = [[formatDate(instant), formatClockExact(instant)]];
  if (!isHistory) rows.push(['Reading', String(point.value)]);
  if (then) {
    const interval = then.mean_confidence_95;
    rows.push([isHistory ? 'Mean' : 'Mean then', formatValue(then.mean, 8)]);
    if (interval) rows.push(['95% from', formatValue(interval.low, 8)], ['95% to', formatValue(interval.high, 8)]);
    rows.push(['Std. deviation', formatValue(then.standard_deviation, 8)],
      ['Median', formatValue(then.median, 8)], ['Count', formatCount(then.count)], ['Anomalies', formatCount(then.anomaly_count)]);
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
  if (!chart.shown || !chart.scale) return;
  const { left, right, times } = chart.scale;
  const across = (event.clientX - $('chart').getBoundingClientRect().left - left) / (right - left);
  const wanted = times[0] + across * (times[1] - times[0]);
  const nearest = chart.shown.points.reduce((best, point) =>
    (Math.abs(point.at - wanted) < Math.abs(best.at - wanted) ? point : best));
  chart.focus = nearest.key;
  showCrosshair();
}

function moveCrosshair(event) {
  const points = chart.shown?.points ?? [];
  const last = points.length - 1;
  if (last < 0) return;
  const index = focusedIndex();
  const from = index < 0 ? last + 1 : index;
  const target = { ArrowLeft: from - 1, ArrowRight: from + 1, PageUp: from - 10, PageDown: from + 10, Home: 0, End: last }[event.key];
  if (event.key === 'Escape') chart.focus = null;
  else if (target === undefined) return;
  else chart.focus = points[clamp(target, 0, last)].key;
  event.preventDefault();
  showCrosshair();
}

export function bindChart() {
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
  // The browser tells the size, once it has laid out the page: asking for it would have it do that once more.
  new ResizeObserver(([{ contentRect }]) => {
    chart.size = contentRect;
    drawChart(chart.device, chart.shown);
  }).observe(box);
}
