// A form to predict for one entity, made of what the version reads, which shows what the model saw.

import { call, get, path } from "../api.js";
import { milliseconds, number, percent, text } from "../format.js";
import { usePoll } from "../poll.js";
import { Card, Facts, Failure, Loaded, Num, Page, Table, Time, go } from "../ui.js";
import { html, useState } from "../vendor/htm-preact.js";

export default function Predict({ segments, query }) {
  const name = segments[0] ?? null;
  const models = usePoll((signal) => get("/models", { limit: 200 }, signal), [], { every: 60000 });
  return html`<${Page} title="Predict">
    <${Loaded} of=${models}>${({ models: found, next_token: more }) => html`<${Card}>
      ${!more
        ? html`<label class="field">Model <select value=${name ?? ""} onChange=${(event) => go("predict", event.target.value)}>
            ${name === null && html`<option value="">choose one</option>`}
            ${found.map((model) => html`<option key=${model.name} value=${model.name}>${model.name}</option>`)}
          </select></label>`
        : html`<label class="field">Model <input value=${name ?? ""} onChange=${(event) => go("predict", event.target.value.trim())} /></label>`}
    <//>`}<//>
    ${name !== null && html`<${Form} key=${`${name} ${query.version ?? ""}`} name=${name} wanted=${query.version ?? null} />`}
  <//>`;
}

// The version whose inputs make the form, and the entities of the views it reads: [{label, keys}].
async function load(name, wanted, signal) {
  const model = await get(path`/models/${name}`, {}, signal);
  const chosen = wanted ?? model.production_version;
  if (chosen === null) return { model, version: null };
  const version = await get(path`/models/${name}/versions/${chosen}`, {}, signal);
  const views = await Promise.all(Object.keys(version.feature_views).map((view) => get(path`/features/views/${view}`, {}, signal)));
  const entities = new Map();
  for (const input of version.inputs.filter((each) => each.view !== null)) {
    const view = views.find((each) => each.name === input.view);
    const keys = [view.entity].flat();
    const label = input.role ?? keys.join(",");
    if (!entities.has(label)) entities.set(label, { label, keys, role: input.role });
  }
  return { model, version, entities: [...entities.values()] };
}

function Form({ name, wanted }) {
  const polled = usePoll((signal) => load(name, wanted, signal), [name, wanted], { every: 60000 });
  return html`<${Loaded} of=${polled}>${({ model, version, entities }) =>
    version === null
      ? html`<p class="empty">The model has no production version yet.</p>`
      : html`<${Inputs} model=${model} version=${version} entities=${entities} pinned=${wanted !== null} />`}<//>`;
}

// What a person typed for a feature of this type; undefined where nothing was typed.
function parsed(typed, input) {
  const value = typed.trim();
  if (value === "") return undefined;
  if (input.size > 1) return JSON.parse(value);
  if (input.dtype === "string" || input.dtype === "timestamp") return typed;
  if (input.dtype === "bool") return value === "true";
  return Number.isNaN(Number(value)) ? value : Number(value);
}

function bodyOf(version, entities, id, ids, values, seen, pinned) {
  const body = { return_features: seen };
  const entity = (each) => {
    const parts = each.keys.map((key) => ids[`${each.label} ${key}`] ?? "");
    return parts.length === 1 ? parts[0] : parts;
  };
  const roles = entities.length > 0 && entities.every((each) => each.role !== null);
  if (entities.length === 1 && !roles) body.entity_id = entity(entities[0]);
  else {
    if (id !== "") body.entity_id = id;
    if (entities.length) body.entities = Object.fromEntries(entities.map((each) => [each.label, entity(each)]));
  }
  const features = {};
  for (const input of version.inputs.filter((each) => each.view === null)) {
    const value = parsed(values[input.feature] ?? "", input);
    if (value !== undefined) features[input.feature] = value;
  }
  if (Object.keys(features).length) body.features = features;
  if (pinned) body.version = version.version;
  return body;
}

function Inputs({ model, version, entities, pinned }) {
  const [id, setId] = useState("");
  const [ids, setIds] = useState({});
  const [values, setValues] = useState({});
  const [seen, setSeen] = useState(true);
  const [answer, setAnswer] = useState(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const own = version.inputs.filter((each) => each.view === null);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const body = bodyOf(version, entities, id, ids, values, seen, pinned);
      setAnswer(await call("POST", path`/predict/${model.name}`, { body }));
    } catch (failed) {
      setAnswer(null);
      setError(failed);
    }
    setBusy(false);
  };
  return html`<div class="grid">
    <${Card} title="The request">
      <form class="stack" onSubmit=${submit}>
        ${entities.length !== 1 && html`<label class="field">Entity id (decides the version of a split)
          <input value=${id} onInput=${(event) => setId(event.target.value)} /></label>`}
        ${entities.map((entity) =>
          entity.keys.map((key) => {
            const field = `${entity.label} ${key}`;
            return html`<label class="field" key=${field}>${entity.role === null ? key : `${entity.role}: ${key}`}
              <input required value=${ids[field] ?? ""} onInput=${(event) => setIds({ ...ids, [field]: event.target.value })} /></label>`;
          }),
        )}
        ${own.map(
          (input) => html`<label class="field" key=${input.feature}>${input.feature} (${input.dtype}${input.size > 1 ? `, ${input.size} numbers as JSON` : ""})
            <input value=${values[input.feature] ?? ""} onInput=${(event) => setValues({ ...values, [input.feature]: event.target.value })} /></label>`,
        )}
        <label><input type="checkbox" checked=${seen} onChange=${() => setSeen(!seen)} /> show what the model saw (needs the scope features:read)</label>
        <div class="buttons"><button type="submit" class="primary" disabled=${busy}>Predict</button></div>
      </form>
      <${Failure} error=${error} />
    <//>
    ${answer && html`<${Answer} answer=${answer} />`}
  </div>`;
}

function Answer({ answer }) {
  const classes = Object.entries(answer.probabilities ?? answer.scores ?? {});
  return html`<${Card} title="The answer">
    <p class="big" role="status">${text(answer.prediction)}</p>
    <${Facts} pairs=${[
      ["Probability", answer.probability !== undefined && answer.probability !== null && html`<${Num} value=${answer.probability} as=${percent} />`],
      ["Score", answer.score !== undefined && answer.score !== null && html`<${Num} value=${answer.score} />`],
      ["Version", answer.version],
      ["Time in the function", html`<${Num} value=${answer.latency_ms} as=${milliseconds} />`],
      ["At", html`<${Time} value=${answer.timestamp} exact />`],
      ["Prediction id", html`<code>${answer.prediction_id}</code>`],
    ]} />
    ${classes.length > 0 && html`<${Table} label="By class" rows=${classes} columns=${[
      { name: "Class", render: ([label]) => label },
      { name: "Value", number: true, render: ([, value]) => html`<${Num} value=${value} as=${number} />` },
    ]} />`}
    ${answer.features && html`<h3>What the model saw</h3>
      <${Table} label="What the model saw" rows=${Object.entries(answer.features)} keyOf=${([feature]) => feature} columns=${[
        { name: "Feature", render: ([feature]) => html`<code>${feature}</code>` },
        { name: "Value", number: true, render: ([, value]) => (value === null ? "missing" : html`<${Num} value=${typeof value === "object" ? text(value) : value} />`) },
      ]} />`}
  <//>`;
}
