// The list of claims: asks the node every few seconds and draws what changed. Nothing is loaded from elsewhere.
"use strict";

const EVERY_MS = 5000;
const AT_ONCE = 100;
// Every verdict in words and with a mark of its own, never in colour alone.
const VERDICTS = {
  CONTRADICTS: ["✖ contradicts", "urgent"],
  NO_EVIDENCE: ["○ no evidence", "attention"],
  REPORT_MISSING: ["◔ report missing", "attention"],
  PARTIAL: ["◑ partial", "attention"],
  SUPPORTS: ["● supports", "good"],
};
const list = { claims: [], shown: [], limit: AT_ONCE, more: false, selected: null, said: "", failed: false };
const at = (id) => document.getElementById(id);

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function button(text, act, attributes = {}) {
  const made = make("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", act);
  return made;
}

// The answer as JSON; an Error with the node's own sentence where it refuses.
async function ask(path, options = {}) {
  const answer = await fetch(path, { credentials: "same-origin", ...options, headers: { Accept: "application/json", ...options.headers } });
  if (answer.status === 401) location.assign("/login?next=/claims");
  const text = await answer.text();
  if (!answer.ok) throw new Error(text ? (JSON.parse(text).detail ?? text) : `${answer.status}`);
  return text ? JSON.parse(text) : null;
}

const post = (path, body, headers = {}) =>
  ask(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", ...headers } });

async function update() {
  const wanted = new URLSearchParams({ limit: list.limit });
  if (at("state").value) wanted.set("state", at("state").value);
  if (at("to-do").checked) wanted.set("with_prompts", "true");
  try {
    const answer = await ask(`/api/v1/claims?${wanted}`);
    list.failed = false;
    const said = JSON.stringify(answer);
    if (said !== list.said) {
      list.said = said;
      list.claims = answer.claims;
      list.more = answer.next_offset !== null;
      draw();
    }
  } catch (error) {
    list.failed = true;
    drawCounts(error.message);
  }
}

function isShown(claim) {
  const text = [claim.number, ...claim.procedures, ...claim.bodies, claim.verdict, claim.service_date].join(" ").toLowerCase();
  return at("find").value.trim().toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function draw() {
  const focused = document.activeElement?.dataset?.claim;
  list.shown = list.claims.filter(isShown);
  at("claims").replaceChildren(...list.shown.map((claim) => make("li", {}, entry(claim))));
  at("empty").hidden = list.shown.length > 0;
  at("empty").textContent = list.claims.length ? "No claim fits the filter." : "No claim has anything to do.";
  at("more").hidden = !list.more;
  if (focused) at("claims").querySelector(`[data-claim="${CSS.escape(focused)}"]`)?.focus();
  drawCounts();
  const newest = list.claims.find((claim) => claim.id === list.selected);
  if (!list.selected && list.shown.length) select(list.shown[0].id);
  else if (newest) refresh(newest);
}

function entry(claim) {
  const made = button("", () => select(claim.id), {
    "data-claim": claim.id, "aria-current": claim.id === list.selected ? "true" : null,
  });
  made.append(
    make("div", {}, verdict(claim.verdict, claim.refusal), ` ${claim.number}`),
    make("div", { class: "quiet" }, `${claim.procedures.join(" ")} · ${claim.bodies.join(" ") || "no body named"} · ${claim.service_date}`),
    make("div", { class: "quiet" }, todo(claim)));
  return made;
}

function verdict(code, refusal) {
  const [words, tone] = refusal ? ["! cannot be judged", "urgent"] : (VERDICTS[code] ?? ["not judged", "none"]);
  return make("span", { class: `badge ${tone}` }, words);
}

function todo(claim) {
  if (claim.use === "preauthorization") return `before the procedure · ${claim.prompts} to do`;
  return `${claim.prompts} to do${claim.state === "closed" ? " · closed" : ""}`;
}

function drawCounts(fault = null) {
  const text = fault !== null
    ? `The node does not answer: ${fault} What is shown may be old.`
    : `${list.shown.length} of ${list.claims.length}${list.more ? "+" : ""} claims`;
  if (at("counts").textContent !== text) at("counts").textContent = text;
  at("counts").className = fault !== null ? "attention" : "";
}

function select(id) {
  list.selected = id;
  for (const made of at("claims").querySelectorAll("button")) {
    if (made.dataset.claim === id) made.setAttribute("aria-current", "true");
    else made.removeAttribute("aria-current");
  }
  open(id);
}

function move(step) {
  const place = list.shown.findIndex((claim) => claim.id === list.selected);
  const next = list.shown[Math.min(Math.max(place + step, 0), list.shown.length - 1)];
  if (!next) return;
  select(next.id);
  at("claims").querySelector(`[data-claim="${CSS.escape(next.id)}"]`)?.focus();
}

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  Enter: () => (at("claim").querySelector(".todo button") ?? at("claim")).focus(),
  r: () => askReport(),
  a: () => at("attach")?.click(),
  "/": () => at("find").focus(),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select, textarea") || at("ask").open;
  if (event.key === "Escape" && event.target.id === "find") event.target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  if (event.key === "Enter" && !event.target.matches("body, #claims button")) return;
  event.preventDefault();
  KEYS[event.key]();
});
at("find").addEventListener("input", draw);
for (const id of ["state", "to-do"]) at(id).addEventListener("change", () => { list.selected = null; list.said = ""; update(); });
at("more").addEventListener("click", () => { list.limit = Math.min(list.limit + AT_ONCE, 1000); update(); });
document.addEventListener("DOMContentLoaded", () => {
  at("hand-in").addEventListener("click", askClaim);
  update();
  setInterval(update, EVERY_MS);
});
