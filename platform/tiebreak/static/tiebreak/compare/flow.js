// From one comparison to the next. The next one was fetched ahead and is shown at once, while the answer goes by way of
// the outbox. Without one fetched ahead, htmx sends the answer and shows what comes back.

import { announce } from "../app.js";
import { quiet, tick } from "./active.js";
import { clearProblem, fill, read, showProblem } from "./answer.js";
import * as drafts from "./drafts.js";
import { message, note } from "./notes.js";
import * as outbox from "./outbox.js";
import { form, headers, kept, say, screen, shownId, userId } from "./screen.js";

const SETTLE = 250; // ms before the next comparison is asked for
const TWICE = 800; // ms within which nobody reads and answers
const AGAIN = 5_000; // ms before the next comparison is asked for once more

const listeners = [];
const left = new Map(); // assignment → its screen, until the server has taken the answer
const tabs = "BroadcastChannel" in window ? new BroadcastChannel("tiebreak-compare") : null;
let ahead = null; // {assignment, node}
let undoable = null; // {assignment, url, timer}
let goingOn = false;
let asking = false;
let arrivedAt = 0;
let untouched = true; // nothing was chosen or typed since the comparison came
let answered = ""; // what htmx is sending

/** Call `listener` whenever a comparison comes to be shown. */
export const onArrival = (listener) => listeners.push(listener);

const isHeld = () => screen()?.inert ?? false;

// Arriving

/** The comparison that is on the page was just put there. */
export function arrive() {
  if (!form()) { showUnsent(); return; }
  arrivedAt = performance.now();
  untouched = true;
  for (const listener of listeners) listener();
  bar.disconnect();
  bar.observe(form().querySelector(".answer"));
  offerServersUndo();
  if (outbox.has(shownId())) hold(); // a reload before the answer was sent
  else drafts.restore();
  showUnsent();
  setTimeout(fetchAhead, SETTLE);
}

function focusPrompt() {
  const heading = document.getElementById("prompt-title");
  heading?.focus({ preventScroll: true });
  const problem = document.querySelector("#comparison [role=alert]");
  announce(problem?.textContent ?? heading?.textContent ?? "");
}

function show(node) {
  screen().replaceWith(node);
  window.htmx.process(node);
  window.htmx.trigger(node, "htmx:load", { elt: node });
  arrive();
  scrollTo({ top: 0, behavior: "instant" });
  focusPrompt();
}

// Ahead

async function fetchAhead() {
  const [url, here] = [screen()?.dataset.ahead, shownId()];
  if (!url || asking || isHeld() || outbox.waiting().length) return;
  asking = true;
  const reply = await fetch(url, { method: "POST", headers: headers() }).catch(() => null);
  asking = false;
  if (shownId() !== here || !reply) return;
  const page = reply.status === 200 && !reply.redirected ? new DOMParser().parseFromString(await reply.text(), "text/html") : null;
  const node = page?.getElementById("comparison");
  const assignment = node?.dataset.assignment;
  if (ahead?.assignment === assignment && assignment) return;
  ahead = assignment && assignment !== here ? { assignment, node: document.adoptNode(node) } : null;
  if (!ahead) return;
  node.querySelector("#undo-offered")?.remove(); // it belongs to the screen that was shown then
  for (const picture of node.querySelectorAll("img[src]")) new Image().src = picture.src;
  screen().dataset.ready = assignment;
}

setInterval(() => { if (quiet() < drafts.AWAY_AFTER) fetchAhead(); }, drafts.AWAY_AFTER);

// Answering

function onSubmit(event) {
  tick();
  if (event.target.id === "pause") return pause(event);
  if (event.target !== form()) return undefined;
  if (untouched && performance.now() - arrivedAt < TWICE) { // the second half of a double press meant the one before
    event.preventDefault();
    event.stopPropagation();
    return undefined;
  }
  answered = shownId();
  if (event.submitter?.matches("[data-skip]") || !answered || "revising" in screen().dataset) return undefined;
  if (isHeld()) { event.preventDefault(); event.stopPropagation(); return undefined; }
  const offline = !navigator.onLine || outbox.waiting().length;
  if (!ahead && !offline) return undefined; // htmx sends it, and shows what comes
  event.preventDefault();
  event.stopPropagation();
  performance.mark("answer");
  answer();
  requestAnimationFrame(() => performance.measure("next comparison shown", "answer"));
  return undefined;
}

