// Active time: counted while the page is seen and someone moves, reads on or types. Its clock never runs backwards.

import { form } from "./screen.js";

const IDLE_AFTER = 30_000; // ms without a sign of life: later time is not counted
const TICK = 1_000;

let lastSign = performance.now();
let lastTick = performance.now();

/** Somebody is there. */
export function sign() {
  lastSign = performance.now();
}

/** Milliseconds since the last sign of life. */
export function quiet() {
  return performance.now() - lastSign;
}

/** Add what has passed since the last tick; a gap, as of a machine asleep, counts for two ticks at most. */
export function tick() {
  const now = performance.now();
  const field = form()?.elements.active_ms;
  if (field && !document.hidden && now - lastSign < IDLE_AFTER) {
    field.value = Math.round(Number(field.value) + Math.min(now - lastTick, 2 * TICK));
  }
  lastTick = now;
}

for (const kind of ["pointermove", "pointerdown", "keydown", "wheel", "touchmove", "scroll"]) {
  document.addEventListener(kind, sign, { passive: true, capture: true });
}
setInterval(tick, TICK);
