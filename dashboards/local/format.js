// Numbers, times and spans for people.

export const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
export const fixed = Array.from({ length: 13 }, (_, digits) =>
  new Intl.NumberFormat('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits }));
export const dayMonth = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
export const monthYear = new Intl.DateTimeFormat('en-GB', { month: 'short', year: 'numeric' });
export const date = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
export const hourMinute = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
export const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
export const clockExact = new Intl.DateTimeFormat('en-GB',
  { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 });

export const UNDEFINED = '–';

export function formatCount(count) {
  return count === null || count === undefined ? UNDEFINED : whole.format(count);
}

// `digits` significant digits, trailing zeros kept so that a live number keeps its width. For what was computed.
export function formatValue(value, digits = 5) {
  if (value === null || value === undefined) return UNDEFINED;
  if (value === 0) return '0';
  const magnitude = Math.floor(Math.log10(Math.abs(value)));
  if (magnitude >= 9 || magnitude < -4) return value.toExponential(digits - 1);
  if (Number.isInteger(value)) return whole.format(value);
  return fixed[Math.min(12, Math.max(0, digits - 1 - magnitude))].format(value);
}

// For what was sent, or stands between two that were: no zeros that the device did not send.
export function formatSent(value, digits = 5) {
  const magnitude = Math.abs(value ?? 0);
  if (magnitude === 0) return formatValue(value);
  if (magnitude >= 1e9 || magnitude < 1e-4) return String(Number(value.toPrecision(digits)));
  return new Intl.NumberFormat('en-US', { maximumSignificantDigits: digits }).format(value);
}

export function formatInstant(timestamp) {
  const instant = new Date(timestamp);
  return Number.isNaN(instant.getTime()) ? UNDEFINED : `${date.format(instant)}, ${clock.format(instant)}`;
}

export function formatInstantShort(timestamp) {
  const instant = new Date(timestamp);
  if (Number.isNaN(instant.getTime())) return UNDEFINED;
  const sameDay = instant.toDateString() === new Date().toDateString();
  return sameDay ? clock.format(instant) : `${instant.toLocaleDateString('sv-SE')} ${hourMinute.format(instant)}`;
}

export function formatSeconds(seconds) {
  if (seconds === null || seconds === undefined) return UNDEFINED;
  if (seconds < 10) return `${fixed[1].format(seconds)} s`;
  if (seconds < 120) return `${whole.format(seconds)} s`;
  if (seconds < 7200) return `${whole.format(seconds / 60)} min`;
  return seconds < 172_800 ? `${whole.format(seconds / 3600)} h` : `${whole.format(seconds / 86_400)} days`;
}

export const plural = (count, noun) => `${whole.format(count)} ${noun}${count === 1 ? '' : 's'}`;

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
