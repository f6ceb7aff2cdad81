// Outcomes: whether the models are right, by what became of their predictions, and which version of a split is better.

import { get, path } from "../api.js";
import { Intervals, Shares } from "../charts.js";
import { number, percent } from "../format.js";
import { Paged } from "../paged.js";
import { usePoll } from "../poll.js";
import { Series } from "../series.js";
import { Badge, Card, Count, Facts, Failure, Loaded, Num, Page, Status, Table, Time, go, href } from "../ui.js";
import { html, useState } from "../vendor/htm-preact.js";
import { Window } from "../window.js";

const WINDOWS = ["1h", "24h", "7d", "30d"];
const SLOW = { every: 30000 }; // each answer reads files of the history
const WORDS = {
  accuracy: "accuracy", log_loss: "log loss", brier: "Brier score", auc: "AUC", ece: "calibration error (ECE)",
  mae: "mean absolute error", rmse: "RMSE", bias: "bias", r2: "R²",
};
const wordOf = (metric) => WORDS[metric] ?? metric;

export default function Outcomes({ segments, query }) {
  const window = WINDOWS.includes(query.window) ? query.window : "7d";
  return segments[0]
    ? html`<${Model} model=${segments[0]} window=${window} feature=${query.slices ?? ""} />`
    : html`<${Models} />`;
}

function Models() {
  return html`<${Page} title="Outcomes">
    <${Card} title="Models">
      <${Paged} where="/models" field="models" prefix every=${15000} label="Models" keyOf=${(each) => each.name} textOf=${(each) => each.name} empty="No model is registered yet."
        columns=${[
          { name: "Model", sort: (each) => each.name, render: (each) => html`<a href=${href("outcomes", each.name)}>${each.name}</a>` },
          { name: "In production", render: (each) => each.production_version ?? "–" },
          { name: "Split", render: (each) => each.ab_split ? Object.keys(each.ab_split).join(" against ") : "–" },
        ]} />
    <//>
  <//>`;
}

function Model({ model, window, feature }) {
  const series = window === "1h" || window === "24h" ? "hour" : "day";
  const polled = usePoll(
    (signal) => get("/monitoring/performance", { model, window, series, slices: feature }, signal),
    [model, window, feature],
    SLOW,
  );
  const to = (chosen) => href("outcomes", model, { window: chosen, slices: feature || null });
  return html`<${Page} title=${`Outcomes of ${model}`} aside=${html`<${Window} windows=${WINDOWS} current=${window} to=${to} />`}>
    <p class="quiet"><a href=${href("outcomes")}>All models</a>, <a href=${href("models", model)}>the model</a></p>
    <${Experiment} model=${model} />
    <${Loaded} of=${polled}>${(performance) => html`
      ${!performance.versions.length && html`<p class="empty">No prediction of this time is in the log yet. Predictions come into it a minute after they were made.</p>`}
      ${performance.unmatched > 0 && html`<p class="warning"><${Count} value=${performance.unmatched} /> outcomes belong to no prediction in the log. They are kept, and count as soon as their prediction is there.</p>`}
      ${performance.versions.map((each) => html`<${Version} key=${`${each.version} ${each.shadow}`} version=${each} feature=${feature} />`)}
      <${Slicing} model=${model} window=${window} feature=${feature} />
    `}<//>
  <//>`;
}

function Version({ version, feature }) {
  const metrics = Object.entries(version.metrics);
  const first = metrics[0]?.[0];
  const points = version.series.map((period) => ({ at: new Date(period.start).getTime() / 1000, ...period.metrics[first] }));
  return html`<${Card} title=${version.shadow ? `${version.version}, as a shadow` : version.version}
      aside=${version.decline && html`<${Status} value=${version.decline.status} />`}>
    <p>${version.sentence}</p>
    <${Facts} pairs=${[
      ["Predictions", html`<${Count} value=${version.predictions} />`],
      ["With an outcome", html`<${Count} value=${version.matched} />`],
      ["Their share", html`<${Num} value=${version.coverage} as=${percent} />`],
      ["Left out", version.left_out ? html`<${Count} value=${version.left_out} />` : null],
    ]} />
    ${version.decline && version.decline.series.map((each) => html`<p key=${each.feature}>${each.sentence}</p>`)}
    <${Table} label=${`Measures of ${version.version}`} rows=${metrics} keyOf=${([name]) => name} empty="Nothing is measured yet."
      columns=${[
        { name: "Measure", render: ([name]) => wordOf(name) },
        { name: "Value", number: true, render: ([, found]) => html`<${Num} value=${found.value} />` },
        { name: "95 % interval", number: true, render: ([, found]) => html`<${Num} value=${found.low} /> to <${Num} value=${found.high} />` },
        { name: "Over", number: true, render: ([, found]) => html`<${Count} value=${found.n} />` },
      ]} />
    ${points.length > 1 && html`<h3>${`${wordOf(first)} over time`}</h3>
      <${Series} label=${`${wordOf(first)} of ${version.version} over time, with its 95 % interval`} points=${points} />`}
    ${version.calibration.length > 0 && html`<h3>Calibration</h3>
      <${Shares} label=${`Calibration of ${version.version}: predicted probability and observed share`} series=${["predicted", "observed"]}
        rows=${version.calibration.map((bin) => ({ name: `${number(bin.low)} to ${number(bin.high)} (${bin.n})`, values: [bin.predicted, bin.observed] }))} />`}
    ${feature && html`<h3>${`By ${feature}, the worst first`}</h3>
      <${Table} label=${`${version.version} by ${feature}`} rows=${version.slices} empty="No value of this feature has 30 predictions with an outcome, or its values were not logged."
        columns=${[
          { name: "Values", render: (each) => html`<code>${each.values}</code>` },
          { name: "Predictions", number: true, render: (each) => html`<${Count} value=${each.n} />` },
          { name: "Measure", number: true, render: (each) => html`<${Num} value=${each.measured.value} /> (<${Num} value=${each.measured.low} /> to <${Num} value=${each.measured.high} />)` },
          { name: "Against the rest", render: (each) => each.worse ? html`<${Badge} kind="bad">worse<//>` : html`<${Badge}>not shown worse<//>` },
        ]} />`}
  <//>`;
}

