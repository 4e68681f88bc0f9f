// What a preview says is wrong with a field of a form stands beside that field as well: the preview names it by
// data-complaint, with the id of the control or of its .field.

export function showBeside(form, preview) {
  form.querySelectorAll(".errorlist").forEach((list) => list.remove());
  for (const field of form.querySelectorAll(".wrong")) {
    field.classList.remove("wrong");
    field.querySelector("[aria-invalid]")?.removeAttribute("aria-invalid");
  }
  for (const complaint of preview?.querySelectorAll("[data-complaint]") ?? []) {
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
