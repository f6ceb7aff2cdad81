// Models: all of them, and one with its versions beside each other, its traffic and what happened to it.

import { get, path } from "../api.js";
import { bytes, number, percent, split } from "../format.js";
import { Paged } from "../paged.js";
import { usePoll } from "../poll.js";
import { Badge, Card, Facts, Loaded, Notice, Num, Page, Stage, Status, Table, Time, href } from "../ui.js";
import { html, useState } from "../vendor/htm-preact.js";
import { Archive, EndShadow, EndSplit, Promote, Ramp, Rollback, Shadow, Split } from "./changes.js";
import { Compare } from "./compare.js";
import { RemoveGuard, SetGuard, actionWords, ruleWords } from "./guard.js";
import { Trail } from "./trail.js";

export default function Models({ segments }) {
  return segments.length ? html`<${Model} key=${segments[0]} name=${segments[0]} />` : html`<${List} />`;
}

function List() {
  return html`<${Page} title="Models">
    <${Card}>
      <${Paged} where="/models" field="models" prefix every=${15000}
        label="Models" keyOf=${(model) => model.name} empty="No model is registered yet."
        textOf=${(model) => [model.name, model.description, ...Object.entries(model.tags).flat()].join(" ")}
        columns=${[
          { name: "Name", sort: (model) => model.name, render: (model) => html`<a href=${href("models", model.name)}>${model.name}</a>` },
          { name: "In production", render: (model) => model.production_version ?? "–" },
          { name: "Latest", render: (model) => model.latest_version ?? "–" },
          { name: "Traffic", render: (model) => split(model.ab_split) },
          { name: "Shadow", render: (model) => model.shadow?.version ?? "–" },
          { name: "Guard", render: (model) => (model.guard ? `${model.guard.rules.length} rules` : "–") },
          { name: "Description", render: (model) => model.description || "–" },
          { name: "Changed", sort: (model) => model.updated_at, render: (model) => html`<${Time} value=${model.updated_at} />` },
        ]} />
    <//>
  <//>`;
}

// sought: the one version that is shown; "": those of the page.
async function load(name, query, sought, signal) {
  const versions = sought
    ? get(path`/models/${name}/versions/${sought}`, {}, signal).then(
        (version) => ({ versions: [version], next_token: null }),
        (error) => {
          if (error.status === 404 || error.status === 422) return { versions: [], next_token: null };
          throw error;
        },
      )
    : get(path`/models/${name}/versions`, { limit: 50, ...query }, signal);
  const [model, page] = await Promise.all([get(path`/models/${name}`, {}, signal), versions]);
  return { model, versions: page.versions, next: page.next_token ?? null };
}

const DIALOGS = {
  promote: Promote, archive: Archive, rollback: Rollback, split: Split, endSplit: EndSplit, ramp: Ramp,
  shadow: Shadow, endShadow: EndShadow, guard: SetGuard, removeGuard: RemoveGuard,
};

function Model({ name }) {
  const [tokens, setTokens] = useState([]);
  const [stage, setStage] = useState("");
  const [compared, setCompared] = useState(null);
  const [asked, setAsked] = useState(null);
  const [done, setDone] = useState(null);
  const [sought, setSought] = useState("");
  const query = { next_token: tokens.at(-1) ?? null, stage };
  const polled = usePoll((signal) => load(name, query, sought, signal), [name, tokens.at(-1), stage, sought]);
  const close = (changed) => {
    setAsked(null);
    if (changed) {
      setDone("Done.");
      polled.refresh();
    }
  };
  const filter = html`<label class="search">Find a version <input type="search" size="6" placeholder="v17" value=${sought}
    onChange=${(event) => setSought(event.target.value.trim())} /></label>${" "}<label class="search">Stage <select value=${stage} onChange=${(event) => {
    setTokens([]);
    setSought("");
    setStage(event.target.value);
  }}><option value="">any</option>${["production", "staging", "archived"].map(
    (each) => html`<option key=${each} value=${each}>${each}</option>`,
  )}</select></label>`;
  return html`<${Page} title=${name} aside=${html`<a href="#/models">All models</a>`}>
    ${done && html`<${Notice}>${done}<//>`}
    <${Loaded} of=${polled}>${({ model, versions, next }) => {
      const chosen = compared ?? beside(model);
      // As it is now: what the dialog says is what it sends, whatever a poll brings meanwhile.
      const ask = (dialog, version = null) => {
        setDone(null);
        setAsked({ dialog, version, model, versions });
      };
      const Dialog = asked && DIALOGS[asked.dialog];
      return html`
        <${Traffic} model=${model} ask=${ask} />
        <${Card} title="Versions" aside=${filter}>
          <${Versions} model=${model} versions=${versions} more=${next !== null} chosen=${chosen} setChosen=${setCompared} ask=${ask} />
          ${(tokens.length > 0 || next !== null) &&
          html`<div class="pager">
            <button type="button" disabled=${!tokens.length} onClick=${() => setTokens(tokens.slice(0, -1))}>Newer</button>
            <button type="button" disabled=${next === null} onClick=${() => setTokens([...tokens, next])}>Older</button>
          </div>`}
        <//>
        <${Compare} model=${name} names=${chosen} known=${versions} />
        ${Dialog && html`<${Dialog} model=${asked.model} versions=${asked.versions} version=${asked.version} onClose=${close} />`}
      `;
    }}<//>
    ${(polled.data ?? polled.error === null) && html`<${Trail} model=${name} revision=${polled.data?.model.revision}
      aside=${html`<a href=${href("lineage", name)}>Lineage</a>`} />`}
  <//>`;
}

