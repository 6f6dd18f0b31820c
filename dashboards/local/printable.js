// Text from elsewhere, made fit for the page. Elements take text as text, so that no markup gets in; this is for what
// even text can do: hide, turn the line round, pretend to be a line of ours. The same as `printable` of
// consumers/redrive: each such character stands as JSON escapes it.

const UNSAFE = new RegExp('[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Noncharacter_Code_Point}\\u034f\\u115f\\u1160\\u17b4\\u17b5'
  + '\\u180b-\\u180f\\u2065\\u2800\\u3164\\ufe00-\\ufe0f\\uffa0\\ufff0-\\ufff8\\u{e0000}-\\u{e0fff}]', 'gu');

export function printable(text) {
  return String(text).replace(UNSAFE, (character) =>
    Array.from({ length: character.length }, (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`).join(''));
}
