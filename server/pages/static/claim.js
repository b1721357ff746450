// One claim: its bodies, what is still to be done, the criteria, and what a person does about it.
"use strict";

const claim = { id: null, evaluation: null, actions: 0, data: null };
const of = (path = "") => `/api/v1/claims/${encodeURIComponent(claim.id)}${path}`;
const CRITERION = { met: ["✔ met", "good"], "not met": ["✖ not met", "urgent"], "not determinable": ["? not determinable", "attention"] };
const SOURCE = { dicom: ", from the PACS", hl7v2: ", by the report feed" };
const WORDS = {
  received: "handed in", report_added: "added a report", prompt_accepted: "took on", overridden: "went on without",
  noted: "noted", closed: "closed the claim", reopened: "opened the claim again", attached: "sent an attachment", exported: "exported",
};

async function open(id) {
  claim.id = id;
  try {
    const data = await ask(of("/history"));
    if (claim.id !== id) return;
    claim.data = data;
    claim.evaluation = data.evaluation;
    claim.actions = data.actions.length;
    drawClaim(data);
  } catch (error) {
    at("claim").replaceChildren(make("p", { class: "urgent", role: "alert" }, error.message));
  }
}

// The list says that something changed: what is open is read again, without taking the focus away.
function refresh(line) {
  if (line.evaluation !== claim.evaluation && claim.id === line.id && !at("ask").open) open(line.id);
}

function drawClaim(data) {
  const made = data.evaluations.at(-1);
  const evidence = made?.evidence;
  const parts = [heading(data, made)];
  if (made?.refusal) parts.push(make("p", { class: "card urgent", role: "alert" }, made.refusal));
  if (evidence) {
    parts.push(todoOf(evidence, data), bodiesOf(evidence), criteriaOf(evidence), factsOf(evidence));
  }
  parts.push(reportsOf(data), packetOf(evidence), attachmentsOf(data), leftOut(made), historyOf(data));
  at("claim").replaceChildren(...parts.filter(Boolean));
}

function heading(data, made) {
  const close = data.state === "open"
    ? button("Close the claim", () => decide("closed"))
    : button("Open the claim again", () => askReason("Open the claim again", (reason) => decide("reopened", { reason })));
  const policy = made?.evidence ? `by ${made.evidence.policy}, version ${made.evidence.policy_version}` : "";
  return make("div", { class: "card" },
    make("h2", {}, `Claim ${data.number} `, verdict(data.verdict, data.refusal)),
    make("p", {}, `${data.use === "claim" ? "Service" : "Planned service"} of ${data.service_date}, ${data.procedures.join(", ")}` +
      ` at ${data.bodies.join(", ") || "no body that is named"}; onset ${data.claim.onset_date ?? "not given"}.`),
    make("p", { class: "quiet" }, `Judged ${made ? clock(made.evaluated_at) : "never"} ${policy}. ${data.state === "open" ? "" : "Closed: not judged again."}`),
    make("div", { class: "actions" }, close));
}

const clock = (seconds) => new Date(seconds * 1000).toLocaleString();

function todoOf(evidence, data) {
  const items = evidence.prompts.map((prompt) => {
    const done = data.actions.filter((a) => a.about === prompt.code && a.body === (prompt.body ?? "") && ["prompt_accepted", "overridden"].includes(a.action)).at(-1);
    const named = `${prompt.body ? `${prompt.body}: ` : ""}${prompt.sentence}`;
    const chosen = { prompt: prompt.code, body: prompt.body };
    return make("li", { "data-prompt": prompt.code },
      make("div", {}, named, done ? make("p", { class: "quiet" }, `${done.display_name} ${WORDS[done.action]} it, ${clock(done.at)}${done.reason ? `: ${done.reason}` : "."}`) : null),
      make("div", { class: "actions" },
        button("I take this on", () => decide("prompt_accepted", chosen), { "aria-label": `I take this on: ${named}` }),
        button("Go on without", () => askReason(`Go on without: ${named}`, (reason) => decide("overridden", { ...chosen, reason })), { "aria-label": `Go on without: ${named}` })));
  });
  return make("section", { class: "card", "aria-label": "To do" }, make("h3", {}, `To do (${items.length})`),
    items.length ? make("ul", { class: "todo" }, ...items) : make("p", {}, "Nothing is missing. A person still decides."));
}

function bodiesOf(evidence) {
  const cards = evidence.bodies.map((one) => make("article", { class: "card" },
    make("h3", {}, `${one.body} `, verdict(one.verdict)), make("p", {}, one.sentence), ...one.pointers.map(pointer)));
  return make("section", { "aria-label": "Vertebral bodies" }, make("div", { class: "cards" }, ...cards));
}

function pointer(one) {
  return one.kind === "sentence" ? make("blockquote", {}, one.text) : make("p", { class: "quiet" }, one.text);
}