// What is compared as long as nobody chose: the latest version and the one in production.
const beside = (model) => [...new Set([model.latest_version, model.production_version])].filter((each) => each !== null);

function Traffic({ model, ask }) {
  const tags = Object.entries(model.tags);
  return html`<${Card} title="Traffic" aside=${html`<div class="link-buttons">
      <a class="button" href=${href("predict", model.name)}>Predict</a>
      <button type="button" onClick=${() => ask("split")}>Split</button>
      <button type="button" onClick=${() => ask("ramp")}>Ramp</button>
      ${model.ab_split && html`<button type="button" onClick=${() => ask("endSplit")}>End the split</button>`}
      <button type="button" onClick=${() => ask("shadow")}>Shadow</button>
      ${model.shadow && html`<button type="button" onClick=${() => ask("endShadow")}>End the shadow</button>`}
      <button type="button" onClick=${() => ask("guard")}>Guard</button>
      ${model.guard && html`<button type="button" onClick=${() => ask("removeGuard")}>Remove the guard</button>`}
      <button type="button" disabled=${!model.history.length} onClick=${() => ask("rollback")}>Roll back</button>
    </div>`}>
    ${model.description && html`<p>${model.description}</p>`}
    <${Facts} pairs=${[
      ["In production", html`<strong>${model.production_version ?? "none"}</strong>`],
      ["Split", split(model.ab_split)],
      ["Ramp", model.ramp && `${model.ramp.version}, step ${model.ramp.step + 1} of ${model.ramp.steps.length}`],
      ["Shadow", model.shadow && html`${model.shadow.version}, ${percent(model.shadow.sample)} since <${Time} value=${model.shadow.since} />`],
      ["Rollback leads to", model.history.at(-1) ?? "–"],
      ["Guard", model.guard ? html`<${Guard} guard=${model.guard} />` : "none"],
      ["Gates", Object.entries(model.require).map(([metric, gate]) => html`<${Badge}>${metric} ${gate.min ?? ""}…${gate.max ?? ""}<//> `)],
      ["Predictions logged", percent(model.log.sample)],
      ["Tags", tags.length > 0 && tags.map(([key, value]) => html`<${Badge}>${key}: ${value}<//> `)],
      ["Changed", html`<${Time} value=${model.updated_at} />`],
    ]} />
  <//>`;
}

function Guard({ guard }) {
  const trip = guard.last_trip;
  return html`${guard.rules.map(ruleWords).join("; ")}. Then ${actionWords(guard.action)}.${" "}
    ${!guard.armed && html`<${Badge} kind="warn">not armed<//>${" "}`}
    ${trip && html`<span class="quiet">Acted <${Time} value=${trip.at} />: ${trip.found}</span>`}`;
}

function Versions({ model, versions, more, chosen, setChosen, ask }) {
  const metrics = [...new Set(versions.flatMap((version) => Object.keys(version.metrics)))].slice(0, 4);
  const turn = (name) =>
    setChosen(chosen.includes(name) ? chosen.filter((each) => each !== name) : [...chosen, name].slice(-6));
  const serves = (version) =>
    version.version === model.production_version || (model.ab_split?.[version.version] ?? 0) > 0;
  return html`<${Table} label="Versions" rows=${versions} keyOf=${(version) => version.version}
    empty=${more ? "None among these; there are older versions." : "There is no such version."} columns=${[
      { name: "Compare", render: (version) => html`<input type="checkbox" aria-label=${`Compare ${version.version}`}
          checked=${chosen.includes(version.version)} onChange=${() => turn(version.version)} />` },
      { name: "Version", render: (version) => html`<strong>${version.version}</strong>` },
      { name: "Stage", render: (version) => html`<${Stage} value=${version.stage} />` },
      { name: "Status", render: (version) => html`<${Status} value=${version.status} title=${version.reason} />` },
      { name: "Share", number: true, render: (version) => html`<${Num} value=${share(model, version.version)} as=${percent} />` },
      ...metrics.map((metric) => ({
        name: metric, number: true, sort: (version) => version.metrics[metric], render: (version) => html`<${Num} value=${version.metrics[metric]} as=${number} />`,
      })),
      { name: "Size", number: true, render: (version) => html`<${Num} value=${version.size} as=${bytes} />` },
      { name: "Description", render: (version) => version.description || "–" },
      { name: "Created", render: (version) => html`<${Time} value=${version.created_at} /> by ${version.created_by}` },
      { name: "Change", render: (version) => html`<div class="link-buttons">
          <button type="button" aria-label=${`Promote ${version.version}`}
            disabled=${version.status !== "READY" || version.version === model.production_version}
            onClick=${() => ask("promote", version)}>Promote</button>
          <button type="button" aria-label=${`Archive ${version.version}`}
            disabled=${version.stage === "archived" || serves(version)}
            onClick=${() => ask("archive", version)}>Archive</button>
        </div>` },
    ]} />`;
}

// Of the model's traffic, 0 to 1.
function share(model, version) {
  if (model.ab_split) return model.ab_split[version] ?? 0;
  return version === model.production_version ? 1 : 0;
}
