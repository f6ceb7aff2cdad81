// Lineage: what each version of a model was made from, as a graph, and what happened to the model since.

import { all, get, path } from "../api.js";
import { split, text } from "../format.js";
import { usePoll } from "../poll.js";
import { Card, Listing, Loaded, Page, Time, href } from "../ui.js";
import { html } from "../vendor/htm-preact.js";
import { Graph, layout } from "../vendor/dagre.js";

const WORDS = { version: "version", dataset: "data", code: "code", view: "feature view", service: "feature service", artifact: "artifact", training_set: "training set" };

export default function Lineage({ segments }) {
  return segments[0] ? html`<${Model} model=${segments[0]} />` : html`<${Models} />`;
}

function Models() {
  const polled = usePoll((signal) => all("/models", "models", { limit: 100 }, signal), []);
  return html`<${Page} title="Lineage">
    <${Loaded} of=${polled}>${(models) => html`<${Card} title="Models">
      <${Listing} label="Models" rows=${models} keyOf=${(each) => each.name} textOf=${(each) => each.name} empty="No model is registered yet."
        columns=${[
          { name: "Model", sort: (each) => each.name, render: (each) => html`<a href=${href("lineage", each.name)}>${each.name}</a>` },
          { name: "In production", render: (each) => each.production_version ?? "–" },
        ]} />
    <//>`}<//>
  <//>`;
}

function Model({ model }) {
  const polled = usePoll((signal) => get(path`/models/${model}/lineage`, { limit: 50 }, signal), [model], { every: 15000 });
  return html`<${Page} title=${`Lineage of ${model}`}>
    <p class="quiet"><a href=${href("lineage")}>All models</a>, <a href=${href("models", model)}>the model</a></p>
    <${Loaded} of=${polled}>${(lineage) => html`
      <${Card} title="What it was made from">
        ${lineage.next_token && html`<p class="warning">Only the first 50 versions are shown.</p>`}
        <${Drawn} model=${model} graph=${lineage.graph} />
        <details><summary>The same as a list</summary>
          <ul class="plain-list">${lineage.graph.edges.map(
            (edge) => html`<li key=${`${edge.source} ${edge.kind} ${edge.target}`}><code>${edge.source}</code> ${edge.kind.replaceAll("_", " ")} <code>${edge.target}</code></li>`,
          )}</ul></details>
      <//>
      <${Events} events=${lineage.events} more=${lineage.next_events_token !== null} />
    `}<//>
  <//>`;
}

// Where a node's own page is; null: it has none.
function placeOf(node, model) {
  if (node.kind === "view") return href("views", node.id.split("#")[0]);
  if (node.kind === "version") return href("models", node.id.split("@")[0] || model);
  return null;
}

function shown(id) {
  return id.length > 27 ? `${id.slice(0, 26)}…` : id;
}

function Drawn({ model, graph }) {
  if (!graph.nodes.length) return html`<p class="empty">There is no version yet.</p>`;
  const laid = new Graph({ multigraph: true }).setGraph({ rankdir: "RL", nodesep: 14, ranksep: 70, marginx: 8, marginy: 8 });
  laid.setDefaultEdgeLabel(() => ({}));
  for (const node of graph.nodes) laid.setNode(node.id, { width: 220, height: 44 });
  graph.edges.forEach((edge, place) => laid.setEdge(edge.source, edge.target, {}, `e${place}`));
  layout(laid);
  const { width, height } = laid.graph();
  return html`<div class="table-scroll" tabindex="0" role="region" aria-label="Graph of the lineage">
    <svg class="graph" width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`}>
      <title>${`Lineage of ${model}: ${graph.nodes.length} nodes`}</title>
      ${graph.edges.map((edge, place) => {
        const points = laid.edge({ v: edge.source, w: edge.target, name: `e${place}` }).points;
        return html`<polyline key=${place} class="graph-edge" points=${points.map((point) => `${point.x},${point.y}`).join(" ")}>
          <title>${`${edge.source} ${edge.kind.replaceAll("_", " ")} ${edge.target}`}</title></polyline>`;
      })}
      ${graph.nodes.map((node) => {
        const { x, y } = laid.node(node.id);
        const to = placeOf(node, model);
        const box = html`<title>${node.id}</title>
          <rect class=${`graph-node ${node.kind}`} x=${x - 110} y=${y - 22} width="220" height="44" rx="6" />
          <text class="graph-kind" x=${x - 100} y=${y - 5}>${WORDS[node.kind] ?? node.kind}</text>
          <text class="graph-id" x=${x - 100} y=${y + 12}>${shown(node.id)}</text>`;
        return to ? html`<a key=${node.id} href=${to}>${box}</a>` : html`<g key=${node.id}>${box}</g>`;
      })}
    </svg>
  </div>`;
}

function Events({ events, more }) {
  return html`<${Card} title="What happened to it">
    ${more && html`<p class="warning">Only the first events are shown.</p>`}
    <${Listing} label="Events" rows=${[...events].reverse()} keyOf=${(each) => each.revision} empty="Nothing yet."
      textOf=${(each) => `${each.kind} ${each.version ?? ""} ${each.actor} ${each.reason ?? ""}`}
      columns=${[
        { name: "When", render: (each) => html`<${Time} value=${each.at} />` },
        { name: "What", render: (each) => each.kind.replaceAll("_", " ") },
        { name: "Version", render: (each) => each.version ?? "–" },
        { name: "By", render: (each) => each.actor },
        { name: "Reason", render: (each) => text(each.reason) },
        { name: "Traffic then", render: (each) => each.ab_split ? split(each.ab_split) : (each.production_version ?? "–") },
      ]} />
  <//>`;
}
