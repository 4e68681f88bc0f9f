// The comparing screen: keys, the shown state of the choice, letters for aspects, and the time really spent.
// Every key presses a control that is on the page, so that everything works by mouse, touch and reader too.

import { announce, isTyping } from "./app.js";

const IDLE_AFTER = 30_000; // ms without a sign of life: later time is not counted
const TICK = 1_000;
const DRAFT_AFTER = 2_500; // ms after the last change
const RENEW_EVERY = 60_000;
const TAKEN = new Set(["b", "j"]); // letters with a meaning of their own

const form = () => document.getElementById("answer");
const choices = () => [...(form()?.querySelectorAll("input[name=choice]") ?? [])];

function press(input) {
  if (!input) return;
  input.click();
  input.focus({ preventScroll: true });
}

// What is chosen, shown on the responses and on the phone's tabs.

function showChoice() {
  const chosen = choices().find((input) => input.checked);
  const value = Number(chosen?.value ?? 0);
  if (!form()) return;
  form().dataset.favours = value < 0 ? "left" : value > 0 ? "right" : "";
}

function move(step) {
  const inputs = choices();
  const now = inputs.findIndex((input) => input.checked);
  if (now >= 0) return press(inputs[Math.min(inputs.length - 1, Math.max(0, now + step))]);
  // Nothing chosen yet: the first step goes to the weakest preference of that side.
  const side = inputs.filter((input) => Math.sign(Number(input.value)) === step);
  return press(step < 0 ? side.at(-1) : side[0]);
}

// Letters for aspects: the first free one of each label, the same for every comparison of a form.

function assignLetters() {
  const used = new Set(TAKEN);
  for (const aspect of form()?.querySelectorAll("[data-aspect]") ?? []) {
    const letters = aspect.dataset.aspect.toLowerCase().match(/[a-z]/g) ?? [];
    const letter = [...letters, ..."abcdefghijklmnopqrstuvwxyz"].find((candidate) => !used.has(candidate));
    if (!letter) continue;
    used.add(letter);
    aspect.dataset.letter = letter;
    const hint = aspect.querySelector("kbd");
    hint.textContent = letter;
    hint.hidden = false;
  }
}

function cycleAspect(aspect) {
  const inputs = [...aspect.querySelectorAll("input")];
  press(inputs[(inputs.findIndex((input) => input.checked) + 1) % inputs.length]);
}

// Keys

function onKey(event) {
  if (!form() || document.querySelector("dialog[open]") || event.isComposing) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    form().requestSubmit();
    return;
  }
  if (event.key === "Escape" && event.target.id === "justification") event.target.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (handle(event)) event.preventDefault();
}

function handle(event) {
  const key = event.key.toLowerCase();
  const numbered = choices().find((input) => input.dataset.key === key);
  const aspect = form().querySelector(`[data-letter="${CSS.escape(key)}"]`);
  const inAspect = event.target.closest?.("[data-aspect]");
  const inScroller = event.target.closest?.("pre, .table-scroll, .math");
  if (numbered) press(numbered);
  else if ((key === "arrowleft" || key === "arrowright") && !inAspect && !inScroller) move(key === "arrowleft" ? -1 : 1);
  else if (key === "b") press(form().querySelector("input[name=both_bad]"));
  else if (key === "j") form().querySelector("#justification")?.focus();
  else if (aspect) cycleAspect(aspect);
  else return false;
  return true;
}

// Both bad says enough by itself; otherwise a choice is asked for, by the browser's own message.

function checkAnswer() {
  const first = choices()[0];
  if (!first) return;
  const bad = form().querySelector("input[name=both_bad]")?.checked ?? false;
  const chosen = choices().some((input) => input.checked);
  first.setCustomValidity(bad || chosen ? "" : form().querySelector(".scale legend").textContent);
}

function countCharacters() {
  const area = form()?.querySelector("#justification");
  if (!area) return;
  const wanted = area.minLength > 0 ? ` / ${area.minLength}` : "";
  form().querySelector("[data-count-of]").textContent = area.value ? `${[...area.value].length}${wanted}` : "";
}

// Active time: counted while the page is seen and someone moves, reads on or types.

let lastSign = performance.now();
let lastTick = performance.now();

function sign() {
  lastSign = performance.now();
}

function tick() {
  const now = performance.now();
  const field = form()?.elements.active_ms;
  if (field && !document.hidden && now - lastSign < IDLE_AFTER) {
    field.value = Math.round(Number(field.value) + Math.min(now - lastTick, 2 * TICK));
  }
  lastTick = now;
}

// Drafts: what was typed goes to the server after a pause, when the page is left, and now and then while someone
// reads, which renews the lease as well.

let draftTimer = 0;
let submitting = false;

function keepDraft() {
  clearTimeout(draftTimer);
  draftTimer = setTimeout(sendDraft, DRAFT_AFTER);
}

async function sendDraft({ keepalive = false } = {}) {
  clearTimeout(draftTimer);
  draftTimer = 0;
  const url = form()?.dataset.draft;
  if (!url || submitting) return;
  tick();
  const reply = await fetch(url, {
    method: "POST", body: new FormData(form()), headers: { "HX-Request": "true" }, keepalive,
  }).catch(() => null); // without the server the text stays on the page, and the next pause tries again
  if (!reply || reply.ok || submitting || form()?.dataset.draft !== url) return;
  const said = new DOMParser().parseFromString(await reply.text(), "text/html").querySelector(".message");
  if (said) document.getElementById("problems").replaceChildren(said);
}

// A comparison arrives: at first with the page, then by each swap.

function arrive() {
  if (!form()) return;
  const tabs = form().querySelector(".tabs");
  tabs.hidden = false;
  form().querySelector(".pair").dataset.show = "left";
  assignLetters();
  showChoice();
  checkAnswer();
  countCharacters();
  sign();
}

document.addEventListener("keydown", onKey);
document.addEventListener("input", (event) => {
  if (!form()?.contains(event.target)) return;
  keepDraft();
  showChoice();
  checkAnswer();
  countCharacters();
});
document.addEventListener("click", (event) => {
  const tab = event.target.closest?.(".tabs [data-show]");
  if (!tab) return;
  form().querySelector(".pair").dataset.show = tab.dataset.show;
  for (const other of tab.parentElement.children) other.setAttribute("aria-pressed", String(other === tab));
});
document.addEventListener("submit", tick, true);
document.addEventListener("htmx:beforeRequest", () => {
  submitting = true;
  clearTimeout(draftTimer);
  draftTimer = 0;
});
document.addEventListener("htmx:afterRequest", () => { submitting = false; });
document.addEventListener("visibilitychange", () => {
  if (document.hidden && draftTimer) sendDraft({ keepalive: true });
});
document.addEventListener("htmx:afterSettle", (event) => {
  const heading = document.getElementById("prompt-title");
  if (event.detail.target?.id !== "comparison" && event.detail.elt?.id !== "comparison") return;
  arrive();
  heading?.focus({ preventScroll: true });
  const problem = document.querySelector("#comparison [role=alert]");
  announce(problem?.textContent ?? heading?.textContent ?? "");
});
for (const kind of ["pointermove", "pointerdown", "keydown", "wheel", "touchmove", "scroll"]) {
  document.addEventListener(kind, sign, { passive: true, capture: true });
}
setInterval(tick, TICK);
setInterval(() => { if (performance.now() - lastSign < RENEW_EVERY) sendDraft(); }, RENEW_EVERY);
arrive();
