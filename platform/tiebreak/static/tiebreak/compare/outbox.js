// The outbox: an answer lies here, in the browser's storage, until the server has taken or refused it. It survives a
// lost connection, a reload and a crash; its key makes it one judgement however often it is sent.

import { headers, kept, say, userId } from "./screen.js";

const PREFIX = "tiebreak:answer:";
const PATIENCE = 30_000; // ms for one try
const LONGEST = 60_000; // ms between two tries
const RETRY = new Set([408, 425, 429, 500, 502, 503, 504]);

const name = (assignment) => `${PREFIX}${userId()}:${assignment}`;
const events = new EventTarget();
let inFlight = "";
let tries = 0;
let timer = 0;
let held = null; // "signed-out", "offline", or null
const unstored = new Map(); // where there is no storage, the page itself keeps them

/** Listen: `sent` and `refused` with {assignment, reply}, `changed` with nothing. */
export function on(kind, listener) {
  events.addEventListener(kind, (event) => listener(event.detail));
}

const tell = (kind, detail) => events.dispatchEvent(new CustomEvent(kind, { detail }));

/** What waits, oldest first. */
export function waiting() {
  const stored = kept.keys(`${PREFIX}${userId()}:`).map(kept.get).filter((entry) => entry?.url);
  return [...stored, ...unstored.values()].sort((one, other) => one.at - other.at);
}

export const has = (assignment) => waiting().some((entry) => entry.assignment === assignment);
export const why = () => held;

/** Lay an answer in, and try to send it. */
export function put(entry) {
  const whole = { ...entry, at: Math.max(Date.now(), 1 + (waiting().at(-1)?.at ?? 0)) }; // whatever the clock does
  if (!kept.set(name(entry.assignment), whole)) unstored.set(entry.assignment, whole);
  tell("changed");
  flush();
}

/** Take an answer out again, if it is not on its way; says whether it was. */
export function take(assignment) {
  if (inFlight === assignment || !has(assignment)) return false;
  drop(assignment);
  return true;
}

function drop(assignment) {
  kept.drop(name(assignment));
  unstored.delete(assignment);
  tell("changed");
}

/** Send what waits, in its order, from one tab at a time. */
export async function flush() {
  if (inFlight || !userId() || !waiting().length) return;
  clearTimeout(timer);
  inFlight = "-";
  const alone = navigator.locks
    ? (work) => navigator.locks.request("tiebreak-outbox", { ifAvailable: true }, (lock) => lock && work())
    : (work) => work();
  try {
    await alone(sendAll);
  } finally {
    inFlight = "";
  }
  if (!waiting().length) { tries = 0; return; }
  tries += 1;
  timer = setTimeout(flush, Math.min(LONGEST, 1000 * 2 ** Math.min(tries - 1, 6)));
}

async function sendAll() {
  for (let entry = waiting()[0]; entry; entry = waiting()[0]) {
    inFlight = entry.assignment;
    const [outcome, reply] = await send(entry);
    held = outcome === "signed-out" || outcome === "offline" ? outcome : null;
    if (outcome !== "sent" && outcome !== "refused") { tell("changed"); return; }
    inFlight = "-";
    tries = 0;
    drop(entry.assignment);
    tell(outcome, { assignment: entry.assignment, reply, entry });
  }
}

async function send({ url, values }) {
  const body = new URLSearchParams(values);
  let reply;
  try {
    reply = await fetch(url, {
      method: "POST", body, headers: headers({ Accept: "application/json" }), signal: AbortSignal.timeout(PATIENCE),
    });
  } catch { return ["offline"]; }
  if (RETRY.has(reply.status)) return ["offline"];
  const said = await reply.json().catch(() => null);
  if (reply.ok && said && !reply.redirected) return ["sent", said];
  // Signed out, or the token of a session that has ended: the answer is good, the sender is not known.
  if (reply.ok || reply.status === 401 || (reply.status === 403 && !said)) return ["signed-out"];
  return ["refused", { status: reply.status, message: say("gone"), errors: {}, ...said }];
}

const again = () => { tries = 0; flush(); };
addEventListener("online", again);
addEventListener("focus", again);
addEventListener("pageshow", again);
document.addEventListener("visibilitychange", () => { if (!document.hidden) again(); });
addEventListener("beforeunload", (event) => { if (unstored.size) event.preventDefault(); });
addEventListener("storage", (event) => { if (event.key?.startsWith(PREFIX)) tell("changed"); });
