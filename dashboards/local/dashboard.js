// The dashboard of one machine.
//
// Enters: the state that the page came with, then GET /events, which tells it once a second, and GET /recent of the chosen
// device. Leaves: the DOM of index.html. Can fail: the gateway may be away (the page says so and retries) or the session
// may end (it says so and stops).

import { bindChart } from './chart.js';
import { bindDevice, choose, chosenDevice, deviceQuestion, showChosen } from './device.js';
import { $, setText } from './dom.js';
import { forgetRate, showHealth } from './health.js';
import { bindOverview, showOverview } from './overview.js';
import { bindShell } from './shell.js';
import { StateStream } from './stream.js';
import { askTable, bindTable, firstDevice, markChosen, showTable, tableQuestion } from './table.js';

const stream = new StateStream(() => ({ ...tableQuestion(), ...deviceQuestion() }), told);

function told(state) {
  showHealth(state);
  if (state === null) return;
  const another = showFleet(state);
  if (another) stream.open();
  showChosen(state.chosen, true);
}

// Whether another device is chosen now, which is to be asked for.
function showFleet(state) {
  const empty = state.overview.devices === 0;
  $('empty').hidden = !empty;
  for (const id of ['overview', 'device', 'fleet']) $(id).hidden = empty;
  showOverview(state.overview);
  const beyondTheEnd = showTable(state, chosenDevice());
  if (beyondTheEnd) askTable({ page: 0 });
  const another = !beyondTheEnd && choose(firstDevice());
  markChosen(chosenDevice());
  return another;
}

// What the page came with: the address may name a device of which nothing is known yet.
function showFirst({ state, recent }) {
  showHealth(state);
  showFleet(state);
  const id = chosenDevice();
  showChosen(state.devices.find(({ device_id: other }) => other === id) ?? null, false, recent?.device_id === id ? recent : null);
}

function showDevice() {
  if (choose(firstDevice())) stream.open();
  markChosen(chosenDevice());
  showChosen(null, false);
  $('device').scrollIntoView({ block: 'nearest', behavior: 'smooth' });
}

function fillCommands() {
  const { origin } = location;
  setText($('command-send'), `streamgauge send --endpoint ${origin} --devices 25 --readings 1000`);
  const reading = JSON.stringify({ device_id: 'kitchen', timestamp: new Date().toISOString(), value: 21.5 });
  setText($('command-curl'), `curl ${origin}/data \\\n  -H "x-api-key: $STREAMGAUGE_API_KEY" \\\n  -H "content-type: application/json" \\\n  -d '${reading}'`);
}

function toTable() {
  $('fleet').scrollIntoView({ block: 'start', behavior: 'smooth' });
}

bindShell();
bindChart();
bindDevice();
fillCommands();
bindTable(() => stream.open());
bindOverview((range) => {
  askTable({ range, page: 0 });
  toTable();
}, () => {
  askTable({ sort: 'last_timestamp', descending: false, page: 0 });
  toTable();
});
document.addEventListener('disconnected', forgetRate);
addEventListener('hashchange', showDevice);
choose(null);
const first = JSON.parse($('first-state').textContent);
if (first) showFirst(first);
// What it shows comes first on the screen.
requestAnimationFrame(() => setTimeout(() => stream.open()));
