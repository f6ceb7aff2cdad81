// The dialogs that change a model's traffic. Each says what will be different, takes a reason, and sends one request.

import { call, path } from "../api.js";
import { percent, split as shares } from "../format.js";
import { Confirm } from "../ui.js";
import { html, useState } from "../vendor/htm-preact.js";

const production = (model) => model.production_version ?? "none";
const routed = (model) => shares(model.ab_split);

// What ends with another production version.
function ending(model) {
  return [
    ...(model.ab_split ? [["split", routed(model), "ended: all to production"]] : []),
    ...(model.ramp ? [["ramp", model.ramp.version, "ended"]] : []),
  ];
}

// Versions that may be given traffic, the newest first.
function servable(versions, model) {
  return versions.filter((each) => each.status === "READY" && each.stage !== "archived" && each.version !== model.production_version);
}

export function Promote({ model, version, onClose }) {
  const before = model.production_version;
  return html`<${Confirm} title=${`Put ${version.version} into production?`} action=${`Promote ${version.version}`}
    changes=${[
      ["in production", production(model), version.version],
      [`stage of ${version.version}`, version.stage, "production"],
      ...(before ? [[`stage of ${before}`, "production", "archived"]] : []),
      ...ending(model),
    ]}
    act=${(reason) =>
      call("POST", path`/models/${model.name}/promote/${version.version}`, { body: { reason, expected_production: before } })}
    onClose=${onClose} />`;
}

export function Rollback({ model, onClose }) {
  const before = model.production_version;
  const former = model.history.at(-1) ?? "none";
  return html`<${Confirm} title=${`Return to ${former}?`} action="Roll back" danger
    changes=${[
      ["in production", production(model), former],
      ...(before ? [[`stage of ${before}`, "production", "archived"]] : []),
      ...ending(model),
    ]}
    act=${(reason) => call("POST", path`/models/${model.name}/rollback`, { body: { reason, expected_production: before } })}
    onClose=${onClose} />`;
}

export function Archive({ model, version, onClose }) {
  return html`<${Confirm} title=${`Archive ${version.version}?`} action=${`Archive ${version.version}`}
    changes=${[[`stage of ${version.version}`, version.stage, "archived"]]}
    warning="A rollback passes it over, and its feature views may be deleted. Promoting it brings it back."
    act=${(reason) => call("POST", path`/models/${model.name}/versions/${version.version}/archive`, { body: { reason } })}
    onClose=${onClose} />`;
}

export function EndSplit({ model, onClose }) {
  return html`<${Confirm} title="End the split?" action="End the split" takesReason=${false}
    changes=${[["traffic", routed(model), `all to ${production(model)}`], ...(model.ramp ? [["ramp", model.ramp.version, "ended"]] : [])]}
    act=${() => call("DELETE", path`/models/${model.name}/ab-split`)} onClose=${onClose} />`;
}

export function EndShadow({ model, onClose }) {
  return html`<${Confirm} title="End the shadow?" action="End the shadow" takesReason=${false}
    changes=${[["shadow", model.shadow.version, "none"]]}
    act=${() => call("DELETE", path`/models/${model.name}/shadow`)} onClose=${onClose} />`;
}

const SLIDERS = 8; // shown at first: the versions of the split, and the newest others

