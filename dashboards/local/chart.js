// The chart of one device's recent readings: points, running mean, band, median; a crosshair for pointer and keyboard.

import { $, clamp, element, setAttribute, setText, svgElement } from './dom.js';
import { formatClock, formatClockExact, formatCount, formatDate, formatValue } from './format.js';
import { steadyDomain, timeDomain, timeTicks, valueDomain, valueTicks } from './scale.js';

const chart = { device: null, recent: null, size: null, scale: null, domain: null, focus: null, parts: null };

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

export function drawChart(device, recent) {
  if (device !== chart.device) Object.assign(chart, { device, domain: null, focus: null });
  chart.recent = recent;
  const { svg } = chartParts();
  svg.toggleAttribute('hidden', !recent);
  if (!recent || !chart.size?.width) {
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
  label({ class: 'axis-name', x: (left + right) / 2, y: bottom + 37, 'text-anchor': 'middle' }, 'Timestamp of the reading');
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
  const spread = statistics.filter((row) => row.mean !== null && row.standard_deviation !== null);
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

function showCaption(readings, [start, end]) {
  const beyond = Number(chart.parts.beyond.dataset.count);
  const older = readings.filter((reading) => reading.at < start || reading.at > end).length;
  const shown = readings.length - older;
  const first = new Date(readings.find((reading) => reading.at >= start).at);
  const last = new Date(Math.max(...readings.filter((reading) => reading.at <= end).map((reading) => reading.at)));
  const sameDay = first.toDateString() === last.toDateString();
  const until = ` – ${sameDay ? '' : `${formatDate(last)}, `}${formatClock(last)}`;
  const span = `${formatDate(first)}, ${formatClock(first)}${shown === 1 ? '' : until}`;
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
  const visible = reading !== undefined && chart.scale !== null && isWithin(chart.scale.x(reading.at), chart.scale.left, chart.scale.right);
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
  const rows = [[formatDate(instant), formatClockExact(instant)], ['Reading', String(reading.value)]];
  if (then) {
    const interval = then.mean_confidence_95;
    rows.push(['Mean then', formatValue(then.mean, 8)]);
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
    drawChart(chart.device, chart.recent);
  }).observe(box);
}
