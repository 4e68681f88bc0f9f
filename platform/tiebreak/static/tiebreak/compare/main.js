// The comparing screen. What is on the page works without this; here are the keys, the drafts and the flow.

import "./active.js";
import { sign } from "./active.js";
import { refresh } from "./answer.js";
import { hide as hideDifference, toggle as toggleDifference } from "./difference.js";
import * as drafts from "./drafts.js";
import * as evidence from "./evidence.js";
import * as flow from "./flow.js";
import * as keys from "./keys.js";
import * as outbox from "./outbox.js";
import * as reading from "./reading.js";
import { form } from "./screen.js";

const TOOLS = { diff: toggleDifference, scroll: reading.toggleTogether, fold: reading.toggleFolds };

flow.onArrival(() => {
  keys.arrive();
  hideDifference();
  reading.arrive();
  refresh();
  evidence.show();
  sign();
  form().addEventListener("filled", evidence.show);
});

document.addEventListener("input", (event) => {
  if (!form()?.contains(event.target)) return;
  refresh();
  if (event.target.name !== "skip_reason") drafts.touched();
});
document.addEventListener("click", (event) => {
  TOOLS[event.target.closest?.(".reading [data-act]")?.dataset.act]?.();
});

flow.arrive();
outbox.flush();
