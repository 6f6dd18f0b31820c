// Which part of the numbers a chart shows, and where its axes are marked.

import { formatClock, formatClockExact, formatDayMonth, formatFixed, formatHourMinute, formatMonthYear } from './format.js';


// Tukey's far-out fences, three interquartile ranges beyond the quartiles, so that one wild value does not flatten
// all the others. Where the quartiles coincide (a mostly constant signal) the 2nd and 98th percentiles stand in.
export function fences(sorted) {
  const at = (fraction) => sorted[Math.round(fraction * (sorted.length - 1))];
  let [low, high] = [at(0.25), at(0.75)];
  if (low === high) [low, high] = [at(0.02), at(0.98)];
  const reach = 3 * (high - low);
  return [low - reach, high + reach];
}

export function fencedExtent(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = fences(sorted);
  const kept = sorted.filter((value) => value >= low && value <= high);
  return [kept[0], kept.at(-1)];
}

// A domain that takes in further values only while those that it began with still fill a fair part of it.
function widening([low, high], otherwise) {
  const scale = (high - low) || otherwise || Math.abs(high) / 10 || 1;
  return {
    include(value, widest) {
      const [lower, upper] = [Math.min(low, value), Math.max(high, value)];
      if (upper - lower <= widest * scale) [low, high] = [lower, upper];
    },
    withMargin() {
      const margin = (high - low) * 0.06 || scale * 0.5;
      return [low - margin, high + margin];
    },
  };
}

export function valueDomain(readings, statistics) {
  const domain = widening(fencedExtent(readings.map((reading) => reading.value)), statistics.at(-1)?.standard_deviation);
  for (const { mean, median } of statistics) {
    if (mean !== null) domain.include(mean, 16);
    if (median !== null) domain.include(median, 16);
  }
  for (const { mean, standard_deviation: deviation } of statistics) {
    if (mean === null || deviation === null) continue;
    domain.include(mean - deviation, 5);
    domain.include(mean + deviation, 5);
  }
  return domain.withMargin();
}

// Means with their intervals: wide at first, when there were few readings, and so fenced like readings are.
export function historyDomain(statistics) {
  const means = statistics.filter(({ mean }) => mean !== null);
  const domain = widening(fencedExtent(means.flatMap(({ mean, mean_confidence_95: interval }) => (interval ? [mean, interval.low, interval.high] : [mean]))));
  for (const { median } of means) domain.include(median, 16);
  return domain.withMargin();
}

// A range that still fits is kept, or every new reading would make the whole chart twitch.
export function steadyDomain([low, high], previous) {
  if (!previous) return [low, high];
  const fits = low >= previous[0] && high <= previous[1];
  return fits && high - low > 0.7 * (previous[1] - previous[0]) ? previous : [low, high];
}

export function timeDomain(points) {
  return atLeastAMinute(fencedExtent(points.map((point) => point.at)));
}

// Of points in the order of time.
export const wholeSpan = (points) => atLeastAMinute([points[0].at, points.at(-1).at]);

const atLeastAMinute = ([first, last]) => (first === last ? [first - 30_000, last + 30_000] : [first, last]);

export function valueTicks([low, high], wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.ceil(low / step);
  // Counted, not compared: on 1e17 the next multiple of a tiny step can be the same double.
  const count = Math.min(20, Math.max(0, Math.floor(high / step) - first + 1));
  const widest = Math.max(Math.abs(low), Math.abs(high));
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9) + (step / power === 2.5 ? 1 : 0));
  const significant = Math.max(0, Math.ceil(Math.log10(widest / step)));
  const format = (value) => (widest >= 1e7 || digits > 6 ? value.toExponential(Math.min(6, significant)) : formatFixed(value || 0, digits));
  const ticks = Array.from({ length: count }, (_, index) => ({ value: (first + index) * step, label: format((first + index) * step) }));
  if (significant <= 6) return { ticks, base: null };
  // A narrow range far from zero: the labels say how far each line is from one of them.
  const base = ticks[ticks.length >> 1]?.value ?? low;
  for (const tick of ticks) tick.label = tick.value === base ? '±0' : `${tick.value > base ? '+' : ''}${Number((tick.value - base).toPrecision(3))}`;
  return { ticks, base };
}

export const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
export const TIME_STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE,
  2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY,
  2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 91 * DAY, 182 * DAY, 365 * DAY, 730 * DAY, 1826 * DAY, 3652 * DAY, 36_524 * DAY,
  365_242 * DAY,
];

export function timeTicks([start, end], wanted) {
  const step = TIME_STEPS.find((candidate) => (end - start) / candidate <= wanted) ?? TIME_STEPS.at(-1);
  const format = step < SECOND ? formatClockExact : step < MINUTE ? formatClock : step < DAY ? formatHourMinute : step < 91 * DAY ? formatDayMonth : formatMonthYear;
  const zone = -new Date(start).getTimezoneOffset() * MINUTE; // whole hours and days of the viewer's own clock
  const ticks = [];
  for (let local = Math.ceil((start + zone) / step) * step; local - zone <= end; local += step) {
    const midnight = step < DAY && step >= MINUTE && local % DAY === 0;
    // Summer time may have begun or ended on the way.
    const value = step < HOUR ? local - zone : local + new Date(local - zone).getTimezoneOffset() * MINUTE;
    ticks.push({ value, label: (midnight ? formatDayMonth : format)(value) });
  }
  return ticks;
}
