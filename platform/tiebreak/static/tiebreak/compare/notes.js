// Short words above the answer; they go by themselves.

import { say } from "./screen.js";

const STAYS = 10_000; // ms

let timer = 0;

/** A line that says something. */
export function message(words, kind = "") {
  const line = document.createElement("p");
  line.className = `message ${kind}`;
  line.textContent = words;
  return line;
}

/** Say something for a while; `previous` leads to where an answer can be changed. */
export function note(words, { previous = "", kind = "" } = {}) {
  const line = message(words, kind);
  if (previous) {
    const link = document.createElement("a");
    link.href = previous;
    link.textContent = say("previous");
    line.append(" ", link);
  }
  document.getElementById("said").replaceChildren(line);
  leave();
}

function leave() {
  clearTimeout(timer);
  timer = setTimeout(() => document.getElementById("said").replaceChildren(), STAYS);
}

// What the server says of a flag or a comment goes too; why it took one not stays.
document.addEventListener("htmx:afterSwap", (event) => {
  const { target } = event.detail;
  if (target?.id === "said" && !target.querySelector(".error")) leave();
});
