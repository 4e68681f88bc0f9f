// The text of a response as it is shown, without our own buttons in it, and spans of it.

/** {text, nodes: [{node, start}]} of a response's body; positions are UTF-16 units, as the page counts. */
export function shown(body) {
  const root = body.querySelector(":scope > .doc") ?? body;
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT, (node) =>
    node.parentElement.closest(".copy") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
  const nodes = [];
  let text = "";
  while (walker.nextNode()) {
    nodes.push({ node: walker.currentNode, start: text.length });
    text += walker.currentNode.data;
  }
  return { root, text, nodes };
}

/** The range of a span. */
export function rangeOf({ nodes }, start, end) {
  const range = document.createRange();
  const from = at(nodes, start, false);
  const to = at(nodes, end, true);
  range.setStart(from.node, start - from.start);
  range.setEnd(to.node, end - to.start);
  return range;
}

// The node that holds a position; where two meet, the one before if it is an end.
function at(nodes, position, isEnd) {
  let low = 0;
  let high = nodes.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    const before = isEnd ? nodes[middle].start < position : nodes[middle].start <= position;
    if (before) low = middle; else high = middle - 1;
  }
  return nodes[low];
}

/** The span of a range, without the space around it; null where nothing is left. */
export function spanOf({ text, nodes }, range) {
  let start = text.length;
  let end = 0;
  for (const { node, start: base } of nodes) {
    if (!range.intersectsNode(node)) continue;
    start = Math.min(start, base + (node === range.startContainer ? range.startOffset : 0));
    end = Math.max(end, base + (node === range.endContainer ? range.endOffset : node.length));
  }
  while (start < end && /\s/.test(text[start])) start += 1;
  while (end > start && /\s/.test(text[end - 1])) end -= 1;
  return start < end ? { start, end } : null;
}

/** Characters, as people and the server count them, before a position. */
export const characters = (text, position) => [...text.slice(0, position)].length;

/** The position that stands after so many characters. */
export const position = (text, count) => [...text].slice(0, count).join("").length;
