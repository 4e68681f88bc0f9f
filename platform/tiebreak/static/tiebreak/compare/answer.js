// The answer on the screen: what is chosen, whether it may be sent, and how it is read and filled in again.

import { form } from "./screen.js";

const LEFT_OUT = new Set(["csrfmiddlewaretoken", "skip_reason"]);

export const choices = () => [...(form()?.querySelectorAll("input[name=choice]") ?? [])];

/** Use a control as a hand would. */
export function press(input) {
  if (!input) return;
  input.click();
  input.focus({ preventScroll: true });
}

/** One step along the scale; from nothing chosen, to the weakest preference of that side. */
export function move(step) {
  const inputs = choices();
  const now = inputs.findIndex((input) => input.checked);
  if (now >= 0) return press(inputs[Math.min(inputs.length - 1, Math.max(0, now + step))]);
  const side = inputs.filter((input) => Math.sign(Number(input.value)) === step);
  return press(step < 0 ? side.at(-1) : side[0]);
}

function showChoice() {
  const value = Number(choices().find((input) => input.checked)?.value ?? 0);
  form().dataset.favours = value < 0 ? "left" : value > 0 ? "right" : "";
}

// Both bad says enough by itself; otherwise a choice is asked for, by the browser's own message.
function checkChoice() {
  const first = choices()[0];
  if (!first) return;
  const bad = form().querySelector("input[name=both_bad]")?.checked ?? false;
  const chosen = choices().some((input) => input.checked);
  first.setCustomValidity(bad || chosen ? "" : form().querySelector(".scale legend").textContent);
}

function countCharacters() {
  const area = form().querySelector("#justification");
  if (!area) return;
  const wanted = area.minLength > 0 ? ` / ${area.minLength}` : "";
  form().querySelector("[data-count-of]").textContent = area.value ? `${[...area.value].length}${wanted}` : "";
}

/** Show what follows from the answer as it stands. */
export function refresh() {
  if (!form()) return;
  showChoice();
  checkChoice();
  countCharacters();
}

/** What the form says, as it would be posted. */
export function read() {
  return [...new FormData(form())].filter(([name, value]) => !LEFT_OUT.has(name) && typeof value === "string");
}

/** Put back what `read` gave. The page's own key stays, unless `keys` asks for the one that was sent. */
export function fill(values, { keys = false } = {}) {
  for (const field of form().elements) {
    const said = values.filter(([name]) => name === field.name).map(([, value]) => value);
    if (!field.name || LEFT_OUT.has(field.name) || (field.name === "key" && !keys)) continue;
    if (field.type === "radio" || field.type === "checkbox") field.checked = said.includes(field.value);
    else if (said.length) field.value = said[0];
  }
  form().dispatchEvent(new CustomEvent("filled"));
  refresh();
}

/** Say why an answer was refused: above, and beside each field that is meant. */
export function showProblem({ message, errors = {} }, next) {
  clearProblem();
  const box = document.createElement("div");
  box.className = "message error";
  box.setAttribute("role", "alert");
  const list = box.appendChild(document.createElement("ul"));
  const said = Object.entries(errors);
  for (const [field, text] of said.length ? said : [["", message]]) {
    const item = list.appendChild(document.createElement("li"));
    const place = field && document.getElementById(`at-${field}`);
    if (!place) { item.textContent = text; continue; }
    const link = item.appendChild(document.createElement("a"));
    link.href = `#at-${field}`;
    link.textContent = text;
    const beside = document.createElement("p");
    beside.className = "wrong";
    beside.textContent = text;
    place.classList.contains("segments") || place.matches(".toggle, .scale") ? place.after(beside) : place.append(beside);
    place.querySelector("textarea")?.setAttribute("aria-invalid", "true");
  }
  if (next) {
    const on = box.appendChild(document.createElement("p")).appendChild(document.createElement("a"));
    on.className = "button";
    on.href = next.href;
    on.textContent = next.words;
  }
  document.getElementById("problem").replaceChildren(box);
  box.scrollIntoView({ block: "nearest" });
}

export function clearProblem() {
  document.getElementById("problem")?.replaceChildren();
  for (const old of form()?.querySelectorAll(".wrong") ?? []) old.remove();
  for (const field of form()?.querySelectorAll("[aria-invalid]") ?? []) field.removeAttribute("aria-invalid");
}
