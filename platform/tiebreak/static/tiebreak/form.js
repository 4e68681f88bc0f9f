// The editor of a form: rows of aspects are added and removed (without it, empty rows and emptied ones do the same),
// and what the preview says is wrong with a field stands beside it as well.

import { showBeside } from "./beside.js";

const box = document.querySelector("[data-aspects]");
const rows = () => [...box.querySelectorAll(".aspect-row")];

// The words of a row count it: they are written anew after each change.
function number() {
  rows().forEach((row, index) => {
    for (const control of row.querySelectorAll("[aria-label]")) {
      control.setAttribute("aria-label", control.getAttribute("aria-label").replace(/\d+/, String(index + 1)));
    }
  });
  add.disabled = rows().length >= Number(box.dataset.most);
}

function changed() {
  number();
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

function addRow() {
  const row = rows().at(-1).cloneNode(true);
  for (const input of row.querySelectorAll("input")) input.value = "";
  row.querySelector("select").selectedIndex = 0;
  rows().at(-1).after(row);
  changed();
  row.querySelector("input").focus();
}

function removeRow(row) {
  const next = row.nextElementSibling ?? row.previousElementSibling;
  if (next) row.remove();
  else for (const input of row.querySelectorAll("input")) input.value = "";
  (next ?? row).querySelector("input").focus();
  changed();
}

const add = box?.querySelector("[data-add-row]");
if (box && !box.closest("fieldset[disabled]")) {
  const empty = rows().filter((row) => [...row.querySelectorAll("input")].every((input) => !input.value));
  for (const row of empty.slice(rows().length === empty.length ? 1 : 0)) row.remove();
  for (const button of box.querySelectorAll("[data-remove-row], [data-add-row]")) button.hidden = false;
  for (const button of document.querySelectorAll("[data-without-script]")) button.hidden = true;
  number();
  box.addEventListener("click", (event) => {
    const button = event.target.closest("[data-remove-row]");
    if (button) removeRow(button.closest(".aspect-row"));
  });
  add.addEventListener("click", addRow);
}

// A new preview stands as the one before it was left: scrolled, and opened.

const preview = () => document.getElementById("form-preview");
const scrollers = () => [preview(), preview()?.querySelector(".miniature")];
let left = { scrolled: [], open: [] };

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target?.id !== "form-preview") return;
  const open = [...preview().querySelectorAll("details[open][data-keep]")].map((details) => details.dataset.keep);
  left = { scrolled: scrollers().map((element) => element?.scrollTop ?? 0), open };
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.elt.id !== "form-preview") return;
  for (const details of preview().querySelectorAll("details[data-keep]")) details.open = left.open.includes(details.dataset.keep);
  scrollers().forEach((element, index) => { if (element) element.scrollTop = left.scrolled[index]; });
  showBeside(document.getElementById("form-editor"), preview());
});
