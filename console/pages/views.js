// Feature views: all of them, and one with its schema, its state and the features of an entity.

import { get, path } from "../api.js";
import { count, percent, span, text } from "../format.js";
import { Paged } from "../paged.js";
import { usePoll } from "../poll.js";
import { Badge, Card, Count, Facts, Loaded, Num, Page, Status, Table, Time, go, href } from "../ui.js";
import { html, useState } from "../vendor/htm-preact.js";
import { History } from "./history.js";

export default function Views({ segments, query }) {
  return segments.length ? html`<${View} name=${segments[0]} query=${query} />` : html`<${List} />`;
}

const keysOf = (view) => [view.entity].flat();

function List() {
  return html`<${Page} title="Feature views">
    <${Card}>
      <${Paged} where="/features/views" field="views" prefix every=${30000} label="Feature views" keyOf=${(view) => view.name}
        empty="No feature view is declared yet."
        textOf=${(view) => [view.name, view.owner, view.description, ...keysOf(view)].join(" ")}
        columns=${[
          { name: "Name", sort: (view) => view.name, render: (view) => html`<a href=${href("views", view.name)}>${view.name}</a>` },
          { name: "Entity", render: (view) => keysOf(view).join(", ") },
          { name: "Features", number: true, sort: (view) => view.features.length, render: (view) => html`<${Count} value=${view.features.length} />` },
          { name: "Time to live", number: true, sort: (view) => view.ttl_seconds, render: (view) => (view.ttl_seconds === null ? "unlimited" : html`<${Num} value=${view.ttl_seconds} as=${span} />`) },
          { name: "Owner", sort: (view) => view.owner, render: (view) => view.owner || "–" },
          { name: "Description", render: (view) => view.description || "–" },
          { name: "Changed", sort: (view) => view.updated_at, render: (view) => html`<${Time} value=${view.updated_at} />` },
        ]} />
    <//>
  <//>`;
}

async function load(name, signal) {
  const [view, stats] = await Promise.all([
    get(path`/features/views/${name}`, {}, signal),
    get("/monitoring/stats", { window: "1h" }, signal).catch((error) => {
      if (error.missingScope) return { models: [], consistency: [] }; // the rest of the page needs no such scope
      throw error;
    }),
  ]);
  return { view, stats };
}

// What models read of this view: [{model, version, feature, missing, expired, invalid}]
function quality(stats, name) {
  return stats.models.flatMap((model) =>
    model.versions.flatMap((version) =>
      Object.entries(version.features)
        .filter(([label]) => label.split(":")[0].split("@")[0] === name)
        .map(([label, found]) => ({ model: model.model, version: version.version, label, ...found })),
    ),
  );
}

function View({ name, query }) {
  const polled = usePoll((signal) => load(name, signal), [name]);
  const entity = query.entity ?? null;
  const row = usePoll((signal) => (entity === null ? Promise.resolve(null) : get(path`/features/${name}/${entity}`, {}, signal)), [name, entity]);
  return html`<${Page} title=${name} aside=${html`<a href="#/views">All feature views</a>`}>
    <${Loaded} of=${polled}>${({ view, stats }) => {
      const compared = stats.consistency.find((each) => each.feature_view === name);
      const read = quality(stats, name);
      return html`
        <${Card} title="What it is">
          ${view.description && html`<p>${view.description}</p>`}
          <${Facts} pairs=${[
            ["Entity", keysOf(view).join(", ")],
            ["Time to live", view.ttl_seconds === null ? "unlimited" : html`<${Num} value=${view.ttl_seconds} as=${span} />`],
            ["Schema version", view.schema_version],
            ["History", view.history ? "every write is kept" : "off"],
            ["Owner", view.owner],
            ["Tags", Object.entries(view.tags).map(([key, value]) => html`<${Badge}>${key}: ${value}<//> `)],
            ["Created", html`<${Time} value=${view.created_at} exact />`],
            ["Changed", html`<${Time} value=${view.updated_at} exact />`],
          ]} />
        <//>
        <${Lookup} key=${name} view=${view} given=${entity} row=${row} />
        ${entity !== null && view.history && html`<${History} key=${`${name} ${entity}`} view=${view} entity=${entity} />`}
        <${Card} title="Features">
          <${Table} label="Features" rows=${view.features} keyOf=${(feature) => feature.name} columns=${[
            { name: "Name", sort: (feature) => feature.name, render: (feature) => html`<code>${feature.name}</code>` },
            { name: "Type", sort: (feature) => feature.dtype, render: (feature) => feature.dtype + (feature.shape ? ` [${feature.shape}]` : "") },
            { name: "Default", render: (feature) => text(feature.default) },
            { name: "Description", render: (feature) => feature.description || "–" },
          ]} />
        <//>
        <${Card} title="As models saw it, last hour">
          <${Table} label="Quality by model" rows=${read} keyOf=${(row) => row.model + row.version + row.label}
            empty="No model with a baseline has read it in the last hour." columns=${[
              { name: "Feature", sort: (row) => row.label, render: (row) => html`<code>${row.label}</code>` },
              { name: "Model", sort: (row) => row.model, render: (row) => html`<a href=${href("models", row.model)}>${row.model}</a> ${row.version}` },
              ...["missing", "expired", "invalid"].map((kind) => ({
                name: kind, number: true, sort: (row) => row[kind], render: (row) => html`<${Num} value=${row[kind]} as=${percent} />`,
              })),
            ]} />
        <//>
        ${compared && html`<${Consistency} found=${compared} />`}
      `;
    }}<//>
  <//>`;
}

