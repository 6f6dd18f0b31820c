// Elements, and writing to them: text and attributes alone, because the content security policy allows no inline script
// or style, and because names and payloads are not ours.

export const $ = (id) => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';

export function element(name, attributes = {}, text) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

export function svgElement(name, attributes = {}) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

// Writing only what differs keeps the browser from laying out a page that has not changed.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
