// Drafts: what was typed goes to the server after a pause, when the page is left, and now and then while someone
// reads, which renews the lease as well. Where the server cannot be reached, the browser keeps them.

import { announce } from "../app.js";
import { quiet, tick } from "./active.js";
import { fill, read } from "./answer.js";
import { note } from "./notes.js";
import * as outbox from "./outbox.js";
import { form, headers, kept, say, screen, shownId, userId } from "./screen.js";

const DRAFT_AFTER = 2_500; // ms after the last change
const RENEW_EVERY = 60_000; // or thrice in a lease, where that is shorter
const LOOK_EVERY = 5_000;
export const AWAY_AFTER = 60_000; // ms without a sign of life: the lease is renewed no more

let timer = 0;
let sentAt = performance.now();
let stopped = false;

const mirror = () => `tiebreak:draft:${userId()}:${shownId()}`;

/** Something was typed. */
export function touched() {
  clearTimeout(timer);
  timer = setTimeout(send, DRAFT_AFTER);
}

/** What was typed is not yet with the server. */
export const dirty = () => timer !== 0;

/** While an answer is on its way no draft follows it. */
export function stop(now = true) {
  stopped = now;
  clearTimeout(timer);
  timer = 0;
}

/** Forget what the browser kept of a comparison that was answered. */
export function forget(assignment) {
  kept.drop(`tiebreak:draft:${userId()}:${assignment}`);
}

/** Send what stands on the page. Before the answer to the comparison ahead of this one is taken, the browser keeps it. */
export async function send({ keepalive = false } = {}) {
  clearTimeout(timer);
  timer = 0;
  sentAt = performance.now();
  const url = form()?.dataset.draft;
  if (!url || stopped || outbox.has(shownId())) return;
  tick();
  const key = mirror();
  if (outbox.waiting().length) { kept.set(key, read()); return; }
  const reply = await fetch(url, { method: "POST", body: new FormData(form()), headers: headers(), keepalive }).catch(() => null);
  if (reply?.ok) { kept.drop(key); return; }
  if (form()?.dataset.draft !== url || stopped) return;
  kept.set(key, read());
  if (!reply) return; // the next pause tries again
  const said = new DOMParser().parseFromString(await reply.text(), "text/html").querySelector(".message");
  if (!said) return;
  document.getElementById("problems").replaceChildren(said); // it stays there, which may be out of sight
  note(said.textContent, { kind: "error" });
}

/** Put back what only the browser kept of this comparison. */
export function restore() {
  const values = form()?.dataset.draft && kept.get(mirror());
  if (!values) return false;
  fill(values);
  announce(say("draftHere"));
  touched();
  return true;
}

document.addEventListener("visibilitychange", () => { if (document.hidden && timer) send({ keepalive: true }); });
addEventListener("pagehide", () => { if (timer) send({ keepalive: true }); });
setInterval(() => {
  const every = Math.min(RENEW_EVERY, (Number(screen()?.dataset.lease) || 180) * 1000 / 3);
  if (quiet() < AWAY_AFTER && performance.now() - sentAt >= every) send();
}, LOOK_EVERY);
