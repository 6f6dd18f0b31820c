// Numbers, times and spans for people.

// Written out, where `Intl` would do: the browser takes longer to make its first format than to show the whole page.

// Digits in threes.
function grouped(digits) {
  const [, sign, whole, rest] = /^(-?)(\d*)(.*)$/.exec(digits);
  return sign + whole.replace(/\B(?=(\d{3})+$)/g, ',') + rest;
}

// With exactly so many digits after the point; from 1e21 on, with an exponent.
export const formatFixed = (value, digits) => grouped(value.toFixed(digits));
export const formatWhole = (value) => formatFixed(value, 0);

// Times of the browser's own clock; `at` is a `Date`, or milliseconds since 1970.
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const padded = (number, digits = 2) => String(number).padStart(digits, '0');

function timed(write) {
  return (at) => write(new Date(at));
}
export const formatDayMonth = timed((at) => `${at.getDate()} ${MONTHS[at.getMonth()]}`);
export const formatMonthYear = timed((at) => `${MONTHS[at.getMonth()]} ${at.getFullYear()}`);
export const formatDate = timed((at) => `${formatDayMonth(at)} ${at.getFullYear()}`);
const formatIsoDate = timed((at) => `${padded(at.getFullYear(), 4)}-${padded(at.getMonth() + 1)}-${padded(at.getDate())}`);
export const formatHourMinute = timed((at) => `${padded(at.getHours())}:${padded(at.getMinutes())}`);
export const formatClock = timed((at) => `${formatHourMinute(at)}:${padded(at.getSeconds())}`);
export const formatClockExact = timed((at) => `${formatClock(at)}.${padded(at.getMilliseconds(), 3)}`);

export const UNDEFINED = '–';

export function formatCount(count) {
  return count === null || count === undefined ? UNDEFINED : formatWhole(count);
}

// `digits` significant digits, trailing zeros kept so that a live number keeps its width. For what was computed.
export function formatValue(value, digits = 5) {
  if (value === null || value === undefined) return UNDEFINED;
  if (value === 0) return '0';
  const magnitude = Math.floor(Math.log10(Math.abs(value)));
  if (magnitude >= 9 || magnitude < -4) return value.toExponential(digits - 1);
  if (Number.isInteger(value)) return formatWhole(value);
  return formatFixed(value, Math.min(12, Math.max(0, digits - 1 - magnitude)));
}

// For what was sent, or stands between two that were: no zeros that the device did not send.
export function formatSent(value, digits = 5) {
  const magnitude = Math.abs(value ?? 0);
  if (magnitude === 0) return formatValue(value);
  if (magnitude >= 1e9 || magnitude < 1e-4) return String(Number(value.toPrecision(digits)));
  return grouped(String(Number(value.toPrecision(digits))));
}

export function formatInstant(timestamp) {
  const instant = new Date(timestamp);
  return Number.isNaN(instant.getTime()) ? UNDEFINED : `${formatDate(instant)}, ${formatClock(instant)}`;
}

export function formatInstantShort(timestamp) {
  const instant = new Date(timestamp);
  if (Number.isNaN(instant.getTime())) return UNDEFINED;
  const sameDay = instant.toDateString() === new Date().toDateString();
  return sameDay ? formatClock(instant) : `${formatIsoDate(instant)} ${formatHourMinute(instant)}`;
}

export function formatSeconds(seconds) {
  if (seconds === null || seconds === undefined) return UNDEFINED;
  if (seconds < 10) return `${formatFixed(seconds, 1)} s`;
  if (seconds < 120) return `${formatWhole(seconds)} s`;
  if (seconds < 7200) return `${formatWhole(seconds / 60)} min`;
  return seconds < 172_800 ? `${formatWhole(seconds / 3600)} h` : `${formatWhole(seconds / 86_400)} days`;
}

export const plural = (count, noun) => `${formatWhole(count)} ${noun}${count === 1 ? '' : 's'}`;

// A whole span, such as the width of a bar.
export function formatSpan(seconds) {
  for (const [unit, name] of [[604_800, 'week'], [86_400, 'day'], [3600, 'hour'], [60, 'minute']]) {
    if (seconds % unit === 0) return plural(seconds / unit, name);
  }
  return plural(seconds, 'second');
}

export const formatZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

export function formatShare(part, of) {
  if (!of) return UNDEFINED;
  const percent = 100 * part / of;
  return percent > 0 && percent < 0.01 ? 'under 0.01%' : `${Number(percent.toPrecision(percent < 1 ? 2 : 3))}%`;
}

// How long ago; what lies ahead of this clock is now.
export function formatAge(timestamp) {
  const seconds = Math.max(0, (Date.now() - Date.parse(timestamp)) / 1000);
  if (Number.isNaN(seconds)) return UNDEFINED;
  return seconds < 2 ? 'just now' : `${formatSeconds(Math.floor(seconds)).replace('.0', '')} ago`;
}
