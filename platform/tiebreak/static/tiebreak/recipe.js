// The editor of recipes: counting leaves the page as it is, and what the outline says is wrong stands beside its field.

import { showBeside } from "./beside.js";

const live = document.getElementById("recipe-live");
const form = document.getElementById("recipe-form");

live.addEventListener("htmx:afterSwap", () => showBeside(form, document.getElementById("recipe-outline")));
form.addEventListener("submit", (event) => {
  if (!event.submitter?.matches("[data-count]")) return;
  event.preventDefault();
  live.dispatchEvent(new Event("count"));
});
