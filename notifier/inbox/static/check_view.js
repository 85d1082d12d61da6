/* What the rules for templates find in a mail. */

import { el } from "./elements.js";
import { counted } from "./words.js";

export function checkView(message, { showLine }) {
  const result = el("div", { class: "check", role: "status" }, el("p", {}, "Checking…"));
  fetch(`/inbox/messages/${message.id}/check`)
    .then((answer) => (answer.ok ? answer.json() : { findings: [], failure: "This message is no longer here." }))
    .catch(() => ({ findings: [], failure: "The inbox does not answer." }))
    .then(({ findings, failure }) => result.replaceChildren(...describe(findings, failure, showLine)));
  return [result];
}

function describe(findings, failure, showLine) {
  if (failure) return [el("p", { class: "check-failure" }, failure)];
  const errors = findings.filter((finding) => finding.severity === "error").length;
  const summary = findings.length ? `${counted(errors, "error")}, ${counted(findings.length - errors, "warning")}` : "No findings";
  return [
    el("p", {}, el("strong", {}, summary), " by the rules that also check templates before they are published."),
    findings.length > 0 && el("ul", { class: "findings" }, findings.map((finding) => item(finding, showLine))),
  ].filter(Boolean);
}

function item(finding, showLine) {
  const line = finding.line && el("button", { class: "button small", type: "button", onclick: () => showLine(finding.line) }, `Line ${finding.line}`);
  return el(
    "li",
    { class: "finding" },
    el("span", { class: `severity ${finding.severity}` }, finding.severity),
    el("span", { class: "finding-text" }, el("span", { class: "finding-message" }, finding.message), ` ${finding.advice} `, el("code", {}, finding.code)),
    line,
  );
}
