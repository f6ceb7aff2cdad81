// Drift: which versions see or answer other than their baseline, series by series, the most drifted first.

import { get } from "../api.js";
import { Shares, inOrder } from "../charts.js";
import { number, percent } from "../format.js";
import { usePoll } from "../poll.js";
import { Card, Count, Facts, Listing, Loaded, Num, Page, Status, Table, Time, href } from "../ui.js";
import { html, useRef, useState } from "../vendor/htm-preact.js";
import { Window } from "../window.js";

const WINDOWS = ["15m", "1h", "24h", "7d"];

export default function Drift({ segments, query }) {
  const window = WINDOWS.includes(query.window) ? query.window : "1h";
  return segments.length > 1
    ? html`<${Report} model=${segments[0]} version=${segments[1]} window=${window} />`
    : html`<${Summaries} window=${window} />`;
}

function Summaries({ window }) {
  const polled = usePoll((signal) => get("/monitoring/drift", { window }, signal), [window]);
  return html`<${Page} title="Drift" aside=${html`<${Window} windows=${WINDOWS} current=${window} to=${(chosen) => href("drift", { window: chosen })} />`}>
    <${Loaded} of=${polled}>${({ models }) => html`<${Card} title="Versions with traffic, the most urgent first">
      <${Listing} label="Versions with traffic" rows=${models} keyOf=${(each) => `${each.model} ${each.version}`}
        textOf=${(each) => `${each.model} ${each.version} ${each.status} ${each.summary}`} empty="No version was asked in this time."
        columns=${[
          { name: "Status", render: (each) => html`<${Status} value=${each.status} />` },
          { name: "Version", render: (each) => html`<a href=${href("drift", each.model, each.version, { window })}>${each.model} ${each.version}</a>` },
          { name: "Rows", number: true, render: (each) => html`<${Count} value=${each.rows} />` },
          { name: "Error rate", number: true, render: (each) => html`<${Num} value=${each.error_rate} as=${percent} />` },
          { name: "What moved", render: (each) => each.summary },
        ]} />
    <//>`}<//>
  <//>`;
}

function Report({ model, version, window }) {
  const polled = usePoll((signal) => get("/monitoring/drift", { model, version, window, bins: "all" }, signal), [model, version, window]);
  const past = useRef(new Map());
  const hours = usePoll((signal) => hourly(model, version, past.current, signal), [model, version], { every: 60000 });
  const [wanted, setWanted] = useState("");
  return html`<${Page} title=${`Drift of ${model} ${version}`} aside=${html`<${Window} windows=${WINDOWS} current=${window} to=${(chosen) => href("drift", model, version, { window: chosen })} />`}>
    <p class="quiet"><a href=${href("drift", { window })}>All versions</a>, <a href=${href("models", model)}>the model</a></p>
    <${Loaded} of=${polled}>${(report) => {
      const sought = wanted.trim().toLowerCase();
      const found = report.series.filter((each) => labelOf(each).toLowerCase().includes(sought));
      return html`
        <${Card} title="Altogether" aside=${html`<${Status} value=${report.status} />`}>
          <p>${report.summary}</p>
          <${Facts} pairs=${[
            ["Rows", html`<${Count} value=${report.rows} />`],
            ["Failed rows", html`<${Count} value=${report.failed} />`],
            ["Calls not recorded", html`<${Count} value=${report.lost} />`],
            ["Level of each test", html`<${Num} value=${report.alpha} />`],
            ["Covered", html`<${Time} value=${report.window.start} exact /> to <${Time} value=${report.window.end} exact />`],
            ["Alarm", report.alarm === null ? null : html`<${Status} value=${report.alarm.status} /> <${Time} value=${report.alarm.since} />`],
          ]} />
        <//>
        <${History} polled=${hours} />
        ${report.series.length > 5 && html`<label class="search">Search the series
          <input type="search" value=${wanted} onInput=${(event) => setWanted(event.target.value)} /></label>`}
        ${found.length > 3 && html`<${Overview} series=${found} />`}
        <div class="grid">${found.slice(0, CARDS).map((each) => html`<${Series} key=${labelOf(each)} series=${each} />`)}</div>
        ${found.length > CARDS && html`<p class="quiet">The first ${CARDS} are drawn; search for another one.</p>`}
        ${!found.length && html`<p class="empty">${report.series.length ? "Nothing is found." : "There is no series to compare."}</p>`}
      `;
    }}<//>
  <//>`;
}

const CARDS = 30; // series drawn at once, the most drifted first

