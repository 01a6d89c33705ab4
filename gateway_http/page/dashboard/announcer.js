// Sentences for screen readers: changes are collected, and announced at most every few seconds. Pure.

import { count, some } from "./format.js";

/** Time between two announcements, in ms. */
export const PAUSE = 5000;

const VERBS = { DOWN: ["is down", "are down"], SUSPECT: ["is suspect", "are suspect"], ALIVE: ["is alive again", "are alive again"], UNKNOWN: ["now has unknown liveness", "now have unknown liveness"] };

/** An announcer. `say(news, headline, now)` returns the text to announce now, or "". */
export function createAnnouncer() {
  let waiting = new Map();
  let saidHeadline = null;
  let quietUntil = 0;
  return {
    say(news, headline, now) {
      for (const { id, name, to } of news) waiting.set(id, { name, to });
      const turned = saidHeadline !== null && headline !== saidHeadline;
      saidHeadline ??= headline;
      if (now < quietUntil || (waiting.size === 0 && !turned)) return "";
      const sentences = [];
      for (const [word, [one, many]] of Object.entries(VERBS)) {
        const names = [...waiting.values()].filter((each) => each.to === word).map((each) => each.name);
        if (names.length > 4) sentences.push(`${count(names.length, "service", "services")} ${many}.`);
        else if (names.length > 0) sentences.push(`${some(names, 4)} ${names.length === 1 ? one : many}.`);
      }
      if (turned) sentences.push(`${headline}.`);
      waiting = new Map();
      saidHeadline = headline;
      quietUntil = now + PAUSE;
      return sentences.join(" ");
    },
  };
}
