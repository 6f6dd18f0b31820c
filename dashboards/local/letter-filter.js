// Which dead letters are meant: by the controls above the list, and in the address, so that a view can be passed on.

import { $ } from './dom.js';

const FIELDS = ['text', 'reason', 'device', 'since'];
const SINCE_SECONDS = { '1h': 3600, '24h': 86_400, '7d': 604_800 };

const inAddress = () => new URLSearchParams(location.hash.slice(1));

export const chosenLetter = () => inAddress().get('letter');

export function chooseLetter(id) {
  write({ ...readFilter(), letter: id });
}

function readFilter() {
  return Object.fromEntries(FIELDS.map((name) => [name, $(`filter-${name}`).value.trim()]));
}

function write(values) {
  const entries = Object.entries(values).filter(([, value]) => value);
  history.replaceState(null, '', `#${new URLSearchParams(entries)}`);
}

// Puts the address's filter into the controls; what is not one of their values is left out.
export function showFilter() {
  const address = inAddress();
  for (const name of FIELDS) $(`filter-${name}`).value = address.get(name) ?? '';
}

export function setFilter(change) {
  for (const [name, value] of Object.entries(change)) $(`filter-${name}`).value = value;
  write({ ...readFilter(), letter: chosenLetter() });
}

export function bindFilter(changed) {
  let waiting;
  const apply = () => {
    write({ ...readFilter(), letter: chosenLetter() });
    changed();
  };
  for (const name of FIELDS) {
    // What is typed is looked for once the typing pauses.
    $(`filter-${name}`).addEventListener('input', () => {
      clearTimeout(waiting);
      waiting = setTimeout(apply, 200);
    });
  }
  $('filter').addEventListener('submit', (event) => event.preventDefault());
  $('filter-clear').addEventListener('click', () => {
    setFilter({ text: '', reason: '', device: '', since: '' });
    changed();
  });
  addEventListener('hashchange', () => {
    showFilter();
    changed();
  });
}

// As the gateway's parameters, and as the members of a selection: the names are the same.
export function filterMembers() {
  const { text, reason, device, since } = readFilter();
  const members = {};
  if (text) members.text = text;
  if (reason) members.reason = reason;
  if (device) members.device_id = device;
  if (since) members.since = new Date(Date.now() - SINCE_SECONDS[since] * 1000).toISOString();
  return members;
}

// As the flags of `streamgauge dlq redrive`.
export function filterFlags() {
  const { text, reason, device, since } = readFilter();
  return [['--reason', reason], ['--device', device], ['--since', since], ['--text', text]].filter(([, value]) => value).flat();
}
