// The group of a service. Labels decide; the name rules of the legacy dashboard are the fallback.

export const GROUPS = [
  { key: "core", title: "Core Services" },
  { key: "architect", title: "Architect" },
  { key: "directors", title: "Directors" },
  { key: "managers", title: "Managers" },
  { key: "programmers", title: "Programmers" },
  { key: "other", title: "Other Services" },
];

const BY_WORD = new Map([
  ["core", "core"],
  ["infrastructure", "core"],
  ["gateway", "core"],
  ["root", "core"],
  ["architect", "architect"],
  ["director", "directors"],
  ["manager", "managers"],
  ["programmer", "programmers"],
]);

// Core by the intent of the legacy page, though its rules put them elsewhere; asked before these rules.
const CORE_NAMES = ["event stream", "resource manager", "token governor"];

const BY_NAME = [
  ["architect", ["architect"]],
  ["directors", ["director", "dir-"]],
  ["managers", ["manager", "mgr-"]],
  ["programmers", ["programmer", "prog-"]],
  ["core", ["gateway", "pas root", "registry", "heartbeat", "webui", "hmi", "events", "router", "aider"]],
];

// As a word of its own: "Electron Builder" is not TRON.
const TRON = /(^|[^a-z])tron([^a-z]|$)/;

/** The key of the group of a service, from its name and its labels `tier` and `agent_role`. */
export function groupOf({ name, tier, agent_role: role }) {
  if (word(tier) === "core") return "core";
  const labelled = BY_WORD.get(word(role)) ?? BY_WORD.get(word(tier));
  if (labelled !== undefined) return labelled;
  const lower = String(name ?? "").toLowerCase();
  if (CORE_NAMES.some((each) => lower.includes(each))) return "core";
  for (const [group, parts] of BY_NAME) {
    if (parts.some((part) => lower.includes(part))) return group;
  }
  return TRON.test(lower) ? "core" : "other";
}

// A label as a word: "3-programmer" and "Programmer" say the same, 3 says nothing.
function word(label) {
  return typeof label === "string" ? label.toLowerCase().replace(/^[\d\s_-]+/, "").trim() : "";
}
