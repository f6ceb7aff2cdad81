// Versions of a model beside each other; rows in which they differ are marked.

import { get, path } from "../api.js";
import { bytes, moment, number, text } from "../format.js";
import { usePoll } from "../poll.js";
import { Card, Loaded } from "../ui.js";
import { html } from "../vendor/htm-preact.js";

const ROWS = [
  ["stage", (version) => version.stage],
  ["status", (version) => version.status],
  ["why", (version) => version.reason],
  ["kind", (version) => version.signature?.kind],
  ["classes", (version) => version.signature?.classes && text(version.signature.classes)],
  ["inputs", (version) => version.signature?.inputs.map(tensor).join(", ")],
  ["outputs", (version) => version.signature?.outputs.map(tensor).join(", ")],
  ["format", (version) => version.format],
  ["size", (version) => bytes(version.size)],
  ["memory when loaded", (version) => version.signature?.footprint && bytes(version.signature.footprint.loaded)],
  ["missing values", (version) => version.missing],
  ["check", (version) => version.check && `${version.check.rows} rows, within ${number(version.check.tolerance)} (largest ${number(version.check.max_difference)})`],
  ["baseline", (version) => (version.profile ? "yes" : "no")],
  ["data", (version) => [version.lineage?.dataset ?? []].flat().map(dataset).join(", ")],
  ["code", (version) => version.lineage?.code && ["repo", "commit", "path"].map((part) => version.lineage.code[part]).filter(Boolean).join(" ")],
  ["training run", (version) => version.lineage?.run_id],
  ["parents", (version) => version.lineage?.parents?.join(", ")],
  ["created", (version) => `${moment(version.created_at)} by ${version.created_by}`],
  ["digest", (version) => version.digest?.slice(0, 12)],
  ["description", (version) => version.description],
];

const dataset = ({ name, start, end, digest }) => [name, start && `${moment(start)} to ${moment(end)}`, digest?.slice(0, 19)].filter(Boolean).join(", ");

const tensor = (each) => `${each.name} ${each.datatype} [${each.shape}]`;

function rowsOf(versions) {
  const names = (field) => [...new Set(versions.flatMap((version) => Object.keys(version[field] ?? {})))].sort();
  const features = [...new Set(versions.flatMap((version) => version.features))];
  const shared = features.filter((each) => versions.every((version) => version.features.includes(each)));
  const rows = [
    ...names("metrics").map((name) => [`metric ${name}`, (version) => (name in version.metrics ? number(version.metrics[name]) : null)]),
    ...names("params").map((name) => [`param ${name}`, (version) => (name in version.params ? text(version.params[name]) : null)]),
    ...ROWS,
    ["features", (version) => version.features.length],
    ["features of its own", (version) => version.features.filter((each) => !shared.includes(each)).join(", ")],
  ];
  return rows
    .map(([name, of]) => ({ name, values: versions.map((version) => of(version) ?? "–") }))
    .filter((row) => row.values.some((value) => value !== "–" && value !== ""));
}

// known: versions that the page has already; the others are asked for.
export function Compare({ model, names, known }) {
  const polled = usePoll(
    (signal) =>
      Promise.all(
        names.map((name) => known.find((each) => each.version === name) ?? get(path`/models/${model}/versions/${name}`, {}, signal)),
      ),
    [model, names.join()],
    { every: 30000 },
  );
  if (!names.length) return null;
  return html`<${Card} title="Side by side">
    <${Loaded} of=${polled}>${(versions) => html`<div class="table-scroll" tabindex="0" role="region" aria-label="Side by side">
      <table class="compare">
        <thead><tr><td></td>${versions.map((version) => html`<th scope="col" key=${version.version}>${version.version}</th>`)}</tr></thead>
        <tbody>${rowsOf(versions).map(
          (row) => html`<tr key=${row.name} class=${new Set(row.values).size > 1 ? "differs" : null}>
            <th scope="row">${row.name}</th>${row.values.map((value) => html`<td>${value}</td>`)}
          </tr>`,
        )}</tbody>
      </table>
    </div>`}<//>
  <//>`;
}