function Consistency({ found }) {
  const rows = Object.entries(found.features);
  return html`<${Card} title="Compared with its history" aside=${html`<${Time} value=${found.checked_at} />`}>
    <p class="quiet">${count(found.entities)} entities, ${percent(found.share)} of the view's.</p>
    <${Table} label="Cells by feature" rows=${rows} keyOf=${([feature]) => feature} columns=${[
      { name: "Feature", render: ([feature]) => html`<code>${feature}</code>` },
      ...["match", "mismatch", "missing", "extra", "unadopted"].map((kind) => ({
        name: kind, number: true, render: ([, cells]) => html`<${Count} value=${cells[kind] ?? 0} />`,
      })),
    ]} />
  <//>`;
}

// The API's form of a composite id: parts joined with a comma, in which a backslash escapes.
const joined = (parts) =>
  parts.length === 1 ? parts[0] : parts.map((part) => part.replace(/[\\,]/g, (found) => `\\${found}`)).join(",");

function Lookup({ view, given, row }) {
  const keys = keysOf(view);
  const [parts, setParts] = useState(() => (given !== null && keys.length === 1 ? [given] : keys.map(() => "")));
  const ask = (event) => {
    event.preventDefault();
    if (parts.every((part) => part !== "")) go("views", view.name, { entity: joined(parts) });
  };
  return html`<${Card} title="Look an entity up">
    <form class="row" onSubmit=${ask}>
      ${keys.map(
        (key, place) => html`<label class="field" key=${key}>${key}
          <input value=${parts[place]} onInput=${(event) =>
            setParts(parts.map((part, at) => (at === place ? event.target.value : part)))} />
        </label>`,
      )}
      <button type="submit" class="primary">Look up</button>
    </form>
    ${given !== null && html`<${Row} polled=${row} entity=${given} />`}
  <//>`;
}

function Row({ polled, entity }) {
  return html`<${Loaded} of=${polled}>${(row) => html`
    <${Facts} pairs=${[
      ["Entity", html`<strong>${[row.entity_id].flat().join(", ")}</strong>`],
      ["Newest event time", html`<${Time} value=${row.event_timestamp} exact />`],
      ["That is", row.event_timestamp === null ? "never written" : html`<${Time} value=${row.event_timestamp} />`],
    ]} />
    <${Table} label=${`Features of ${entity}`} rows=${Object.entries(row.features)} keyOf=${([feature]) => feature} columns=${[
      { name: "Feature", sort: ([feature]) => feature, render: ([feature]) => html`<code>${feature}</code>` },
      { name: "Value", number: true, render: ([, value]) => (value === null ? "–" : html`<${Num} value=${typeof value === "object" ? JSON.stringify(value) : value} />`) },
      { name: "Status", render: ([feature]) => html`<${Status} value=${row.status[feature] ?? "present"} />` },
    ]} />`}<//>`;
}