function criteriaOf(evidence) {
  const rows = evidence.criteria.map((one) => {
    const [words, tone] = CRITERION[one.state];
    return make("tr", {},
      make("th", { scope: "row" }, `${one.body ? `${one.body}: ` : ""}${one.title}`),
      make("td", { class: `state ${tone}` }, words), make("td", {}, one.answered_by.join(", ")),
      make("td", {}, one.sentence, ...one.pointers.map(pointer)));
  });
  return make("section", { class: "card" }, make("h3", {}, "Criteria of the policy"), make("table", {},
    make("caption", { class: "hidden" }, "Criteria of the policy"),
    make("thead", {}, make("tr", {}, ...["Criterion", "State", "Who can answer", "Why"].map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, ...rows)));
}

function factsOf(evidence) {
  const tone = (fact) => ({ true: ["✔ agrees", "good"], false: ["✖ does not agree", "urgent"] }[String(fact.agrees)] ?? ["? open", "attention"]);
  const items = evidence.concordance.map((fact) => make("li", {}, make("span", { class: `state ${tone(fact)[1]}` }, tone(fact)[0]), ` ${fact.sentence}`));
  return items.length ? make("section", { class: "card" }, make("h3", {}, "Codes, levels and units"), make("ul", {}, ...items)) : null;
}

function reportsOf(data) {
  const items = data.reports.map((report) => make("li", {},
    `${report.modality ?? ""} report ${report.id} of ${report.study_date ?? "a day it does not say"}: ${report.signed}` +
    `${report.signed_by ? ` by ${report.signed_by}` : ""}. Added ${clock(report.added_at)} by ${report.added_by}${SOURCE[report.source] ?? ""}.` +
    `${report.withdraws ? " It takes the report back." : report.stands ? "" : " Another one stands in its place."}`));
  return make("section", { class: "card" }, make("h3", {}, "Radiology reports"),
    items.length ? make("ul", {}, ...items) : make("p", {}, "None was added."),
    data.state === "open" ? make("div", { class: "actions" }, button("Add a report", askReport)) : null);
}

// Key images and summary are made when they are asked for: drawing them takes some seconds.
function packetOf(evidence) {
  if (!evidence) return null;
  const box = make("div", { role: "status" });
  const show = button("Show key images and summary", async () => {
    show.disabled = true;
    box.textContent = "Drawing…";
    try {
      const { manifest } = await ask(of("/packet"));
      const file = (name) => of(`/packet/${encodeURIComponent(name)}`);
      const pictures = manifest.files.filter((one) => one.role === "key_image_overlay");
      box.replaceChildren(
        make("p", {}, make("a", { href: file("summary.pdf"), target: "_blank", rel: "noopener" }, "Evidence summary (PDF)"),
          `, packet ${manifest.number}, research use only.`),
        make("div", { class: "pictures" }, ...pictures.map((one) => make("a", { href: file(one.name), target: "_blank", rel: "noopener" },
          make("img", { src: file(one.name), alt: `Key image of ${one.body} with outlines and measurements by AI`, loading: "lazy" })))),
        ...manifest.withheld_images.map((sentence) => make("p", { class: "attention" }, sentence)),
        pictures.length ? "" : make("p", { class: "quiet" }, "No study of this node shows a billed body."));
    } catch (error) {
      box.replaceChildren(make("p", { class: "urgent", role: "alert" }, error.message));
    } finally {
      show.disabled = false;
    }
  }, { id: "packet" });
  return make("section", { class: "card", "aria-label": "Evidence packet" }, make("h3", {}, "Evidence packet"), make("div", { class: "actions" }, show), box);
}

function attachmentsOf(data) {
  const items = (data.attachments ?? []).map((one) => make("li", {},
    `${one.control_number} to ${one.destination}: ${one.state}${one.reason ? `, ${one.reason}` : ""}. Queued ${clock(one.queued_at)} by ${one.queued_by}.`));
  const missing = (data.missing ?? []).map((prompt) => make("li", {}, prompt.sentence));
  return make("section", { class: "card" }, make("h3", {}, "Attachment"),
    items.length ? make("ul", {}, ...items) : make("p", {}, "None was sent."),
    missing.length ? make("div", {}, make("p", { class: "attention" }, "Before one can be sent:"), make("ul", {}, ...missing)) : null,
    data.state === "open" && data.destinations?.length && !missing.length
      ? make("div", { class: "actions" }, button("Attach the evidence", () => askDestination(data), { id: "attach" })) : null);
}

function leftOut(made) {
  if (!made?.left_out.length) return null;
  return make("section", { class: "card" }, make("h3", {}, "Studies of this record number that are not used"),
    make("ul", {}, ...made.left_out.map(([, sentence]) => make("li", {}, sentence))));
}

function historyOf(data) {
  const rows = data.actions.map((one) => make("li", {},
    `${clock(one.at)} ${one.display_name} ${WORDS[one.action] ?? one.action}${one.body ? ` at ${one.body}` : ""}` +
    `${one.reason ? `: ${one.reason}` : ""}`));
  return make("details", { class: "card" }, make("summary", {}, `History (${rows.length})`), make("ul", {}, ...rows));
}

async function decide(action, more = {}) {
  await post(of("/decisions"), { action, ...more });
  await open(claim.id);
  list.said = "";
  await update();
}

// A form in the page's one dialog; what the node refuses is said in it, and nothing that was typed is lost.
function dialog(title, fields, send) {
  const fault = make("p", { class: "fault", role: "alert" });
  const form = at("ask-form");
  const submit = make("button", { type: "submit" }, "Confirm");
  form.replaceChildren(make("h2", { id: "ask-title" }, title), ...fields, fault,
    make("div", { class: "row" }, submit, button("Cancel", () => at("ask").close())));
  form.onsubmit = async (event) => {
    event.preventDefault();
    submit.disabled = true;
    try {
      await send();
      at("ask").close();
    } catch (error) {
      fault.textContent = error.message;
    } finally {
      submit.disabled = false;
    }
  };
  at("ask").showModal();
}

const labelled = (text, control) => make("label", {}, text, control);

function askReason(title, send) {
  const reason = make("textarea", { required: true, maxlength: 2000 });
  dialog(title, [labelled("Why, in your words", reason)], () => send(reason.value));
}

function askReport() {
  if (!claim.data || claim.data.state !== "open") return;
  const text = make("textarea", { id: "report-text" });
  const file = make("input", { type: "file", accept: ".txt,.pdf,.hl7,.json,.dcm" });
  const number = make("input", { maxlength: 200 });
  const study = make("select", {}, ...claim.data.studies.map((one) =>
    make("option", { value: one.study_instance_uid }, `${one.modality} of ${one.date ?? "a day it does not say"}`)),
    make("option", { value: "" }, "none that is here"));
  const modality = make("select", {}, ...["", "MR", "CT", "NM", "PT"].map((code) => make("option", { value: code }, code || "the report says it itself")));
  const day = make("input", { type: "date" });
  const signed = make("select", {}, make("option", { value: "" }, "the report says it itself"), make("option", { value: "signed" }, "signed"), make("option", { value: "unsigned" }, "not signed"));
  const by = make("input", { maxlength: 200 });
  const same = make("input", { type: "checkbox" });
  dialog("Add a radiology report", [
    labelled("Text of the report", text), labelled("or a file: text, PDF, HL7 v2, FHIR, DICOM SR", file),
    make("div", { class: "row" }, labelled("Report number", number), labelled("Report of the study", study)),
    make("div", { class: "row" }, labelled("Day of the images, if none is here", day), labelled("Made with", modality)),
    make("div", { class: "row" }, labelled("Signature", signed), labelled("Signed by", by)),
    make("label", { class: "row" }, same, "I compared record number and birth date: it is of this claim's patient"),
  ], async () => {
    const patient = claim.data.claim.patient;
    const facts = {
      id: number.value || null, study_instance_uid: study.value || null, study_date: day.value || null,
      modality: modality.value || null, signed: signed.value || null, signed_by: by.value || null,
      patient: same.checked ? { medical_record_number: patient.medical_record_number, birth_date: patient.birth_date } : {},
    };
    await post(of("/reports"), { ...(await contentOf(file.files[0], text.value)), facts });
    await open(claim.id);
  });
}

async function contentOf(file, text) {
  if (!file) return { text };
  const bytes = new Uint8Array(await file.arrayBuffer());
  let letters = "";
  for (let start = 0; start < bytes.length; start += 32768) letters += String.fromCharCode(...bytes.subarray(start, start + 32768));
  return { content: btoa(letters) };
}

function askClaim() {
  const file = make("input", { type: "file", required: true });
  dialog("Hand in a claim: our own JSON, a FHIR Claim or an 837P", [labelled("File", file)], async () => {
    const headers = { "Idempotency-Key": crypto.randomUUID(), "Content-Type": "application/octet-stream" };
    const answer = await ask("/api/v1/claims", { method: "POST", body: await file.files[0].arrayBuffer(), headers });
    at("to-do").checked = false;
    list.said = "";
    select(answer.claims[0].id);
    await update();
  });
}

function askDestination(data) {
  const where = make("select", {}, ...data.destinations.map((name) => make("option", {}, name)));
  dialog("Send the evidence to the payer", [labelled("Destination", where)], async () => {
    await post(of("/attachments"), { destination: where.value }, { "Idempotency-Key": crypto.randomUUID() });
    await open(claim.id);
  });
}
