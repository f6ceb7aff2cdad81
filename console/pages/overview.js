// Overview: is everything up, which models serve and how they do, what asks for attention.

import { get } from "../api.js";
import { percent, milliseconds, split } from "../format.js";
import { usePoll } from "../poll.js";
import { Card, Count, Listing, Loaded, Num, Page, Status, href } from "../ui.js";
import { html } from "../vendor/htm-preact.js";

const WINDOW = "1h";

async function load(signal) {
  const [{ models, next_token: more }, stats, drift] = await Promise.all([
    get("/models", { limit: 200 }, signal),
    get("/monitoring/stats", { window: WINDOW }, signal),
    get("/monitoring/drift", { window: WINDOW }, signal),
  ]);
  return { models, more: Boolean(more), stats, drift };
}

function production(stats, model) {
  const found = stats.models.find((each) => each.model === model.name);
  const versions = found?.versions ?? [];
  const rows = versions.reduce((sum, version) => sum + version.rows, 0);
  const failed = versions.reduce((sum, version) => sum + version.failed_rows, 0);
  const serving = versions.find((version) => version.version === model.production_version);
  return { rows, failed, p95: serving?.latency_ms.total.p95 ?? null };
}

export default function Overview() {
  const polled = usePoll(load, []);
  const views = usePoll((signal) => get("/features/views", { limit: 100 }, signal), [], { every: 60000 });
  return html`<${Page} title="Overview">
    <${Loaded} of=${polled}>${({ models, more, stats, drift }) => {
      const rows = models.map((model) => ({
        model,
        ...production(stats, model),
        drift: drift.models.filter((each) => each.model === model.name),
      }));
      const total = rows.reduce((sum, row) => sum + row.rows, 0);
      const failed = rows.reduce((sum, row) => sum + row.failed, 0);
      return html`
        <div class="tiles">
          <${Tile} name="models" value=${models.length} more=${more} to="#/models" />
          <${Tile} name="feature views" value=${views.data?.views.length} more=${Boolean(views.data?.next_token)} to="#/views" />
          <${Tile} name="rows predicted, last hour" value=${total} />
          <${Tile} name="rows failed, last hour" value=${failed} />
        </div>
        <${Card} title="Models, last hour">
          <${Listing} label="Models" rows=${rows} keyOf=${(row) => row.model.name} textOf=${(row) => row.model.name} empty="No model is registered yet."
            columns=${[
              { name: "Model", sort: (row) => row.model.name, render: (row) => html`<a href=${href("models", row.model.name)}>${row.model.name}</a>` },
              { name: "In production", render: (row) => row.model.production_version ?? "–" },
              { name: "Traffic", render: (row) => split(row.model.ab_split) },
              { name: "Rows", number: true, sort: (row) => row.rows, render: (row) => html`<${Count} value=${row.rows} />` },
              { name: "Failed", number: true, sort: (row) => row.failed, render: (row) => html`<${Num} value=${row.rows + row.failed ? row.failed / (row.rows + row.failed) : null} as=${percent} />` },
              { name: "p95", number: true, sort: (row) => row.p95, render: (row) => html`<${Num} value=${row.p95} as=${milliseconds} />` },
              { name: "Drift", render: (row) => row.drift.length ? row.drift.map((each) => html`<span class="pair">${each.version} <${Status} value=${each.status} title=${each.summary} /></span>`) : "–" },
            ]} />
        <//>
        <${Attention} drift=${drift.models} />
      `;
    }}<//>
  <//>`;
}

function Tile({ name, value, to, more = false }) {
  const shown = html`<span class="tile-value"><${Count} value=${value} />${more ? "+" : ""}</span><span class="tile-name">${name}</span>`;
  return to ? html`<a class="tile" href=${to}>${shown}</a>` : html`<div class="tile">${shown}</div>`;
}

function Attention({ drift }) {
  const found = drift.filter((each) => each.status === "drift" || each.status === "warning");
  if (!found.length) return null;
  return html`<${Card} title="Asks for attention">
    <ul class="plain-list">${found.map(
      (each) => html`<li key=${each.model + each.version}><${Status} value=${each.status} />
        <a href=${href("drift", each.model, each.version)}>${each.model} ${each.version}</a>: ${each.summary}</li>`,
    )}</ul>
  <//>`;
}
