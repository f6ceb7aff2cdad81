// The guard of a model: what it demands, and the dialogs that set and remove it.

import { call, path } from "../api.js";
import { Confirm } from "../ui.js";
import { html, useState } from "../vendor/htm-preact.js";

const METRICS = {
  error_rate: "share of failed rows", p99_ms: "p99 of the latency, ms", drift: "drift, largest PSI",
  "performance.accuracy": "accuracy", "performance.log_loss": "log loss", "performance.brier": "Brier score",
  "performance.mae": "mean absolute error", "performance.rmse": "RMSE",
};
const BOUNDS = { max: "at most", min: "at least", worse_than_baseline: "worse than the baseline by at most" };
const ACTIONS = { rollback: "roll back", end_split: "end the split", announce: "announce it" };
const WINDOWS = ["5m", "15m", "1h"];
const NEW = { metric: "error_rate", bound: "max", value: "0.05", windows: "2", window: "5m" };

const boundsOf = (metric) =>
  metric === "drift" ? ["max"] : metric.startsWith("performance.") ? Object.keys(BOUNDS) : ["max", "worse_than_baseline"];

export function ruleWords(rule) {
  const bound = Object.keys(BOUNDS).find((each) => typeof rule[each] === "number");
  return `${METRICS[rule.metric] ?? rule.metric} ${BOUNDS[bound]} ${rule[bound]}, in ${rule.windows} windows of ${rule.window}`;
}

export const actionWords = (action) => ACTIONS[action] ?? action;

// The rule of an answer as the form has it, and back.
function formOf(rule) {
  const bound = Object.keys(BOUNDS).find((each) => typeof rule[each] === "number");
  return { metric: rule.metric, bound, value: String(rule[bound]), windows: String(rule.windows), window: rule.window };
}

function ruleOf({ metric, bound, value, windows, window }) {
  return { metric, [bound]: value.trim() === "" ? NaN : Number(value), windows: Number(windows), window };
}

function differences(model, rules, action) {
  const before = model.guard?.rules.map(ruleWords) ?? [];
  const after = rules.map(ruleWords);
  return [
    ...before.filter((each) => !after.includes(each)).map((each) => ["rule", each, "removed"]),
    ...after.filter((each) => !before.includes(each)).map((each) => ["rule", "none", each]),
    ...(model.guard?.action === action ? [] : [["when a rule is broken", model.guard ? actionWords(model.guard.action) : "nothing", actionWords(action)]]),
    ...(model.guard && !model.guard.armed ? [["armed", "no", "yes"]] : []),
  ];
}

export function SetGuard({ model, onClose }) {
  const [forms, setForms] = useState(() => model.guard?.rules.map(formOf) ?? [NEW]);
  const [action, setAction] = useState(model.guard?.action ?? "rollback");
  const change = (place, fields) => setForms(forms.map((form, at) => (at === place ? { ...form, ...fields } : form)));
  const rules = forms.map(ruleOf);
  const valid = forms.length > 0 && rules.every((rule, place) => Number.isFinite(rule[forms[place].bound]) && rule.windows >= 1);
  const changes = differences(model, rules, action);
  return html`<${Confirm} title=${model.guard ? "Change the guard" : "Set a guard"} action="Set the guard" disabled=${!valid || !changes.length}
    changes=${changes} warning="It is evaluated every five minutes, on every version with traffic. Any one rule is enough."
    act=${(reason) => call("PUT", path`/models/${model.name}/guard`, { body: { rules, action, reason } })} onClose=${onClose}>
    ${forms.map((form, place) => html`<${Rule} key=${place} form=${form} place=${place} change=${(fields) => change(place, fields)}
      remove=${forms.length > 1 && (() => setForms(forms.filter((_, at) => at !== place)))} />`)}
    <div><button type="button" disabled=${forms.length >= 10} onClick=${() => setForms([...forms, NEW])}>Add a rule</button></div>
    <label class="field">When a rule is broken <select value=${action} onChange=${(event) => setAction(event.target.value)}>
      ${Object.entries(ACTIONS).map(([each, words]) => html`<option key=${each} value=${each}>${words}</option>`)}</select></label>
  <//>`;
}

function Rule({ form, place, change, remove }) {
  const name = (what) => `${what} of rule ${place + 1}`;
  const metric = (event) => {
    const bounds = boundsOf(event.target.value);
    change({ metric: event.target.value, bound: bounds.includes(form.bound) ? form.bound : bounds[0] });
  };
  return html`<fieldset class="choices"><legend>Rule ${place + 1}</legend><div class="row">
    <label class="field">Measure <select aria-label=${name("Measure")} value=${form.metric} onChange=${metric}>
      ${Object.entries(METRICS).map(([each, words]) => html`<option key=${each} value=${each}>${words}</option>`)}</select></label>
    <label class="field">Bound <select aria-label=${name("Bound")} value=${form.bound} onChange=${(event) => change({ bound: event.target.value })}>
      ${boundsOf(form.metric).map((each) => html`<option key=${each} value=${each}>${BOUNDS[each]}</option>`)}</select></label>
    <label class="field">Value <input type="number" step="any" aria-label=${name("Value")} value=${form.value}
      onInput=${(event) => change({ value: event.target.value })} /></label>
    <label class="field">Windows in a row <input type="number" min="1" max="24" aria-label=${name("Windows")} value=${form.windows}
      onInput=${(event) => change({ windows: event.target.value })} /></label>
    <label class="field">of <select aria-label=${name("Length of a window")} value=${form.window} onChange=${(event) => change({ window: event.target.value })}>
      ${WINDOWS.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select></label>
    ${remove && html`<button type="button" aria-label=${`Remove rule ${place + 1}`} onClick=${remove}>Remove</button>`}
  </div></fieldset>`;
}

export function RemoveGuard({ model, onClose }) {
  return html`<${Confirm} title="Remove the guard?" action="Remove the guard" danger takesReason=${false}
    changes=${model.guard.rules.map((rule) => ["rule", ruleWords(rule), "removed"])}
    warning=${model.ramp ? "The ramp then takes its steps by time alone." : "Nothing then takes a bad version back."}
    act=${() => call("DELETE", path`/models/${model.name}/guard`)} onClose=${onClose} />`;
}
