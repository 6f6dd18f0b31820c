// One dead letter: what is wrong, its payload with that marked, and where it came from.

import { $, element, setText } from './dom.js';
import { formatInstant, formatWhole } from './format.js';
import { getJson } from './gateway.js';
import { chosenLetter } from './letter-filter.js';
import { printable } from './printable.js';
import { REASONS } from './reasons.js';

const shown = { id: null, letter: null, run: 0 };

export const openLetter = () => shown.letter;

export async function readLetter() {
  const run = ++shown.run;
  const id = chosenLetter();
  const letter = id && await getJson(`/dead-letters/letter?id=${encodeURIComponent(id)}`, { absent: null });
  if (run !== shown.run) return;
  const other = id !== shown.id;
  Object.assign(shown, { id, letter });
  showLetter(other);
}

function showLetter(other) {
  const { id, letter } = shown;
  $('letter-absent').hidden = Boolean(letter);
  $('letter-present').hidden = !letter;
  setText($('letter-absent'), id ? 'This letter is not in the queue any more: it was sent again, or deleted.' : 'Choose a letter from the list.');
  document.dispatchEvent(new CustomEvent('letter', { detail: { other } }));
  if (!letter) return;
  setText($('letter-reason'), letter.reason);
  setText($('letter-meaning'), REASONS[letter.reason] ?? '');
  setText($('letter-detail'), printable(letter.detail));
  setText($('letter-where'), letter.readings_by_reason ? 'in several readings of the record' : where(letter.problem));
  showPayload(letter);
  const origin = [letter.stream, letter.shard_id, `sequence number ${letter.sequence_number}`];
  if (letter.sub_sequence_number !== null) origin.push(`record ${letter.sub_sequence_number} of its aggregate`);
  if (letter.index !== null) origin.push(`reading ${letter.index} of its series`);
  const facts = { id: letter.id, device: letter.device_id ?? 'no valid one is named', arrived: formatInstant(letter.arrived_at),
    failed: formatInstant(letter.failed_at), origin: origin.map(printable).join(', '), key: printable(letter.partition_key) };
  for (const [name, value] of Object.entries(facts)) setText($(`letter-${name}`), value);
}

function where(problem) {
  if (!problem) return 'not in the payload';
  const place = `line ${formatWhole(problem.line)}, column ${formatWhole(problem.column)} (byte ${formatWhole(problem.offset)})`;
  return problem.member === null ? place : `${printable(problem.member)}, ${place}`;
}

// The parts are printable already, line feeds included; what is left out is said.
function showPayload({ payload, problem }) {
  const parts = [];
  const hidden = (bytes) => element('span', { class: 'hidden-part' }, `… ${formatWhole(bytes)} bytes …`);
  if (payload.hidden_before) parts.push(hidden(payload.hidden_before));
  parts.push(document.createTextNode(payload.before));
  if (problem) {
    const mark = element('mark', payload.wrong ? {} : { class: 'end' }, payload.wrong || '⟨ends here⟩');
    parts.push(mark);
  }
  parts.push(document.createTextNode(payload.after));
  if (payload.hidden_after) parts.push(hidden(payload.hidden_after));
  $('letter-payload').replaceChildren(...parts);
  setText($('letter-bytes'), `${formatWhole(payload.bytes)} bytes`);
  $('letter-payload').querySelector('mark')?.scrollIntoView?.({ block: 'nearest' });
}
