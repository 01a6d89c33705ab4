// The list of services as lines: groups, and the rows in them that match the search. Pure.

import { GROUPS } from "./grouping.js";
import { rowsByGroup } from "./hierarchy.js";
import { isSure, lookOf, matches } from "./selectors.js";

/**
 * The lines to show, from above: {key, group, title, total, numbers, folded} for a group, {key, row, look} for a row.
 *
 * `words` must all match; `only` is a look, or null for all; `folded` holds the keys of closed groups, which is ignored while
 * there are search words. `numbers` counts the looks of all rows of the group, shown or not.
 */
export function linesOf(state, { words, only, folded }, now) {
  const sure = isSure(state, now);
  const grouped = rowsByGroup(state, now);
  const searching = words.length > 0 || only !== null;
  const lines = [];
  for (const { key, title } of GROUPS) {
    const rows = grouped.get(key);
    if (rows === undefined) continue;
    const numbers = { ok: 0, attention: 0, suspect: 0, down: 0, unknown: 0, gone: 0 };
    const isFolded = folded.has(key) && !searching;
    const head = { key: `\u0000${key}`, group: key, title, total: rows.length, numbers, folded: isFolded };
    const shown = [];
    for (const row of rows) {
      const look = lookOf(row, sure);
      numbers[look] += 1;
      if (isFolded || (only !== null && look !== only) || (words.length > 0 && !matches(row, words, look))) continue;
      shown.push({ key: row.id, row, look });
    }
    if (searching && shown.length === 0) continue;
    lines.push(head);
    for (const line of shown) lines.push(line);
  }
  return lines;
}

/** The words of the search text, all of which must match. */
export function wordsOf(query) {
  return query.toLowerCase().split(/\s+/).filter((word) => word !== "");
}

/** The offset of each line in px, followed by the height of the whole list. */
export function offsetsOf(lines, groupHeight, rowHeight) {
  const offsets = new Float64Array(lines.length + 1);
  for (let at = 0; at < lines.length; at += 1) offsets[at + 1] = offsets[at] + (lines[at].group === undefined ? rowHeight : groupHeight);
  return offsets;
}

/** The first line that reaches below `top`: a binary search in `offsets`. */
export function lineAt(offsets, top) {
  let low = 0;
  let high = offsets.length - 2;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (offsets[middle + 1] > top) high = middle;
    else low = middle + 1;
  }
  return Math.max(0, low);
}
