// Keys. Each one uses a control that is on the page, so that everything works by mouse, touch and reader too.

import { isTyping } from "../app.js";
import { choices, move, press } from "./answer.js";
import { toggle as toggleDifference } from "./difference.js";
import { highlight } from "./evidence.js";
import { undo } from "./flow.js";
import { toggleFolds, toggleTogether } from "./reading.js";
import { form, screen } from "./screen.js";

const NAMED = /^(Arrow\w+|Enter|Insert|Delete|F\d+)$/;

let keymap = {}; // action → key
let armed = null; // the group of segments that takes the next digit

const click = (selector) => screen()?.querySelector(selector)?.click();

const ACTIONS = {
  left: () => move(-1),
  right: () => move(1),
  both_bad: () => press(form().querySelector("input[name=both_bad]")),
  justify: () => form().querySelector("#justification")?.focus(),
  submit: () => form().requestSubmit(form().querySelector(".send button")),
  skip: openSkip,
  flag: () => click("[data-act=flag]"),
  comment: () => click("[data-act=comment]"),
  highlight,
  diff: toggleDifference,
  scroll: toggleTogether,
  fold: toggleFolds,
  previous: () => click("[data-act=previous]"),
  undo,
  guidelines: () => click("[data-act=guidelines]"),
  help: () => document.querySelector("[data-open-help]")?.click(),
};

function openSkip() {
  const menu = form().querySelector(".skip-menu");
  if (!menu) return;
  menu.open = true;
  menu.querySelector("select").focus();
}

// Letters for what has no key of its own: the first free one of each label, the same for every comparison of a form.

function assignLetters() {
  const used = new Set(Object.values(keymap));
  for (const aspect of form().querySelectorAll("[data-aspect]")) {
    const letters = aspect.dataset.aspect.toLowerCase().match(/[a-z]/g) ?? [];
    const letter = [...letters, ..."abcdefghijklmnopqrstuvwxyz"].find((candidate) => !used.has(candidate));
    if (!letter) continue;
    used.add(letter);
    aspect.dataset.letter = letter;
    const hint = aspect.querySelector("legend kbd");
    hint.textContent = letter;
    hint.hidden = false;
  }
}

function showKeys() {
  for (const hint of document.querySelectorAll("[data-key-of]")) {
    const key = keymap[hint.dataset.keyOf];
    hint.textContent = key?.replace("Ctrl+Enter", "Ctrl ↵").replace("ArrowLeft", "←").replace("ArrowRight", "→") ?? "";
  }
}

// A letter arms its first group without an answer, or, pressed again, the next one; digits answer what is armed.

const groups = (within) => [...within.querySelectorAll("[data-group]")];
const isAnswered = (group) => group.querySelector("input:checked") !== null;

function arm(group) {
  armed?.classList.remove("armed");
  armed = group ?? null;
  armed?.classList.add("armed");
  const inputs = armed ? [...armed.querySelectorAll("input")] : [];
  (inputs.find((input) => input.checked) ?? inputs[0])?.focus({ preventScroll: true });
  armed?.scrollIntoView({ block: "nearest" });
}

function armNext(aspect) {
  const all = groups(aspect);
  const at = all.indexOf(armed);
  arm(at >= 0 ? all[(at + 1) % all.length] : all.find((group) => !isAnswered(group)) ?? all[0]);
}

function answerArmed(digit) {
  const input = armed?.querySelectorAll("input")[digit - 1];
  if (!input) return false;
  press(input);
  const all = groups(armed.closest("[data-aspect]"));
  const next = all[all.indexOf(armed) + 1];
  if (next) arm(next); else disarm();
  return true;
}

function disarm() {
  if (!armed) return;
  armed.classList.remove("armed");
  if (armed.contains(document.activeElement)) document.activeElement.blur();
  armed = null;
}

function pressed(event) {
  if (!NAMED.test(event.key)) return event.ctrlKey || event.metaKey || event.altKey ? "" : event.key.toLowerCase();
  const held = [event.ctrlKey || event.metaKey ? "Ctrl+" : "", event.altKey ? "Alt+" : "", event.shiftKey ? "Shift+" : ""];
  return held.join("") + event.key;
}

function onKey(event) {
  if (event.repeat && !event.key.startsWith("Arrow")) return; // a key held down says nothing twice
  if (!form() || screen().inert || event.isComposing || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") {
    if (event.target.id === "justification") event.target.blur();
    disarm();
    return;
  }
  const key = pressed(event);
  const action = Object.keys(keymap).find((name) => keymap[name] === key);
  const plain = [...key].length === 1 || key.startsWith("Arrow") || key === "Insert" || key === "Delete";
  if (!key || (plain && isTyping(event.target)) || !handle(key, action, event)) return;
  event.preventDefault();
  event.stopPropagation();
}

function handle(key, action, event) {
  if (armed && /^[0-9]$/.test(key) && answerArmed(key === "0" ? 10 : Number(key))) return true;
  const choice = action?.match(/^choose_(\d)$/)?.[1];
  if (choice) {
    disarm();
    press(choices()[choice - 1]);
    return choice <= choices().length;
  }
  // Arrows belong to what scrolls or runs by them; elsewhere they move the choice.
  if (key.startsWith("Arrow") && event.target.closest?.("[data-aspect], pre, .table-scroll, .math, .in-step .body, .aside, select")) return false;
  const aspect = action ? null : form().querySelector(`[data-letter="${CSS.escape(key)}"]`);
  if (aspect) armNext(aspect);
  else if (ACTIONS[action]) ACTIONS[action]();
  else return false;
  return true;
}

/** A comparison arrived: its keys, with the letters of what it asks. */
export function arrive() {
  armed = null;
  try { keymap = JSON.parse(screen().dataset.keymap ?? "{}"); } catch { keymap = {}; }
  assignLetters();
  showKeys();
}

document.addEventListener("keydown", onKey, true);
document.addEventListener("pointerdown", (event) => { if (armed && !armed.contains(event.target)) disarm(); }, true);
