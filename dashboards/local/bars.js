// A bar chart with two axes, a tooltip and arrow keys: of time or of numbers, plain or stacked.

import { clamp, element, setAttribute, setText, svgElement } from './dom.js';
import { formatWhole } from './format.js';

const MARGIN = { top: 12, right: 10, bottom: 42 };

// The model: `bars` of { from, to, segments: [{ key, value }], rows: [[name, text]] }, in order; `domain` of the x axis;
// `ticks(count)` of it as { value, label }; `unit` of the x axis; `count`, what the y axis counts.
export class BarChart {
  constructor(box, { onPick } = {}) {
    Object.assign(this, { box, onPick, model: null, size: null, focus: -1 });
    this.svg = svgElement('svg', { 'aria-hidden': 'true' });
    [this.axes, this.marks, this.labels] = ['axes', 'bars', 'axis-names'].map((name) => svgElement('g', { class: name }));
    this.svg.append(this.axes, this.marks, this.labels);
    this.tooltip = element('div', { class: 'tooltip', role: 'status', hidden: '' });
    this.message = element('p', { class: 'chart-message', hidden: '' });
    box.append(this.svg, this.tooltip, this.message);
    this.bind();
  }

  bind() {
    const { box } = this;
    const point = (event) => this.focusOn(this.barAt(event.clientX - box.getBoundingClientRect().left));
    box.addEventListener('pointermove', point);
    box.addEventListener('pointerdown', point);
    for (const name of ['pointerleave', 'blur']) box.addEventListener(name, () => this.focusOn(-1));
    box.addEventListener('keydown', (event) => this.key(event));
    box.addEventListener('click', () => this.pick());
    // The browser tells the size, once it has laid out the page: asking for it would have it do that for each chart.
    new ResizeObserver(([{ contentRect }]) => {
      this.size = contentRect;
      this.layOut();
    }).observe(box);
  }

  draw(model) {
    const key = JSON.stringify([model?.bars, model?.message]);
    if (key === this.key_) return;
    this.key_ = key;
    this.model = model;
    this.layOut();
  }