// Lay the answer into the outbox and go on at once, or wait here where nothing was fetched ahead.
function answer() {
  const [assignment, node, next] = [shownId(), screen(), ahead];
  const entry = { assignment, url: form().action, values: read(), again: "again" in node.dataset };
  clearProblem();
  drafts.stop();
  drafts.stop(false);
  left.set(assignment, node);
  offerUndo({ assignment });
  ahead = null;
  delete node.dataset.ready;
  if (next) show(next.node);
  outbox.put(entry);
  if (!next) hold();
}

// The answer to this comparison is on its way: it stands still until it is known to be taken.
function hold() {
  screen().inert = true;
  showUnsent();
}

async function goOn() {
  if (goingOn) return;
  goingOn = true;
  ahead = null;
  const here = screen();
  const swap = { target: "#comparison", swap: "outerHTML show:window:top" };
  await Promise.resolve(window.htmx.ajax("GET", here.dataset.next, swap)).catch(() => null);
  goingOn = false;
  if (screen() === here && here.inert) setTimeout(goOn, AGAIN);
}

function onSent({ assignment, reply }) {
  const ours = left.delete(assignment);
  drafts.forget(assignment);
  if (undoable?.assignment === assignment) {
    undoable.url = reply.revise_url;
    if (!reply.revise_url) hideUndo();
    else if (undoable.wanted) location.assign(reply.revise_url);
  }
  if (assignment === shownId()) { goOn(); return; }
  // What another tab has sent may still seem to wait: the browser tells this tab of the storage a little later.
  if (!ours || outbox.waiting().some((entry) => entry.assignment !== assignment)) return;
  if (!form()) { if (screen()?.dataset.next) goOn(); return; } // something may have become free
  // The comparison fetched ahead is ours now; where the server gave another one, nobody has begun this one in vain.
  if (String(reply.next) !== shownId() && untouched) { goOn(); return; }
  if (!untouched) drafts.touched(); // only the browser had it till now
  fetchAhead();
}

function onRefused({ assignment, reply, entry }) {
  const node = left.get(assignment) ?? (assignment === shownId() ? screen() : null);
  left.delete(assignment);
  hideUndo();
  if (reply.code === "already_submitted") {
    drafts.forget(assignment);
    if (entry.again) note(say("arrivedBefore"), { previous: screen().querySelector("[data-act=previous]")?.href });
    if (assignment === shownId()) goOn();
    return;
  }
  if (!node) { // another screen stands here since a reload: it waits as a draft until it is shown again
    kept.set(`tiebreak:draft:${userId()}:${assignment}`, entry.values);
    document.getElementById("problems").replaceChildren(message(`${say("refused")} ${reply.message}`, "error"));
    return;
  }
  const other = shownId();
  if (node !== screen()) {
    ahead = { assignment: other, node: screen() };
    node.inert = false;
    show(node);
  }
  node.inert = false;
  fill(entry.values);
  const lost = reply.status === 409;
  showProblem(reply, lost ? { href: screen().dataset.next, words: say("next") } : null);
  announce(`${say("refused")} ${reply.message}`);
  if (!lost) drafts.touched(); // the server keeps what came too late
}

// Another tab of the same person sent what lay in the outbox, or answered what stands here.
function onOtherTab({ data }) {
  if (data.user !== userId()) return;
  if (left.has(data.assignment) && data.reply) { (data.kind === "refused" ? onRefused : onSent)(data); return; }
  if (data.kind === "refused") return;
  drafts.forget(data.assignment);
  if (data.assignment === shownId() && !isHeld()) {
    drafts.stop();
    drafts.stop(false);
    note(say("answeredElsewhere"));
    goOn();
  } else if (data.assignment === shownId()) goOn();
  else if (ahead?.assignment === data.assignment) { ahead = null; fetchAhead(); }
}

async function pause(event) {
  if (!drafts.dirty()) return;
  event.preventDefault();
  event.stopPropagation();
  await drafts.send();
  event.target.submit();
}

// Undo

function offerUndo(offer, seconds = 10) {
  hideUndo();
  undoable = { ...offer, timer: setTimeout(hideUndo, seconds * 1000) };
  document.getElementById("undo").hidden = false;
}

function hideUndo() {
  if (undoable?.wanted && outbox.has(undoable.assignment)) return;
  clearTimeout(undoable?.timer);
  undoable = null;
  const box = document.getElementById("undo");
  if (box) box.hidden = true;
}

function offerServersUndo() {
  const offered = document.getElementById("undo-offered");
  if (!offered) return;
  offered.remove();
  offerUndo({ assignment: "", url: offered.dataset.url }, Number(offered.dataset.seconds));
}

