// Lineage: what each version of a model was made from, as a graph, and what happened to the model since.

import { get, path } from "../api.js";
import { Paged } from "../paged.js";
import { usePoll } from "../poll.js";
import { Card, Loaded, Page, href } from "../ui.js";
import { html, useState } from "../vendor/htm-preact.js";
import { Graph, layout } from "../vendor/dagre.js";
import { Trail } from "./trail.js";

const WORDS = { version: "version", dataset: "data", code: "code", view: "feature view", service: "feature service", artifact: "artifact", training_set: "training set" };

export default function Lineage({ segments }) {
  return segments[0] ? html`<${Model} model=${segments[0]} />` : html`<${Models} />`;
}

function Models() {
  return html`<${Page} title="Lineage">
    <${Card} title="Models">
      <${Paged} where="/models" field="models" prefix every=${15000} label="Models" keyOf=${(each) => each.name} textOf=${(each) => each.name} empty="No model is registered yet."
        columns=${[
          { name: "Model", sort: (each) => each.name, render: (each) => html`<a href=${href("lineage", each.name)}>${each.name}</a>` },
          { name: "In production", render: (each) => each.production_version ?? "–" },
        ]} />
    <//>
  <//>`;
}

// The graph of so many versions at once: as many as can be taken in, and laid out without a wait.
const DRAWN = 25;

function Model({ model }) {
  const [tokens, setTokens] = useState([]);
  const token = tokens.at(-1) ?? null;
  const polled = usePoll(
    (signal) => get(path`/models/${model}/lineage`, { limit: DRAWN, order: "newest", next_token: token }, signal),
    [model, token],
    { every: 15000 },
  );
  const older = polled.data?.next_token ?? null;
  return html`<${Page} title=${`Lineage of ${model}`}>
    <p class="quiet"><a href=${href("lineage")}>All models</a>, <a href=${href("models", model)}>the model</a></p>
    <${Card} title="What it was made from">
      <${Loaded} of=${polled}>${({ graph }) => html`
        <${Drawn} model=${model} graph=${graph} />
        <details><summary>The same as a list</summary>
          <ul class="plain-list">${graph.edges.map(
            (edge) => html`<li key=${`${edge.source} ${edge.kind} ${edge.target}`}><code>${edge.source}</code> ${edge.kind.replaceAll("_", " ")} <code>${edge.target}</code></li>`,
          )}</ul></details>`}<//>
      ${(tokens.length > 0 || older !== null) &&
      html`<nav class="pager" aria-label="Versions of the graph">
        <button type="button" disabled=${!tokens.length} onClick=${() => setTokens(tokens.slice(0, -1))}>Newer</button>
        <button type="button" disabled=${older === null} onClick=${() => setTokens([...tokens, older])}>Older</button>
      </nav>`}
    <//>
    ${(polled.data ?? polled.error === null) && html`<${Trail} model=${model} label="Events" />`}
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