function Slicing({ model, window, feature }) {
  const [wanted, setWanted] = useState(feature);
  const submit = (event) => {
    event.preventDefault();
    go("outcomes", model, { window, slices: wanted.trim() || null });
  };
  return html`<${Card} title="By values of a feature">
    <p class="quiet">Of a model that logs its features: the values for which it is worst.</p>
    <form class="row" onSubmit=${submit}>
      <label class="field">Feature, view:feature or request:name
        <input value=${wanted} onInput=${(event) => setWanted(event.target.value)} /></label>
      <button type="submit">Show</button>
    </form>
  <//>`;
}

// Of a split that runs; of one that has ended when it is asked for, since most models never had one.
function Experiment({ model }) {
  const polled = usePoll((signal) => get(path`/models/${model}/ab-split`, {}, signal), [model]);
  const [asked, setAsked] = useState(false);
  if (polled.data === null) return null; // why is said below
  if (polled.data.split || asked) return html`<${Results} model=${model} />`;
  return html`<${Card} title="Experiment">
    <p class="quiet">No split is running.</p>
    <div><button type="button" onClick=${() => setAsked(true)}>Results of the last split</button></div>
  <//>`;
}

function Results({ model }) {
  const polled = usePoll((signal) => get(path`/models/${model}/ab-split/results`, {}, signal), [model], SLOW);
  if (polled.data === null) return polled.error ? html`<${Failure} error=${polled.error} />` : null;
  const results = polled.data;
  const verdict = results.comparisons.filter((each) => each.metric === results.metric);
  return html`<${Card} title="Experiment" aside=${html`<${Badge} kind=${results.running ? "info" : "plain"}>${results.running ? "running" : "ended"}<//>`}>
    <p><strong>${results.verdict}</strong></p>
    <${Facts} pairs=${[
      ["Compared with", results.production],
      ["By", wordOf(results.metric)],
      ["Since", html`<${Time} value=${results.start} exact />`],
      ["Wrong in at most", html`<${Num} value=${results.alpha} as=${percent} /> of all tests, however often one looks`],
      ["Traffic", results.traffic && html`<${Badge} kind=${results.traffic.mismatch ? "bad" : "ok"} title=${`p = ${results.traffic.p}`}>${results.traffic.mismatch ? "does not follow the split" : "follows the split"}<//>`],
    ]} />
    <${Table} label="Versions of the split" rows=${results.versions} keyOf=${(each) => each.version}
      columns=${[
        { name: "Version", render: (each) => each.version },
        { name: "Share", number: true, render: (each) => html`<${Num} value=${each.share} as=${percent} />` },
        { name: "Predictions", number: true, render: (each) => html`<${Count} value=${each.predictions} />` },
        { name: "With an outcome", number: true, render: (each) => html`<${Count} value=${each.matched} />` },
        { name: "Entities", number: true, render: (each) => html`<${Count} value=${each.entities} />` },
        { name: wordOf(results.metric), number: true, render: (each) => html`<${Num} value=${each.metrics[results.metric]?.value} />` },
      ]} />
    <${Intervals} label=${`Difference in ${wordOf(results.metric)} from ${results.production}, with its always-valid interval`} zero
      rows=${verdict.map((each) => ({ name: `${each.version} less ${results.production}`, value: each.value, low: each.low, high: each.high }))} />
    <${Table} label="Differences by measure" rows=${results.comparisons} keyOf=${(each) => `${each.version} ${each.metric}`}
      empty="There is nothing to compare yet." columns=${[
        { name: "Version", render: (each) => each.version },
        { name: "Measure", render: (each) => wordOf(each.metric) },
        { name: "Difference", number: true, render: (each) => html`<${Num} value=${each.value} />` },
        { name: "Interval", number: true, render: (each) => html`<${Num} value=${each.low} /> to <${Num} value=${each.high} />` },
        { name: "Shown", render: (each) => each.better === null ? "no difference" : html`<${Badge} kind=${each.better ? "ok" : "bad"}>${each.better ? "better" : "worse"}<//>` },
        { name: "In words", render: (each) => each.sentence },
      ]} />
  <//>`;
}
