// The state of the fleet, told by the gateway as server-sent events: one when the page connects, then one a second.
//
// What the page shows (which rows, in which order, which device) is part of the question, so that a page with 10,000
// devices is told what it shows and no more. Another question is another connection.

import { SessionEnded, getJson } from './gateway.js';
import { RETRY_MS_MAX, endSession, showConnection, sleep, untilVisible } from './shell.js';

// The gateway says something every second; silence this long is a connection that is dead.
const SILENCE_MS_MAX = 10_000;

export class StateStream {
  constructor(question, told) {
    Object.assign(this, { question, told, source: null, failures: 0, heard: 0, run: 0 });
    document.addEventListener('visibilitychange', () => {
      // A page that nobody looks at asks for nothing.
      if (document.hidden) this.close();
      else this.open();
    });
    setInterval(() => {
      if (this.source && performance.now() - this.heard > SILENCE_MS_MAX) this.failed();
    }, 1000);
  }

  open() {
    this.close();
    if (document.hidden) return;
    const run = this.run;
    this.heard = performance.now();
    this.source = new EventSource(`/events?${new URLSearchParams(this.question())}`);
    const listen = (name, hear) => this.source.addEventListener(name, (event) => {
      if (run !== this.run) return;
      this.heard = performance.now();
      this.failures = 0;
      hear(event);
      showConnection('connected');
    });
    listen('state', ({ data }) => this.told(JSON.parse(data)));
    listen('same', () => this.told(null));
    this.source.onerror = () => run === this.run && this.failed();
  }

  close() {
    this.run += 1;
    this.source?.close();
    this.source = null;
  }

  // An event source does not say why it failed: the same question asked once does.
  async failed() {
    this.close();
    const run = this.run;
    this.failures += 1;
    showConnection('reconnecting');
    await sleep(Math.min(RETRY_MS_MAX, this.failures > 1 ? 500 * 2 ** this.failures : 0));
    await untilVisible();
    if (run !== this.run) return;
    try {
      await getJson('/fleet?limit=1');
    } catch (error) {
      if (run !== this.run) return;
      if (error instanceof SessionEnded) endSession();
      else this.failed();
      return;
    }
    if (run === this.run) this.open();
  }
}