  layOut() {
    const { model, size, message } = this;
    message.hidden = Boolean(model?.bars.length);
    setText(message, model?.message ?? '');
    this.svg.toggleAttribute('hidden', !model?.bars.length);
    if (!model?.bars.length || !size?.width) {
      this.focusOn(-1);
      return;
    }
    const { width, height } = size;
    const total = (bar) => bar.segments.reduce((sum, segment) => sum + segment.value, 0);
    const highest = Math.max(1, ...model.bars.map(total));
    const step = niceStep(highest / 4);
    const top = Math.ceil(highest / step) * step;
    const longest = Math.max(...Array.from({ length: Math.round(top / step) + 1 }, (_, index) => compact(index * step).length));
    const area = { left: 32 + longest * 6.6, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
    const [low, high] = model.domain;
    this.x = (value) => area.left + (area.right - area.left) * ((value - low) / (high - low || 1));
    this.y = (value) => area.bottom - (area.bottom - area.top) * (value / top);
    this.area = area;
    setAttribute(this.svg, 'viewBox', `0 0 ${width} ${height}`);
    this.drawAxes(top, step);
    this.drawBars();
    this.focusOn(this.focus);
  }

  drawAxes(top, step) {
    const { area, model, x, y } = this;
    const nodes = [];
    const text = (attributes, label) => {
      const node = svgElement('text', attributes);
      node.textContent = label;
      nodes.push(node);
    };
    let lines = `M${area.left} ${area.bottom}H${area.right}`;
    for (let value = 0; value <= top + step / 2; value += step) {
      const level = y(value).toFixed(1);
      lines += `M${area.left} ${level}H${area.right}`;
      text({ x: area.left - 7, y: level, dy: '0.35em', 'text-anchor': 'end' }, compact(value));
    }
    let free = -Infinity;
    for (const { value, label } of model.ticks(Math.max(2, (area.right - area.left) / 84))) {
      const place = x(value);
      const half = label.length * 3.4;
      lines += `M${place.toFixed(1)} ${area.bottom}v4`;
      if (place - half < free || place + half > area.right + MARGIN.right || place - half < 0) continue;
      text({ x: place.toFixed(1), y: area.bottom + 17, 'text-anchor': 'middle' }, label);
      free = place + half + 10;
    }
    text({ class: 'axis-name', x: (area.left + area.right) / 2, y: area.bottom + 35, 'text-anchor': 'middle' }, model.unit);
    text({ class: 'axis-name', transform: `translate(11 ${(area.top + area.bottom) / 2}) rotate(-90)`, 'text-anchor': 'middle' }, model.count);
    this.axes.replaceChildren(svgElement('path', { class: 'grid', d: lines }), ...nodes);
  }

  drawBars() {
    const { model, x, y } = this;
    this.marks.replaceChildren(...model.bars.map((bar) => {
      const node = svgElement('g', { class: 'bar', 'data-count': bar.segments.reduce((sum, { value }) => sum + value, 0) });
      const [from, to] = [x(bar.from), x(bar.to)];
      const gap = model.padding ? (to - from) * model.padding : to - from > 6 ? 1 : 0;
      let below = 0;
      for (const { key, value } of bar.segments) {
        if (!value) continue;
        const [lower, upper] = [y(below), y(below + value)];
        // A single one of many is seen too.
        const height = Math.max(1.5, lower - upper);
        node.append(svgElement('rect', { class: `fill fill-${key}`, x: (from + gap / 2).toFixed(1), width: Math.max(1, to - from - gap).toFixed(1),
          y: (lower - height).toFixed(1), height: height.toFixed(1) }));
        below += value;
      }
      return node;
    }));
  }

  barAt(place) {
    const { model, x } = this;
    if (!model?.bars.length || !x) return -1;
    return model.bars.findIndex((bar) => place >= x(bar.from) && place <= x(bar.to));
  }

  focusOn(index) {
    const bar = this.model?.bars[index];
    this.focus = bar ? index : -1;
    [...this.marks.children].forEach((node, at) => node.classList.toggle('focused', at === this.focus));
    this.tooltip.hidden = !bar || !this.x;
    if (this.tooltip.hidden) return;
    const rows = JSON.stringify(bar.rows);
    if (this.tooltip.dataset.key !== rows) {
      this.tooltip.dataset.key = rows; // a live region must not repeat itself
      this.tooltip.replaceChildren(...bar.rows.map(([name, value]) => {
        const row = element('div');
        row.append(element('span', {}, name), element('span', {}, value));
        return row;
      }));
    }
    const middle = (this.x(bar.from) + this.x(bar.to)) / 2;
    const [width, room] = [this.tooltip.offsetWidth, this.box.clientWidth];
    const place = middle + 14 + width <= room ? middle + 14 : middle - 14 - width;
    this.tooltip.style.transform = `translate(${Math.round(clamp(place, 0, Math.max(0, room - width)))}px, 8px)`;
  }

  key(event) {
    const last = (this.model?.bars.length ?? 0) - 1;
    if (last < 0) return;
    if (event.key === 'Enter') {
      this.pick();
      return;
    }
    const from = this.focus < 0 ? last + 1 : this.focus;
    const target = { ArrowLeft: from - 1, ArrowRight: from + 1, PageUp: from - 10, PageDown: from + 10, Home: 0, End: last, Escape: -1 }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    this.focusOn(event.key === 'Escape' ? -1 : clamp(target, 0, last));
  }

  pick() {
    const bar = this.model?.bars[this.focus];
    if (bar && this.onPick) this.onPick(bar);
  }
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  return Math.max(1, power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999));
}

function compact(value) {
  if (value < 10_000) return formatWhole(value);
  return value < 1e6 ? `${Number((value / 1e3).toPrecision(3))}k` : `${Number((value / 1e6).toPrecision(3))}M`;
}
