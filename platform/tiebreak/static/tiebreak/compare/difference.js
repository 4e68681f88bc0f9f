// What the two responses do not have in common, word by word: a longest common subsequence of the shown words.

import { announce } from "../app.js";
import { mark } from "./marks.js";
import { bodies, count, say, screen } from "./screen.js";
import { shown } from "./text.js";

const MAX_WORDS = 20_000; // of both together
const MAX_CELLS = 400_000; // of one table; longer stretches are cut at words that both have once

/** [{word, start, end}] of a text; scripts without spaces are cut where the browser knows their words. */
export function wordsOf(text) {
  if (!Intl.Segmenter) return [...text.matchAll(/\p{L}[\p{L}\p{M}\p{N}'’]*|\p{N}+|[^\s]/gu)].map(token);
  const cut = new Intl.Segmenter(undefined, { granularity: "word" }).segment(text);
  return [...cut].filter(({ segment }) => segment.trim()).map(({ segment, index }) => token({ 0: segment, index }));
}

function token(found) {
  return { word: found[0], start: found.index, end: found.index + found[0].length };
}

/** For each word of `a` and of `b`, whether it belongs to the common subsequence. */
export function common(a, b) {
  const same = { a: new Uint8Array(a.length), b: new Uint8Array(b.length) };
  const parts = [[0, a.length, 0, b.length]];
  while (parts.length) {
    let [a0, a1, b0, b1] = parts.pop();
    while (a0 < a1 && b0 < b1 && a[a0] === b[b0]) same.a[a0++] = same.b[b0++] = 1;
    while (a0 < a1 && b0 < b1 && a[a1 - 1] === b[b1 - 1]) same.a[--a1] = same.b[--b1] = 1;
    if (a0 === a1 || b0 === b1) continue;
    if ((a1 - a0) * (b1 - b0) <= MAX_CELLS) { table(a, b, a0, a1, b0, b1, same); continue; }
    let [i, j] = [a0, b0];
    for (const [x, y] of anchors(a, b, a0, a1, b0, b1)) {
      parts.push([i, x, j, y]);
      same.a[x] = same.b[y] = 1;
      [i, j] = [x + 1, y + 1];
    }
    if (i > a0) parts.push([i, a1, j, b1]); // without any anchor the stretch counts as different throughout
  }
  return same;
}

function table(a, b, a0, a1, b0, b1, same) {
  const width = b1 - b0 + 1;
  const best = new Uint16Array((a1 - a0 + 1) * width);
  for (let i = a1 - a0 - 1; i >= 0; i -= 1) {
    for (let j = width - 2; j >= 0; j -= 1) {
      best[i * width + j] = a[a0 + i] === b[b0 + j]
        ? best[(i + 1) * width + j + 1] + 1
        : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    }
  }
  for (let i = 0, j = 0; a0 + i < a1 && b0 + j < b1;) {
    if (a[a0 + i] === b[b0 + j]) { same.a[a0 + i++] = 1; same.b[b0 + j++] = 1; }
    else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) i += 1;
    else j += 1;
  }
}

// Words that both stretches have exactly once, as the longest run of pairs that rises on both sides.
function anchors(a, b, a0, a1, b0, b1) {
  const places = new Map();
  for (let i = a0; i < a1; i += 1) places.set(a[i], places.has(a[i]) ? null : { i });
  for (let j = b0; j < b1; j += 1) {
    const place = places.get(b[j]);
    if (place) place.j = place.j === undefined ? j : -1;
  }
  const pairs = [...places.values()].filter((place) => place && place.j >= 0);
  const tops = []; // of each pile its top pair, which knows the pair before it
  for (const pair of pairs) {
    let low = 0;
    let high = tops.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (tops[middle].j < pair.j) low = middle + 1; else high = middle;
    }
    pair.before = tops[low - 1];
    tops[low] = pair;
  }
  const run = [];
  for (let pair = tops.at(-1); pair; pair = pair.before) run.push([pair.i, pair.j]);
  return run.reverse();
}

// Neighbouring words that differ are marked as one stretch.
function stretches(body, words, same) {
  const found = [];
  words.forEach(({ start, end }, index) => {
    if (same[index]) return;
    if (index && !same[index - 1] && found.length) found.at(-1).end = end;
    else found.push({ body, start, end });
  });
  return found;
}

const share = (same) => (same.length ? Math.round((100 * same.filter((one) => !one).length) / same.length) : 0);

/** Show the differences, or show them no more. */
export function toggle() {
  const button = screen()?.querySelector("[data-act=diff]");
  const legend = document.getElementById("difference-legend");
  if (!button || !legend) return;
  const on = button.getAttribute("aria-pressed") !== "true";
  if (!on) { hide(); return; }
  const { words, marked } = compare();
  button.setAttribute("aria-pressed", String(marked));
  legend.hidden = false;
  legend.textContent = words;
  legend.dataset.marked = marked;
  announce(words);
}

/** Show no differences. */
export function hide() {
  mark("only-here", []);
  screen()?.querySelector("[data-act=diff]")?.setAttribute("aria-pressed", "false");
  const legend = document.getElementById("difference-legend");
  if (legend) legend.hidden = true;
}

function compare() {
  const sides = bodies();
  const words = sides.map((body) => wordsOf(shown(body).text));
  const n = words[0].length + words[1].length;
  if (n > MAX_WORDS) return { words: say("tooLong", { n: count(n), m: count(MAX_WORDS) }), marked: false };
  const same = common(words[0].map(({ word }) => word), words[1].map(({ word }) => word));
  const found = [...stretches(sides[0], words[0], same.a), ...stretches(sides[1], words[1], same.b)];
  mark("only-here", found);
  if (!found.length) return { words: say("sameWords"), marked: true };
  return { words: say("onlyHere", { a: share(same.a), b: share(same.b) }), marked: true };
}
