// Marks on shown text. The browser's highlights change nothing in the page; older browsers get <mark> elements.

import { rangeOf, shown } from "./text.js";

const NATIVE = "highlights" in CSS;
const PRIORITY = { evidence: 1 };

/** Mark these spans, [{body, start, end}], under a name, and no others. */
export function mark(name, spans) {
  if (!NATIVE) return wrapAll(name, spans);
  const found = new Highlight();
  found.priority = PRIORITY[name] ?? 0;
  for (const [body, own] of grouped(spans)) {
    const text = shown(body);
    for (const { start, end } of own) found.add(rangeOf(text, start, end));
  }
  CSS.highlights.set(name, found);
  return undefined;
}

function grouped(spans) {
  return Map.groupBy ? Map.groupBy(spans, ({ body }) => body)
    : spans.reduce((groups, span) => groups.set(span.body, [...(groups.get(span.body) ?? []), span]), new Map());
}

function wrapAll(name, spans) {
  for (const old of document.querySelectorAll(`mark.${name}`)) {
    const parent = old.parentNode;
    old.replaceWith(...old.childNodes);
    parent.normalize();
  }
  for (const { body, start, end } of spans) {
    const { nodes } = shown(body);
    for (const { node, start: base } of nodes) {
      const from = Math.max(0, start - base);
      const to = Math.min(node.length, end - base);
      if (from >= to) continue;
      const range = document.createRange();
      range.setStart(node, from);
      range.setEnd(node, to);
      const element = document.createElement("mark");
      element.className = name;
      range.surroundContents(element);
    }
  }
}
