// What the gateway is asked. Its answers are JSON; a session that has ended is an error of its own.

const REQUEST_MS_MAX = 10_000;

export class SessionEnded extends Error {}

// What the gateway refuses, in its own words.
export class Refused extends Error {}

async function ask(path, options) {
  const response = await fetch(path, {
    credentials: 'same-origin', cache: 'no-store', redirect: 'error', signal: AbortSignal.timeout(REQUEST_MS_MAX), ...options,
  });
  if (response.ok) return response.json();
  const message = await response.json().then((body) => body.message, () => null);
  const error = new Refused(message ?? `${path} answered ${response.status}`);
  error.status = response.status;
  throw error;
}

export async function getJson(path, { absent } = {}) {
  try {
    return await ask(path, { headers: { accept: 'application/json' } });
  } catch (error) {
    if (error.status === 401 || error.status === 403) throw new SessionEnded();
    if (error.status === 404 && absent !== undefined) return absent;
    throw error;
  }
}

// Posts with the session, or with a key that was typed for this very call: no key is kept anywhere.
export function postJson(path, body, key) {
  const headers = { accept: 'application/json', 'content-type': 'application/json' };
  if (key !== undefined) headers['x-api-key'] = key;
  return ask(path, { method: 'POST', headers, body: JSON.stringify(body), signal: AbortSignal.timeout(60_000) });
}
