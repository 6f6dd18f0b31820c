// The fleet as a whole: how much there is, how fresh it is, how it is distributed, what stands out.

import { BarChart } from './bars.js';
import { $, element, setAttribute, setText } from './dom.js';
import { formatAge, formatCount, formatInstant, formatSent, formatShare, formatWhole, plural } from './format.js';

const AGE_LABELS = { 10: '10 s', 60: '1 min', 600: '10 min', 3600: '1 h', 86_400: '1 day' };
const STATISTICS = { mean: 'Mean', standard_deviation: 'Standard deviation' };

let charts;

// `pick(range)` narrows the table to the devices of a bar.
export function bindOverview(pick, sortBySilence) {
  const distribution = (id, statistic) =>
    new BarChart($(id), { onPick: ({ from, to, value }) => pick({ statistic, from: value?.from ?? from, to: value?.to ?? to }) });
  charts = {
    freshness: new BarChart($('freshness'), { onPick: sortBySilence }),
    means: distribution('means', 'mean'),
    deviations: distribution('deviations', 'standard_deviation'),
  };
}

export function showOverview(overview) {
  const { devices, readings, anomalies, devices_with_anomalies: anomalous, newest_update: newest } = overview;
  const figure = (id, text, exact, note) => {
    setText($(id).querySelector('.value'), text);
    setAttribute($(id).querySelector('.value'), 'data-value', exact ?? '');
    setText($(id).querySelector('.note'), note);
  };
  figure('figure-devices', formatCount(devices), devices, `${plural(fresh(overview), 'device')} written in the last minute`);
  figure('figure-readings', formatCount(readings), readings, devices ? `${formatCount(Math.round(readings / devices))} a device` : '');
  figure('figure-anomalies', formatCount(anomalies), anomalies, anomalies ? `in ${plural(anomalous, 'device')}, ${formatShare(anomalies, readings)} of readings` : 'no reading stands out');
  figure('figure-newest', newest ? formatAge(newest) : '–', newest, newest ? `last written ${formatInstant(newest)}` : '');
  charts.freshness.draw(freshnessModel(overview.freshness, devices));
  charts.means.draw(distributionModel(overview.means, 'mean'));
  charts.deviations.draw(distributionModel(overview.standard_deviations, 'standard_deviation'));
  setText($('means-note'), distributionNote(overview.means));
  setText($('deviations-note'), distributionNote(overview.standard_deviations));
  showList('most-anomalous', overview.most_anomalous, ({ anomaly_count: count, count: of }) => `${formatCount(count)} of ${formatCount(of)}`);
  showList('longest-silent', overview.longest_silent, ({ updated_at: at }) => formatAge(at));
  $('no-anomalies').hidden = overview.most_anomalous.length > 0;
}

const fresh = ({ freshness }) => freshness.filter(({ under_seconds: under }) => under !== null && under <= 60)
  .reduce((sum, age) => sum + age.devices, 0);

function freshnessModel(ages, devices) {
  const name = (index) => {
    const under = AGE_LABELS[ages[index].under_seconds];
    return under ? `under ${under}` : `${AGE_LABELS[ages[index - 1].under_seconds]} or more`;
  };
  const bars = ages.map((age, index) => ({
    from: index, to: index + 1, segments: [{ key: index < 2 ? 'fresh' : index < 4 ? 'ageing' : 'silent', value: age.devices }],
    rows: [[name(index), ''], ['Devices', formatCount(age.devices)], ['Share', formatShare(age.devices, devices)]],
  }));
  const short = (index) => (index < ages.length - 1 ? `<${AGE_LABELS[ages[index].under_seconds]}` : 'older');
  const ticks = () => ages.map((_, index) => ({ value: index + 0.5, label: short(index) }));
  return { bars: devices ? bars : [], domain: [0, ages.length], ticks, unit: 'Time since the device was last counted', count: 'Devices', padding: 0.12 };
}

function distributionModel(distribution, statistic) {
  const unit = `${STATISTICS[statistic]} of a device${distribution?.logarithmic ? ', powers of ten' : ''}`;
  if (!distribution) return { bars: [], message: statistic === 'mean' ? 'No readings yet.' : 'No device has two readings yet.', unit, count: 'Devices' };
  const { edges, bars, logarithmic } = distribution;
  const place = logarithmic ? Math.log10 : Number;
  const alone = edges[0] === edges.at(-1);
  const domain = alone ? [edges[0] - 0.5, edges[0] + 0.5] : [place(edges[0]), place(edges.at(-1))];
  const shown = bars.map((devices, index) => ({
    from: alone ? edges[0] - 0.1 : place(edges[index]), to: alone ? edges[0] + 0.1 : place(edges[index + 1]), value: { from: edges[index], to: edges[index + 1] },
    segments: [{ key: statistic, value: devices }],
    rows: [[alone ? formatSent(edges[0], 6) : `${formatSent(edges[index], 4)} – ${formatSent(edges[index + 1], 4)}`, ''], ['Devices', formatCount(devices)]],
  }));
  const ticks = alone ? () => [{ value: edges[0], label: formatSent(edges[0], 4) }] : (wanted) => numberTicks(domain, wanted, logarithmic);
  return { bars: shown, domain, ticks, unit, count: 'Devices' };
}

function numberTicks([low, high], wanted, logarithmic) {
  if (logarithmic) {
    const first = Math.ceil(low);
    const every = Math.max(1, Math.ceil((Math.floor(high) - first + 1) / wanted));
    return Array.from({ length: Math.max(0, Math.floor((Math.floor(high) - first) / every) + 1) }, (_, index) => {
      const exponent = first + index * every;
      return { value: exponent, label: exponent >= -3 && exponent <= 4 ? String(Number((10 ** exponent).toPrecision(1))) : `1e${exponent}` };
    });
  }
  const rough = (high - low) / Math.min(wanted, 8);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const count = Math.min(20, Math.floor(high / step) - Math.ceil(low / step) + 1);
  return Array.from({ length: Math.max(0, count) }, (_, index) => {
    const value = (Math.ceil(low / step) + index) * step;
    return { value, label: formatSent(Number(value.toPrecision(12)), 6) };
  });
}

function distributionNote(distribution) {
  const notes = [];
  if (distribution?.below) notes.push(`${plural(distribution.below, 'device')} ${distribution.logarithmic ? 'at or below zero' : 'far below'}`);
  if (distribution?.above) notes.push(`${plural(distribution.above, 'device')} far above`);
  return notes.length ? `Not drawn: ${notes.join(', ')}` : '';
}

function showList(id, devices, describe) {
  const list = $(id);
  const rows = devices.map((device) => [device.device_id, describe(device)]);
  const key = JSON.stringify(rows);
  if (list.dataset.key === key || list.contains(document.activeElement)) return;
  list.dataset.key = key;
  list.replaceChildren(...rows.map(([device, text]) => {
    const item = element('li');
    item.append(element('a', { href: `#device=${encodeURIComponent(device)}`, title: device }, device), element('span', { class: 'quiet' }, text));
    return item;
  }));
}

export const describeRange = ({ statistic, from, to }) =>
  `${STATISTICS[statistic]} from ${formatSent(from, 4)} to ${formatSent(to, 4)}`;

export const describeDevices = (matching, all) => (matching === all ? formatWhole(all) : `${formatWhole(matching)} of ${formatWhole(all)}`);
