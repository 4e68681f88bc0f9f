// The editor of recipes: counting leaves the page as it is, and what the outline says is wrong stands beside its field.

const live = document.getElementById("recipe-live");

function clear() {
  document.querySelectorAll("#recipe-form .errorlist").forEach((list) => list.remove());
  for (const field of document.querySelectorAll("#recipe-form .wrong")) {
    field.classList.remove("wrong");
    field.querySelector("[aria-invalid]")?.removeAttribute("aria-invalid");
  }
}

function showBeside() {
  clear();
  for (const complaint of document.querySelectorAll("#recipe-outline [data-complaint]")) {
    const control = document.getElementById(complaint.dataset.complaint);
    const field = control?.closest(".field");
    if (!field) continue;
    const list = document.createElement("ul");
    list.className = "errorlist";
    list.append(document.createElement("li"));
    list.firstChild.textContent = complaint.textContent;
    field.classList.add("wrong");
    if (control !== field) control.setAttribute("aria-invalid", "true");
    field.append(list);
  }
}

live.addEventListener("htmx:afterSwap", showBeside);
document.getElementById("recipe-form").addEventListener("submit", (event) => {
  if (!event.submitter?.matches("[data-count]")) return;
  event.preventDefault();
  live.dispatchEvent(new Event("count"));
});
