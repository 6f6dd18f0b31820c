// What every page of the dashboard has: the theme, and whether the pipeline answers.

import { $, element, setAttribute, setText } from './dom.js';
import { formatClock, formatZone } from './format.js';
import { SessionEnded } from './gateway.js';

const POLL_MS = 1000;
export const RETRY_MS_MAX = 5000;

export function showConnection(state) {
  const text = { connecting: 'Connecting', connected: 'Connected', reconnecting: 'Reconnecting', ended: 'Session ended' }[state];
  setAttribute($('connection'), 'data-state', state);
  if (state !== 'connected') document.dispatchEvent(new CustomEvent('disconnected'));
  setText($('connection').querySelector('.state'), text);
  if (state === 'connected') {
    const word = element('span', { class: 'word' }, 'updated ');
    $('connection').querySelector('.updated').replaceChildren(word, formatClock(new Date()));
  }
}

const stored = {
  // Storage may be switched off; the theme then follows the system.
  get theme() { try { return localStorage.getItem('streamgauge-theme'); } catch { return null; } },
  set theme(value) { try { localStorage.setItem('streamgauge-theme', value); } catch { /* not remembered */ } },
};

function showTheme() {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const shown = stored.theme === 'dark' || stored.theme === 'light' ? stored.theme : dark.matches ? 'dark' : 'light';
  setAttribute(document.documentElement, 'data-theme', stored.theme === shown ? shown : null);
  setAttribute(document.documentElement, 'data-shown', shown);
  const toggle = $('theme-toggle');
  if (toggle) setAttribute(toggle, 'aria-label', `Switch to the ${shown === 'dark' ? 'light' : 'dark'} theme`);
}

export function bindTheme() {
  showTheme();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', showTheme);
  addEventListener('storage', showTheme);
  $('theme-toggle')?.addEventListener('click', () => {
    const next = document.documentElement.dataset.shown === 'dark' ? 'light' : 'dark';
    stored.theme = next;
    setAttribute(document.documentElement, 'data-theme', next);
    setAttribute(document.documentElement, 'data-shown', next);
    setAttribute($('theme-toggle'), 'aria-label', `Switch to the ${next === 'dark' ? 'light' : 'dark'} theme`);
  });
}

export const untilVisible = () => new Promise((resolve) => {
  if (!document.hidden) resolve();
  else document.addEventListener('visibilitychange', resolve, { once: true });
});
export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export function endSession() {
  showConnection('ended');
  $('session-ended').hidden = false;
  $('reload').focus();
}

function bindCopies() {
  for (const button of document.querySelectorAll('[data-copies]')) {
    // Only a secure context (loopback or HTTPS) has a clipboard.
    button.hidden = !navigator.clipboard;
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText($(button.dataset.copies).textContent).then(() => setText(button, 'Copied'), () => setText(button, 'Not allowed'));
      setTimeout(() => setText(button, 'Copy'), 1500);
    });
  }
}

// Theme, the copy buttons, the button of an ended session, and whose clock the times are of.
export function bindShell() {
  bindTheme();
  bindCopies();
  $('reload').addEventListener('click', () => location.reload());
  // The name of the zone takes the browser longer than all the rest of the page: it comes when that is on the screen.
  setTimeout(() => setText($('foot'), `Times are those of this browser (${formatZone()}).`), 500);
}

// Calls `read` once a second while somebody looks, and says how it goes.
export async function keepReading(read) {
  for (let failures = 0; ;) {
    await untilVisible(); // a page that nobody looks at asks for nothing
    const started = performance.now();
    try {
      await read();
      failures = 0;
      showConnection('connected');
    } catch (error) {
      if (error instanceof SessionEnded) {
        endSession();
        return;
      }
      failures += 1;
      showConnection('reconnecting');
    }
    const pause = Math.min(RETRY_MS_MAX, POLL_MS * 2 ** Math.max(0, failures - 1));
    await sleep(Math.max(100, pause - (performance.now() - started)));
  }
}
