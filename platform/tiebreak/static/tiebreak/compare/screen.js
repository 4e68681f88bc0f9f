// What the modules of the comparing screen share: where it is, whose it is, and the words it says.

export const screen = () => document.getElementById("comparison");
export const form = () => document.getElementById("answer");
export const bodies = () => [...(screen()?.querySelectorAll(".body[data-side]") ?? [])];
export const shownId = () => screen()?.dataset.assignment ?? "";
export const userId = () => document.getElementById("words")?.dataset.user ?? "";

/** A phrase of the page's language, its {names} filled in. */
export function say(name, values = {}) {
  const phrase = document.getElementById("words")?.dataset[name] ?? "";
  return phrase.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
}

/** A number as the page's language writes it. */
export const count = (number) => number.toLocaleString(document.documentElement.lang || undefined);

/** Headers of a request that the server answers as it does htmx's: who was signed out gets words, not a page. */
export function headers(more = {}) {
  const cookie = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1];
  const token = cookie ?? document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
  return { "HX-Request": "true", "HX-Current-URL": location.href, "X-CSRFToken": token, ...more };
}

/** What is kept in the browser: storage may be full, or closed to this site. */
export const kept = {
  get(key) {
    try { return JSON.parse(localStorage.getItem(key)); } catch { return null; }
  },
  set(key, value) {
    try { localStorage.setItem(key, JSON.stringify(value)); return true; } catch { return false; }
  },
  drop(key) {
    try { localStorage.removeItem(key); } catch { /* nothing was kept */ }
  },
  keys(prefix) {
    try { return Object.keys(localStorage).filter((key) => key.startsWith(prefix)); } catch { return []; }
  },
};
