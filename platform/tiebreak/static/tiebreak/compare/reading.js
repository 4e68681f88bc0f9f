// Reading aids: tabs on a phone, folding of long texts, and both responses scrolled as one.

import { bodies, count, form, kept, say, screen, shownId } from "./screen.js";

const MUCH = 1.25; // a text is folded where it is longer than the fold by so much: never for a line or two
const HUGE = 20_000; // characters that fold without being measured: setting them would take longer than to go on
const TOGETHER = "tiebreak:together";

// Folding: the same height for both, so that what is hidden of the one would be hidden of the other.

const unfolded = () => sessionStorage.getItem("tiebreak:unfolded") === shownId();

function foldables() {
  return [...(screen()?.querySelectorAll(".foldable") ?? [])];
}

/** Fold what is long, unless this comparison was unfolded before. */
export function foldLong() {
  const fresh = together() ? [] : foldables().filter((text) => !text.nextElementSibling?.matches(".unfold"));
  for (const text of fresh) {
    text.classList.add("folded");
    text.classList.toggle("huge", text.textContent.length > HUGE);
  }
  for (const text of fresh) {
    if (text.matches(".huge")) addButton(text);
    else if (text.scrollHeight > text.clientHeight * MUCH && text.clientHeight) addButton(text);
    else text.classList.remove("folded");
  }
  if (unfolded()) setFolded(false);
  showFoldButton();
}

function addButton(text) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet unfold";
  button.setAttribute("aria-expanded", "false");
  const words = text.querySelector(".doc")?.textContent.trim().split(/\s+/).length ?? 0;
  button.dataset.count = say("words", { n: count(words) });
  button.addEventListener("click", () => setOne(text, !text.classList.contains("folded")));
  text.after(button);
  setOne(text, true);
}

function setOne(text, folded) {
  const button = text.nextElementSibling;
  if (!button?.matches(".unfold")) return;
  const above = !text.matches(".folded") && text.getBoundingClientRect().top < 0;
  text.classList.toggle("folded", folded);
  button.setAttribute("aria-expanded", String(!folded));
  button.textContent = folded ? `${say("showAll")} · ${button.dataset.count}` : say("fold");
  if (folded && above) text.scrollIntoView({ block: "start" });
}

function setFolded(folded) {
  for (const text of foldables()) setOne(text, folded);
  showFoldButton();
}

function showFoldButton() {
  const button = screen()?.querySelector("[data-act=fold]");
  if (!button) return;
  const all = foldables().filter((text) => text.nextElementSibling?.matches(".unfold"));
  const folded = all.some((text) => text.classList.contains("folded"));
  button.hidden = !all.length || together();
  button.setAttribute("aria-pressed", String(!folded));
}

/** Show everything of this comparison, or fold what is long. */
export function toggleFolds() {
  const folded = foldables().some((text) => text.matches(".folded"));
  setFolded(!folded);
  if (folded) sessionStorage.setItem("tiebreak:unfolded", shownId());
  else sessionStorage.removeItem("tiebreak:unfolded");
}

// Scrolling together: each response in a window of its own, at the same share of its length.

const together = () => screen()?.querySelector(".pair")?.classList.contains("in-step") ?? false;

function setTogether(on) {
  const pair = screen()?.querySelector(".pair");
  if (!pair) return;
  pair.classList.toggle("in-step", on);
  screen().querySelector("[data-act=scroll]")?.setAttribute("aria-pressed", String(on));
  for (const body of bodies()) {
    if (on) body.setAttribute("tabindex", "0"); else body.removeAttribute("tabindex");
  }
  showFoldButton();
}

export function toggleTogether() {
  setTogether(!together());
  kept.set(TOGETHER, together());
  if (!together()) foldLong();
}

let led = null; // the response that was moved by us: its own scroll event is no hand's

function follow(event) {
  if (!together() || !event.target.matches?.(".body[data-side]")) return;
  const mover = event.target;
  if (led === mover) { led = null; return; }
  const other = bodies().find((body) => body !== mover);
  const room = mover.scrollHeight - mover.clientHeight;
  const target = Math.round((room > 0 ? mover.scrollTop / room : 0) * (other.scrollHeight - other.clientHeight));
  if (Math.abs(other.scrollTop - target) < 1) return;
  led = other;
  other.scrollTop = target;
}

function showTab(tab) {
  form().querySelector(".pair").dataset.show = tab.dataset.show;
  for (const other of tab.parentElement.children) other.setAttribute("aria-pressed", String(other === tab));
  foldLong();
}

/** A comparison arrived. */
export function arrive() {
  screen().querySelector(".reading").hidden = false;
  screen().querySelector(".tabs").hidden = false;
  screen().querySelector(".pair").dataset.show ??= "left";
  setTogether(kept.get(TOGETHER) === true);
  foldLong();
}

document.addEventListener("scroll", follow, { capture: true, passive: true });
document.addEventListener("load", (event) => { if (event.target.matches?.(".doc img")) foldLong(); }, true);
document.addEventListener("click", (event) => {
  const tab = event.target.closest?.(".tabs [data-show]");
  if (tab) showTab(tab);
});
