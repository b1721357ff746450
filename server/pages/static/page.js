// What every page of this node needs: elements, and asking the node. Nothing is loaded from elsewhere.
"use strict";

const at = (id) => document.getElementById(id);

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

function select(options, chosen) {
  const control = make("select");
  for (const [value, text] of options) control.append(make("option", { value }, text));
  control.value = chosen;
  return control;
}

function button(words, act, attributes = {}) {
  const made = make("button", { type: "button", ...attributes }, ...[words].flat());
  made.addEventListener("click", act);
  return made;
}

// The answer to a GET; who is not signed in (any more) is sent to sign in, and comes back to this page.
async function ask(path, type) {
  const answer = await fetch(path, { headers: { Accept: type }, credentials: "same-origin" });
  if (answer.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `The node answered ${answer.status}.`);
  return answer;
}

async function read(path, type = "application/json") {
  const answer = await ask(path, type);
  return answer.status === 204 ? [] : answer.json();
}