/** Take the last answer back: out of the outbox where it still lies there, else by opening it again. */
export async function undo() {
  if (!undoable) return;
  const { assignment, url } = undoable;
  if (outbox.take(assignment)) {
    const node = left.get(assignment);
    left.delete(assignment);
    hideUndo();
    note(say("takenBack"));
    node.inert = false;
    renew(node);
    if (node === screen()) { showUnsent(); return; }
    ahead = { assignment: shownId(), node: screen() };
    show(node);
    return;
  }
  if (drafts.dirty()) drafts.send({ keepalive: true });
  if (url) location.assign(url);
  else undoable.wanted = true; // it is on its way: as soon as it has arrived
}

// The server may have the answer that was taken back, since a reply can be lost: under its key it would take no other.
function renew(node) {
  const bytes = [...crypto.getRandomValues(new Uint8Array(16))];
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  node.querySelector("[name=key]").value = hex.replace(/^(.{12}).(.{3}).(.{3})/, "$14$2a$3");
  node.dataset.again = "";
}

// Words, above the answer

const bar = new ResizeObserver(([entry]) => {
  document.documentElement.style.setProperty("--answer", `${entry.borderBoxSize[0].blockSize}px`);
});

// An answer that goes through at once is not worth a word.
let unsentTimer = 0;

function showUnsent() {
  const box = document.getElementById("unsent");
  if (!box) return;
  const n = outbox.waiting().length;
  clearTimeout(unsentTimer);
  if (!n) { box.hidden = true; return; }
  const tell = () => {
    if (!outbox.waiting().length) return;
    const words = outbox.why() === "signed-out" ? say("signedOut")
      : isHeld() && outbox.why() ? say("waitingLast") : isHeld() ? say("sending") : say("waiting", { n });
    const line = message(words);
    line.className = "";
    if (outbox.why() === "signed-out") {
      const link = document.createElement("a");
      link.href = `${document.getElementById("words").dataset.login}?next=${encodeURIComponent(location.pathname)}`;
      link.target = "_blank";
      link.rel = "noopener";
      link.textContent = say("signIn");
      line.append(" ", link);
    }
    if (box.textContent !== line.textContent) box.replaceChildren(line);
    box.hidden = false;
  };
  if (outbox.why()) tell(); else unsentTimer = setTimeout(tell, 1_000);
}

// Wiring

for (const kind of ["input", "change"]) {
  document.addEventListener(kind, (event) => { if (form()?.contains(event.target)) untouched = false; });
}

document.addEventListener("submit", onSubmit, true);
document.addEventListener("htmx:beforeRequest", (event) => {
  if (["POST", "GET"].includes(event.detail.requestConfig?.verb?.toUpperCase()) && event.detail.target?.id === "comparison") drafts.stop();
});
document.addEventListener("htmx:afterRequest", (event) => {
  drafts.stop(false);
  if (event.detail.target?.id !== "comparison" || !event.detail.successful || !answered) return;
  drafts.forget(answered);
  tabs?.postMessage({ kind: "sent", user: userId(), assignment: answered });
  answered = "";
});
document.addEventListener("htmx:sendError", (event) => {
  if (event.detail.elt !== form() || !shownId() || "revising" in screen().dataset) return;
  document.getElementById("problems")?.replaceChildren();
  answer();
});
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target?.id !== "comparison" && event.detail.elt?.id !== "comparison") return;
  ahead = null;
  arrive();
  focusPrompt();
});
// A flag or a comment was taken: its form closes, empty for the next time; refused, it stays open with what was typed.
document.addEventListener("htmx:afterRequest", (event) => {
  const sent = event.target.closest?.("[data-closes]");
  if (!sent || !event.detail.successful) return;
  sent.reset();
  sent.hidePopover?.();
});
document.addEventListener("click", (event) => { if (event.target.closest?.("#undo button")) undo(); });
tabs?.addEventListener("message", onOtherTab);
for (const [kind, act] of [["sent", onSent], ["refused", onRefused]]) {
  outbox.on(kind, (what) => { tabs?.postMessage({ ...what, kind, user: userId() }); act(what); });
}
outbox.on("changed", () => { showUnsent(); onOtherSender(); });

// Another tab may have sent what this one holds, or all that it waited for.
function onOtherSender() {
  if (!ahead && !outbox.waiting().length) setTimeout(() => { if (!ahead) fetchAhead(); }, SETTLE);
  if (isHeld() && !outbox.has(shownId()) && !goingOn) setTimeout(() => { if (isHeld() && !outbox.has(shownId())) goOn(); }, 500);
}