// Shares of 1,000, so that they stay exact: the production version gets what the others leave.
export function Split({ model, versions, onClose }) {
  const main = model.production_version;
  const others = [...Object.keys(model.ab_split ?? {}), ...servable(versions, model).map((each) => each.version)].filter((each) => each !== main);
  const [parts, setParts] = useState(() =>
    Object.fromEntries(others.map((each) => [each, Math.round((model.ab_split?.[each] ?? 0) * 1000)])),
  );
  const [added, setAdded] = useState([]);
  const shown = Object.keys(parts).filter((each, place) => place < SLIDERS || added.includes(each));
  const left = Object.keys(parts).filter((each) => !shown.includes(each));
  const taken = Object.values(parts).reduce((sum, part) => sum + part, 0);
  const rest = 1000 - taken;
  const give = (version, wanted) => {
    const most = rest + parts[version];
    setParts({ ...parts, [version]: Math.max(0, Math.min(most, Math.round(wanted * 10))) });
  };
  const wanted = Object.fromEntries(
    [[main, rest], ...Object.entries(parts)].filter(([version, part]) => version && part > 0).map(([version, part]) => [version, part / 1000]),
  );
  return html`<${Confirm} title="Share the traffic" action="Split the traffic" disabled=${!main && rest > 0}
    changes=${[["traffic", model.ab_split ? routed(model) : `all to ${production(model)}`, shares(wanted)], ...(model.ramp ? [["ramp", model.ramp.version, "ended"]] : [])]}
    warning=${main ? null : "Without a production version the shares of the others must make 100 %."}
    act=${(reason) => call("POST", path`/models/${model.name}/ab-split`, { body: { split: wanted, reason } })}
    onClose=${onClose}>
    <div class="shares">
      ${main && html`<div class="share"><strong>${main}</strong><span class="quiet">in production, gets the rest</span><span>${percent(rest / 1000)}</span></div>`}
      ${shown.map(
        (version) => html`<div class="share" key=${version}>
          <strong>${version}</strong>
          <input type="range" min="0" max="100" step="0.1" aria-label=${`Share of ${version}`} value=${parts[version] / 10}
            onInput=${(event) => give(version, Number(event.target.value))} />
          <input type="number" min="0" max="100" step="0.1" aria-label=${`Share of ${version} in percent`} value=${parts[version] / 10}
            onChange=${(event) => give(version, Number(event.target.value))} />
        </div>`,
      )}
      ${left.length > 0 && html`<label class="field">Another version <select value="" onChange=${(event) => setAdded([...added, event.target.value])}>
        <option value="">choose one</option>${left.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select></label>`}
      ${!others.length && html`<p class="empty">No other version is ready.</p>`}
    </div>
  <//>`;
}

export function Shadow({ model, versions, onClose }) {
  const others = servable(versions, model).filter((each) => !model.ab_split?.[each.version]);
  const [version, setVersion] = useState(model.shadow?.version ?? others[0]?.version ?? "");
  const [sample, setSample] = useState(Math.round((model.shadow?.sample ?? 1) * 100));
  return html`<${Confirm} title="Show the traffic to a version that never answers" action="Set the shadow" disabled=${version === ""}
    changes=${[["shadow", model.shadow ? `${model.shadow.version}, ${percent(model.shadow.sample)}` : "none", version ? `${version}, ${percent(sample / 100)}` : "none"]]}
    warning="Each request it sees takes its inference longer."
    act=${(reason) => call("POST", path`/models/${model.name}/shadow`, { body: { version, sample: sample / 100, reason } })}
    onClose=${onClose}>
    <label class="field">Version <${Choice} versions=${others} value=${version} onChange=${setVersion} /></label>
    <label class="field">Share of the requests it sees: ${sample} %
      <input type="range" min="1" max="100" value=${sample} onInput=${(event) => setSample(Number(event.target.value))} /></label>
  <//>`;
}

function Choice({ versions, value, onChange }) {
  if (!versions.length) return html`<span>No other version is ready to serve.</span>`;
  return html`<select value=${value} onChange=${(event) => onChange(event.target.value)}>
    ${versions.map((each) => html`<option key=${each.version} value=${each.version}>${each.version} ${each.description}</option>`)}
  </select>`;
}

const STEPS = [[5, "1h"], [25, "4h"], [100, ""]];

export function Ramp({ model, versions, onClose }) {
  const others = servable(versions, model);
  const [version, setVersion] = useState(model.ramp?.version ?? others[0]?.version ?? "");
  const [steps, setSteps] = useState(STEPS);
  const change = (place, part, value) =>
    setSteps(steps.map((step, at) => (at === place ? step.map((each, which) => (which === part ? value : each)) : step)));
  const sent = steps.map(([share, time], place) => [share / 100, place === steps.length - 1 ? null : time]);
  const words = steps.map(([share, time], place) => (place === steps.length - 1 ? `${share} %` : `${share} % for ${time}`)).join(", ");
  return html`<${Confirm} title="Give a version more traffic step by step" action="Start the ramp" disabled=${version === ""}
    changes=${[["traffic", model.ab_split ? routed(model) : `all to ${production(model)}`, `${version}: ${words}`]]}
    warning=${model.guard ? "Each step is taken only while the guard holds. A last step of 100 % promotes the version." : "This model has no guard that would stop the ramp. A last step of 100 % promotes the version."}
    act=${(reason) => call("POST", path`/models/${model.name}/ab-split`, { body: { ramp: { version, steps: sent }, reason } })}
    onClose=${onClose}>
    <label class="field">Version <${Choice} versions=${others} value=${version} onChange=${setVersion} /></label>
    ${steps.map(
      ([share, time], place) => html`<div class="row" key=${place}>
        <label class="field">Share, % <input type="number" min="0.1" max="100" step="0.1" value=${share}
          aria-label=${`Share of step ${place + 1} in percent`} onInput=${(event) => change(place, 0, Number(event.target.value))} /></label>
        ${place < steps.length - 1 && html`<label class="field">for <input value=${time} size="6" aria-label=${`Duration of step ${place + 1}`}
          onInput=${(event) => change(place, 1, event.target.value)} /></label>`}
        <button type="button" disabled=${steps.length === 1} aria-label=${`Remove step ${place + 1}`}
          onClick=${() => setSteps(steps.filter((_, at) => at !== place))}>Remove</button>
      </div>`,
    )}
    <div><button type="button" onClick=${() => setSteps([...steps.slice(0, -1), [steps.at(-1)[0] / 2, "1h"], steps.at(-1)])}>Add a step</button></div>
  <//>`;
}