const HOUR = 3600000;
const HOURS = 12;

const SETTLED = 2; // hours that may still change: this one, and the one whose last rows are being counted

async function hour(model, version, start, end, signal) {
  const report = await get("/monitoring/drift", { model, version, start, end }, signal);
  const moved = report.series.filter((each) => each.status === "drift" || each.status === "warning");
  return { start, status: report.status, rows: report.rows, moved };
}

// past: what was found of hours that are over, which are asked for once.
async function hourly(model, version, past, signal) {
  const last = Math.floor(Date.now() / HOUR) * HOUR;
  const found = await Promise.all(
    Array.from({ length: HOURS }, (_, place) => {
      const start = new Date(last - place * HOUR).toISOString();
      const end = place ? new Date(last - (place - 1) * HOUR).toISOString() : null;
      return past.get(start) ?? hour(model, version, start, end, signal);
    }),
  );
  for (const each of found.slice(SETTLED)) past.set(each.start, each);
  return found;
}

function History({ polled }) {
  return html`<${Card} title="Hour by hour">
    <${Loaded} of=${polled}>${(hours) => html`<${Table} label="Drift hour by hour" rows=${hours.filter((each) => each.rows > 0)} keyOf=${(each) => each.start}
      empty=${`No row was answered in the last ${HOURS} hours.`} columns=${[
        { name: "From", render: (each) => html`<${Time} value=${each.start} exact />` },
        { name: "Status", render: (each) => html`<${Status} value=${each.status} />` },
        { name: "Rows", number: true, render: (each) => html`<${Count} value=${each.rows} />` },
        { name: "What moved", render: (each) => each.moved.map(labelOf).join(", ") || "–" },
      ]} />`}<//>
  <//>`;
}

function labelOf(series) {
  return series.dimension === null ? series.feature : `${series.feature} [${series.dimension === -1 ? "norm" : series.dimension}]`;
}

function Overview({ series }) {
  const missing = (each) => each.missing?.current;
  return html`<${Card} title="Every series">
    <${Table} label="Every series" rows=${series} keyOf=${labelOf} columns=${[
      { name: "Series", sort: labelOf, render: (each) => html`<code>${labelOf(each)}</code>` },
      { name: "Status", render: (each) => html`<${Status} value=${each.status} />` },
      { name: "PSI", number: true, sort: (each) => each.psi, render: (each) => html`<${Num} value=${each.psi} />` },
      { name: "Drift above", number: true, render: (each) => html`<${Num} value=${each.alert_threshold} />` },
      { name: "Missing", number: true, sort: missing, render: (each) => html`<${Num} value=${missing(each)} as=${percent} />` },
    ]} />
  <//>`;
}

const DRAWN = 12; // groups of values of one series; there are about ten

function Series({ series }) {
  const bins = inOrder(series.bins.slice(0, DRAWN), (bin) => bin.bin);
  return html`<${Card} title=${labelOf(series)} aside=${html`<${Status} value=${series.status} title=${series.reasons.join(", ")} />`}>
    <p>${series.sentence}</p>
    ${bins.length > 0 && html`
      <h3>${series.bins.length > DRAWN ? "The values that moved most" : "Distribution"}</h3>
      <${Shares} label=${`${labelOf(series)}: share by bin, reference and current`} series=${["reference", "current"]}
        rows=${bins.map((bin) => ({ name: bin.bin, values: [bin.reference, bin.current] }))} />`}
    <${Facts} pairs=${[
      ["Kind", `${series.kind}, ${series.type}`],
      ["PSI", series.psi === null ? null : html`<${Num} value=${series.psi} />, drift above <${Num} value=${series.alert_threshold} />`],
      ["Missing", pairOf(series.missing)],
      ["Outside of the baseline", pairOf(series.unknown)],
      ["Failed", pairOf(series.errors)],
      ["Values compared", html`<${Count} value=${series.n_current} /> with <${Count} value=${series.n_reference} />`],
    ]} />
    ${series.threshold_set_by === "sample_size" && html`<p class="quiet">So few values that chance alone exceeds the usual threshold; a higher one is used.</p>`}
    ${series.saturated && html`<p class="warning">A counter reached its ceiling: the shares are approximate.</p>`}
  <//>`;
}

function pairOf(rate) {
  if (!rate || rate.reference === null || rate.current === null) return null;
  const title = `${rate.reference} to ${rate.current}, p = ${number(rate.p)}`;
  return html`<span title=${title}>${percent(rate.reference)} to ${percent(rate.current)}</span>`;
}
