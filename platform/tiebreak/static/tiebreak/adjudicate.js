// The adjudicator's keys. Every key presses a control that is on the page (`data-key`): the one inside the judgement
// which has the focus, otherwise the page's own.

import { announce, isTyping } from "./app.js";

const cards = () => [...document.querySelectorAll(".vote")].filter((card) => card.checkVisibility());

function control(key) {
  const named = `[data-key="${CSS.escape(key)}"]`;
  const card = document.activeElement?.closest(".vote");
  const inside = card?.querySelector(named);
  return inside ?? [...document.querySelectorAll(named)].find((element) => !element.closest(".vote"));
}

function press(element) {
  if (element.matches("textarea, input[type=text]")) element.focus();
  else element.click();
  if (element.matches("input")) element.focus({ preventScroll: true });
  if (element.matches("summary")) element.parentElement.querySelector("textarea")?.focus();
}

function step(by) {
  const all = cards();
  const now = all.indexOf(document.activeElement?.closest(".vote"));
  const next = all[now < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, now + by))];
  next?.focus();
}

function onKey(event) {
  if (document.querySelector("dialog[open]") || event.isComposing) return;
  const form = document.getElementById("decision");
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    (event.target.closest?.("form:has(textarea)") ?? form)?.requestSubmit();
    return;
  }
  if (event.key === "Escape" && isTyping(event.target)) event.target.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const key = event.key.toLowerCase();
  const found = key === "j" || key === "k" ? null : control(key);
  if (key === "j" || key === "k") step(key === "j" ? 1 : -1);
  else if (found && !found.disabled) press(found);
  else return;
  event.preventDefault();
}

// Both bad says enough by itself; otherwise a choice is asked for, by the browser's own message.
function checkDecision() {
  const form = document.getElementById("decision");
  const first = form?.querySelector("input[name=choice]");
  if (!first) return;
  const said = form.querySelector("input[name=choice]:checked, input[name=both_bad]:checked");
  first.setCustomValidity(said ? "" : form.querySelector("legend").textContent);
}

document.addEventListener("keydown", onKey);
document.addEventListener("input", checkDecision);
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target?.id !== "case" && event.detail.elt?.id !== "case") return;
  checkDecision();
  const problem = document.querySelector("#case [role=alert]");
  // Who is faster than the page has gone on to a judgement by now, and stays there.
  if (!document.activeElement?.matches(".vote")) document.getElementById("prompt-title")?.focus({ preventScroll: true });
  announce(problem?.textContent ?? document.querySelector("#case [role=status]")?.textContent ?? "");
});
checkDecision();
