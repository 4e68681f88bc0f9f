// What every page shares: theme, relative times, announcements, the keyboard help, and how failed requests are shown.

const root = document.documentElement;

/** Say something to people who listen to the page. */
export function announce(words) {
  const region = document.getElementById("live");
  if (!region) return;
  region.textContent = "";
  setTimeout(() => { region.textContent = words; }, 50);
}

/** True while a key press belongs to what the person is typing into. */
export function isTyping(target) {
  return target instanceof Element && target.closest("textarea, select, [contenteditable], input:not([type=radio], [type=checkbox])") !== null;
}

// Theme: a cookie, so that the server paints the right one at once.

function currentTheme() {
  return root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function showTheme(button) {
  button.hidden = false;
  button.setAttribute("aria-pressed", String(currentTheme() === "dark"));
}

function toggleTheme(button) {
  root.dataset.theme = currentTheme() === "dark" ? "light" : "dark";
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `theme=${root.dataset.theme}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  showTheme(button);
}

// Times: relative in the text, absolute on hover.

const steps = [["year", 31536000], ["month", 2592000], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60]];
const relative = new Intl.RelativeTimeFormat(root.lang || "en", { numeric: "auto" });
const absolute = new Intl.DateTimeFormat(root.lang || "en", { dateStyle: "medium", timeStyle: "short" });

function showTimes(within = document) {
  for (const element of within.querySelectorAll("time[datetime]")) {
    const then = new Date(element.dateTime);
    if (Number.isNaN(then.getTime())) continue;
    const seconds = (then - Date.now()) / 1000;
    const [unit, size] = steps.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
    element.title ||= absolute.format(then);
    element.textContent = unit === "second" ? relative.format(0, "second") : relative.format(Math.round(seconds / size), unit);
  }
}

// Code blocks: a button that copies what was written.

function addCopyButtons(within = document) {
  if (!navigator.clipboard) return;
  for (const block of within.querySelectorAll(".doc pre.code")) {
    if (block.parentElement.classList.contains("code-box")) continue;
    const box = document.createElement("div");
    box.className = "code-box";
    block.replaceWith(box);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = root.dataset.copy || "Copy";
    box.append(block, button);
  }
}

async function copyFrom(button) {
  await navigator.clipboard.writeText(button.previousElementSibling.textContent);
  announce(root.dataset.copied || "Copied");
  button.textContent = "✓";
  setTimeout(() => { button.textContent = root.dataset.copy || "Copy"; }, 1500);
}

function closeMenus(except = null) {
  for (const menu of document.querySelectorAll("details.switcher[open], details.skip-menu[open]")) {
    if (!except || !menu.contains(except)) menu.open = false;
  }
}

function openHelp() {
  const dialog = document.getElementById("help");
  if (dialog && !dialog.open) dialog.showModal();
}

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  closeMenus(target);
  const theme = target?.closest("[data-toggle-theme]");
  if (theme) toggleTheme(theme);
  const copy = target?.closest(".copy");
  if (copy) copyFrom(copy);
  if (target?.closest("[data-open-help]")) openHelp();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeMenus();
  if (event.key === "?" && !isTyping(event.target)) {
    event.preventDefault();
    openHelp();
  }
});

// A refused or failed request must not replace what the person was doing: its message goes above it.

function problemRegion() {
  return document.getElementById("problems");
}

document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, target } = event.detail;
  if (xhr.status < 400 || !target) return;
  const region = problemRegion();
  const answer = new DOMParser().parseFromString(xhr.responseText, "text/html");
  if (!region || (target.id && answer.getElementById(target.id))) return;
  const main = answer.querySelector("main");
  if (main) event.detail.serverResponse = main.innerHTML; // a whole page within this one would bring its frame along
  event.detail.target = region;
  event.detail.swapOverride = "innerHTML";
  event.detail.shouldSwap = true;
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target === problemRegion()) event.detail.target.scrollIntoView({ block: "nearest" });
});

// Signing in again, in another tab, makes a new token: a page that was open before must not be refused for its old one.
document.addEventListener("htmx:configRequest", (event) => {
  const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1];
  if (token && event.detail.parameters.csrfmiddlewaretoken) event.detail.parameters.csrfmiddlewaretoken = token;
});

document.addEventListener("htmx:sendError", () => {
  const region = problemRegion();
  if (!region) return;
  const message = document.createElement("p");
  message.className = "message error";
  message.textContent = root.dataset.offline || "The server could not be reached. Nothing is lost: try again.";
  region.replaceChildren(message);
});

document.addEventListener("htmx:beforeRequest", () => problemRegion()?.replaceChildren());

function refresh(within = document) {
  showTimes(within);
  addCopyButtons(within);
}

document.addEventListener("htmx:load", (event) => refresh(event.detail.elt));
document.querySelectorAll("[data-toggle-theme]").forEach(showTheme);
// On a narrow screen the row of pages is cut off: begin it so that the page which is open shows.
for (const here of document.querySelectorAll("header nav [aria-current]")) here.scrollIntoView({ block: "nearest", inline: "nearest" });
document.querySelectorAll("[data-open-help]").forEach((button) => { button.hidden = false; });
setInterval(showTimes, 30_000);
refresh();
