// Evidence: passages of the responses that the annotator points at. The form's hidden field holds them.

import { announce } from "../app.js";
import { note } from "./notes.js";
import { mark } from "./marks.js";
import { bodies, form, say } from "./screen.js";
import { characters, position, shown, spanOf } from "./text.js";

const MAX_CHARS = 2_000; // of one passage, as the server takes it

const field = () => form()?.elements.evidence;

function spans() {
  try { return JSON.parse(field()?.value || "[]"); } catch { return []; }
}

function keep(list) {
  field().value = JSON.stringify(list);
  show();
  field().dispatchEvent(new Event("input", { bubbles: true }));
}

// Where a passage stands: at its place, or, where the text was set anew, at the first place that reads the same.
function placed(text, { exact, start }) {
  const there = position(text, start);
  const from = text.startsWith(exact, there) ? there : text.indexOf(exact);
  return from < 0 ? null : { start: from, end: from + exact.length };
}

/** Mark and list what the form holds. */
export function show() {
  if (!field()) return;
  const box = form().querySelector(".evidence");
  box.hidden = false;
  const list = spans();
  const texts = list.length && Object.fromEntries(bodies().map((body) => [body.dataset.side, { body, ...shown(body) }]));
  mark("evidence", list.flatMap((span) => {
    const own = texts[span.side];
    const place = own && placed(own.text, span);
    return place ? [{ body: own.body, ...place }] : [];
  }));
  box.querySelector("ul").replaceChildren(...list.map(row));
}

function row(span) {
  const item = document.createElement("li");
  const letter = item.appendChild(document.createElement("span"));
  letter.className = "letter";
  letter.textContent = span.side === "left" ? "A" : "B";
  const quote = item.appendChild(document.createElement("q"));
  quote.dir = "auto";
  quote.textContent = span.exact;
  quote.title = span.exact;
  const button = item.appendChild(document.createElement("button"));
  button.type = "button";
  button.className = "quiet remove";
  button.textContent = "×";
  button.setAttribute("aria-label", `${say("remove")}: ${span.exact.slice(0, 80)}`);
  button.addEventListener("click", () => {
    keep(spans().filter((other) => JSON.stringify(other) !== JSON.stringify(span)));
    form().querySelector(".evidence button")?.focus();
  });
  return item;
}

// The selected passage, if it lies within one response.
function selected() {
  const selection = getSelection();
  if (!field() || !selection?.rangeCount || selection.isCollapsed) return null;
  const range = selection.getRangeAt(0);
  const body = bodies().find((one) => one.contains(range.commonAncestorContainer));
  if (!body) return null;
  const text = shown(body);
  const span = spanOf(text, range);
  return span && { body, text: text.text, ...span };
}

/** Take the selected passage as evidence. */
export function highlight() {
  const found = selected();
  if (!found) { note(say("selectFirst")); return; }
  const { text, start } = found;
  const exact = [...text.slice(start, found.end)].slice(0, MAX_CHARS).join("");
  const from = characters(text, start);
  const span = { side: found.body.dataset.side, exact, start: from, end: from + [...exact].length };
  if (!spans().some((other) => other.side === span.side && other.start === span.start && other.end === span.end)) {
    keep([...spans(), span]);
  }
  getSelection().removeAllRanges();
  announce(`${say("highlighted")}: ${exact.slice(0, 120)}`);
}

// The button beside a selection, for hands that are on the mouse or the glass.

function offered() {
  let button = document.getElementById("highlight");
  if (!button) {
    button = document.createElement("button");
    button.type = "button";
    button.id = "highlight";
    button.hidden = true;
    button.textContent = say("highlight");
    button.addEventListener("pointerdown", (event) => event.preventDefault()); // the selection stays
    button.addEventListener("click", highlight);
    document.querySelector("main").append(button);
  }
  return button;
}

document.addEventListener("selectionchange", () => {
  const button = offered();
  const found = selected();
  button.hidden = !found;
  if (!found) return;
  const box = getSelection().getRangeAt(0).getBoundingClientRect();
  const floor = form().querySelector(".answer").getBoundingClientRect().top;
  const below = box.bottom + 6 + button.offsetHeight < floor;
  const top = below ? box.bottom + 6 : Math.min(box.top - 6, floor - 6) - button.offsetHeight;
  const right = document.documentElement.clientWidth - button.offsetWidth - 8;
  button.style.left = `${Math.max(8, Math.min(box.left, right)) + scrollX}px`;
  button.style.top = `${Math.max(56, top) + scrollY}px`;
});
