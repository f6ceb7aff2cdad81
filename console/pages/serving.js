// Serving: what was asked, how fast it was answered, what failed and why, and whether traffic follows the split.

import { get } from "../api.js";
import { Shares, inOrder } from "../charts.js";
import { milliseconds, percent } from "../format.js";
import { usePoll } from "../poll.js";
import { Badge, Card, Count, Facts, Listing, Loaded, Num, Page, Stage, Table, Time, href } from "../ui.js";
import { html } from "../vendor/htm-preact.js";
import { Window } from "../window.js";

const WINDOWS = ["15m", "1h", "24h", "7d"];
const PARTS = ["total", "features", "inference"];

export default function Serving({ segments, query }) {
  const window = WINDOWS.includes(query.window) ? query.window : "1h";
  return segments[0]
    ? html`<${Model} model=${segments[0]} window=${window} />`
    : html`<${Models} window=${window} />`;
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

// Failed rows of all: a failed call counts as one row at least, as the API's error_rate has it by version.
function rateOf(versions) {
  const known = versions.filter((version) => version.error_rate !== null);
  return known.length === 1 ? known[0].error_rate : known.length ? Math.max(...known.map((version) => version.error_rate)) : null;
}

function Models({ window }) {
  const polled = usePoll((signal) => get("/monitoring/stats", { window }, signal), [window]);
  return html`<${Page} title="Serving" aside=${html`<${Window} windows=${WINDOWS} current=${window} to=${(chosen) => href("serving", { window: chosen })} />`}>
    <${Loaded} of=${polled}>${({ models }) => html`<${Card} title="Models with traffic">
      <${Listing} label="Models with traffic" rows=${models} keyOf=${(each) => each.model} textOf=${(each) => each.model}
        empty="No model was asked in this time."
        columns=${[
          { name: "Model", sort: (each) => each.model, render: (each) => html`<a href=${href("serving", each.model, { window })}>${each.model}</a>` },
          { name: "Versions", render: (each) => each.versions.map((version) => version.version).join(", ") },
          { name: "Requests", number: true, sort: (each) => sum(each.versions.map((version) => version.requests)), render: (each) => html`<${Count} value=${sum(each.versions.map((version) => version.requests))} />` },
          { name: "Rows", number: true, sort: (each) => sum(each.versions.map((version) => version.rows)), render: (each) => html`<${Count} value=${sum(each.versions.map((version) => version.rows))} />` },
          { name: "Highest error rate", number: true, sort: (each) => rateOf(each.versions), render: (each) => html`<${Num} value=${rateOf(each.versions)} as=${percent} />` },
          { name: "Split", render: (each) => each.split ? html`<${Mismatch} split=${each.split} />` : "–" },
        ]} />
    <//>`}<//>
  <//>`;
}

function Mismatch({ split }) {
  return split.mismatch
    ? html`<${Badge} kind="bad" title=${`p = ${split.p}`}>not followed<//>`
    : html`<${Badge} kind="ok" title=${`p = ${split.p}`}>followed<//>`;
}

function Model({ model, window }) {
  const polled = usePoll((signal) => get("/monitoring/stats", { model, window }, signal), [model, window]);
  return html`<${Page} title=${`Serving of ${model}`} aside=${html`<${Window} windows=${WINDOWS} current=${window} to=${(chosen) => href("serving", model, { window: chosen })} />`}>
    <p class="quiet"><a href=${href("serving", { window })}>All models</a>, <a href=${href("models", model)}>the model</a></p>
    <${Loaded} of=${polled}>${(stats) => html`
      <${Card} title="Versions"><${Versions} label="Versions" versions=${stats.versions} /><//>
      ${stats.split && html`<${Split} stats=${stats} />`}
      <${Errors} stats=${stats} />
      ${stats.shadows.length > 0 && html`<${Card} title="Shadow versions">
        <p class="quiet">They saw the same traffic and did not answer; they are in no other number.</p>
        <${Versions} label="Shadow versions" versions=${stats.shadows} />
      <//>`}
      ${stats.versions.map((version) => html`<${Version} key=${version.version} version=${version} />`)}
    `}<//>
  <//>`;
}

function Versions({ label, versions }) {
  return html`<${Table} label=${label} rows=${versions} keyOf=${(each) => each.version} empty="No version was asked in this time."
    columns=${[
      { name: "Version", render: (each) => each.version },
      { name: "Stage", render: (each) => each.stage ? html`<${Stage} value=${each.stage} />` : "–" },
      { name: "Requests", number: true, render: (each) => html`<${Count} value=${each.requests} />` },
      { name: "Rows", number: true, render: (each) => html`<${Count} value=${each.rows} />` },
      { name: "Error rate", number: true, render: (each) => html`<${Num} value=${each.error_rate} as=${percent} />` },
      ...["p50", "p95", "p99"].map((name) => ({
        name: `Total ${name}`, number: true, render: (each) => html`<${Num} value=${each.latency_ms.total?.[name]} as=${milliseconds} />`,
      })),
      { name: "Cold starts", number: true, render: (each) => html`<${Count} value=${each.cold_starts} />` },
    ]} />`;
}

function Split({ stats }) {
  const { split } = stats;
  const rows = stats.versions
    .filter((each) => each.configured_share !== null)
    .map((each) => ({ name: each.version, values: [each.configured_share, each.traffic_share ?? 0] }));
  return html`<${Card} title="Traffic against the split" aside=${html`<${Mismatch} split=${split} />`}>
    <${Shares} label="Share of the traffic by version, configured and observed" rows=${rows} series=${["configured", "observed"]} />
    <p>${split.mismatch
      ? "The traffic does not follow the split: so large a deviation is hardly chance."
      : "The traffic follows the split, as far as chance goes."}</p>
    <${Facts} pairs=${[
      ["Rows routed by it", html`<${Count} value=${split.n} />`],
      ["Probability of such a deviation by chance", html`<${Num} value=${split.p} />`],
      ["Chi-squared", html`<${Num} value=${split.chi2} />`],
      ["Counted since", html`<${Time} value=${split.start} />`],
    ]} />
  <//>`;
}

function Errors({ stats }) {
  const rows = [
    ...Object.entries(stats.unrouted).map(([code, n]) => ({ version: "–", what: "calls, before a version was chosen", code, n })),
    ...stats.versions.flatMap((each) => [
      ...Object.entries(each.errors).map(([code, n]) => ({ version: each.version, what: "calls", code, n })),
      ...Object.entries(each.row_errors).map(([code, n]) => ({ version: each.version, what: "rows of answered batches", code, n })),
    ]),
  ];
  return html`<${Card} title="Errors by code">
    <${Table} label="Errors by code" rows=${rows} empty="Nothing failed in this time."
      columns=${[
        { name: "Code", sort: (row) => row.code, render: (row) => html`<code>${row.code}</code>` },
        { name: "Version", render: (row) => row.version },
        { name: "Of", render: (row) => row.what },
        { name: "Number", number: true, sort: (row) => row.n, render: (row) => html`<${Count} value=${row.n} />` },
      ]} />
  <//>`;
}

function Version({ version }) {
  const features = Object.entries(version.features).map(([name, quality]) => ({ name, ...quality }));
  return html`<${Card} title=${version.version}>
    ${version.saturated && html`<p class="warning">A counter reached its ceiling: the counts are lower bounds.</p>`}
    ${version.lost > 0 && html`<p class="warning"><${Count} value=${version.lost} /> calls could not be recorded when they happened.</p>`}
    ${version.overflowed > 0 && html`<p class="warning">The prediction log had no room for <${Count} value=${version.overflowed} /> predictions.</p>`}
    <h3>Latency by part</h3>
    <${Table} label=${`Latency of ${version.version} by part`} rows=${PARTS.filter((part) => version.latency_ms[part])} keyOf=${(part) => part}
      empty="No call was timed." columns=${[
        { name: "Part", render: (part) => part },
        ...["p50", "p95", "p99", "mean"].map((name) => ({
          name, number: true, render: (part) => html`<${Num} value=${version.latency_ms[part][name]} as=${milliseconds} />`,
        })),
      ]} />
    ${version.predictions.map((each) => html`<div key=${each.series}>
      <h3>${`What it answered: ${each.series}`}</h3>
      <${Shares} label=${`${each.series} of ${version.version}, share of ${each.n} rows`} series=${["share"]}
        rows=${inOrder(each.bins, ([bin]) => bin).map(([bin, n]) => ({ name: bin, values: [each.n ? n / each.n : 0] }))} />
    </div>`)}
    ${features.length > 0 && html`<h3>Cells without a value</h3>
      <${Listing} label=${`Cells of ${version.version} without a value`} rows=${features.sort((a, b) => b.missing - a.missing)}
        keyOf=${(each) => each.name} textOf=${(each) => each.name} size=${10} columns=${[
          { name: "Feature", render: (each) => html`<code>${each.name}</code>` },
          ...["missing", "expired", "invalid"].map((name) => ({
            name, number: true, sort: (each) => each[name], render: (each) => html`<${Num} value=${each[name]} as=${percent} />`,
          })),
        ]} />`}
  <//>`;
}
