// Jobs: what runs from file to file, how far it is, what came of it; and a form that submits a prediction job.

import { call, get, path } from "../api.js";
import { percent } from "../format.js";
import { Paged } from "../paged.js";
import { usePoll } from "../poll.js";
import { Card, Count, Facts, Failure, Loaded, Num, Page, Status, Table, Time, go, href } from "../ui.js";
import { html, useState } from "../vendor/htm-preact.js";

export default function Jobs({ segments }) {
  return segments[0] ? html`<${Job} id=${segments[0]} />` : html`<${List} />`;
}

function Progress({ job }) {
  const { chunks, chunks_done: done } = job.progress;
  if (job.status === "SUCCEEDED" || job.status === "FAILED") return html`<span>finished</span>`;
  return html`<span class="pair"><progress aria-label=${`Progress of ${job.job_id}`} max=${chunks || 1} value=${chunks ? done : 0}></progress>
    ${" "}<${Count} value=${done} /> of <${Count} value=${chunks} /></span>`;
}

const about = (job) => job.model ?? job.feature_view ?? (job.features ? `${job.features.length} features` : "–");

function List() {
  const [open, setOpen] = useState(false);
  return html`<${Page} title="Jobs" aside=${html`<button type="button" aria-expanded=${open} onClick=${() => setOpen(!open)}>Predict a file</button>`}>
    ${open && html`<${Submit} />`}
    <${Card} title="Newest first">
      <${Paged} where="/jobs" field="jobs" label="Jobs" keyOf=${(job) => job.job_id} empty="No job was submitted yet."
        textOf=${(job) => `${job.job_id} ${job.kind} ${job.status} ${about(job)} ${job.created_by}`}
        columns=${[
          { name: "Job", render: (job) => html`<a href=${href("jobs", job.job_id)}><code>${job.job_id}</code></a>` },
          { name: "Kind", sort: (job) => job.kind, render: (job) => job.kind.replaceAll("_", " ") },
          { name: "About", render: about },
          { name: "Status", sort: (job) => job.status, render: (job) => html`<${Status} value=${job.status} title=${job.failure?.detail} />` },
          { name: "Parts", render: (job) => html`<${Progress} job=${job} />` },
          { name: "Rows", number: true, render: (job) => html`<${Count} value=${job.progress.rows} />` },
          { name: "Failed", number: true, render: (job) => html`<${Count} value=${job.progress.failed} />` },
          { name: "Submitted", render: (job) => html`<${Time} value=${job.created_at} />` },
          { name: "By", render: (job) => job.created_by },
        ]} />
    <//>
  <//>`;
}

const once = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

function Submit() {
  const [given, setGiven] = useState({ model: "", input: "", output: "" });
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const [key, setKey] = useState(once); // a second press of the same request is the same job
  const field = (name) => ({
    value: given[name],
    required: true,
    onInput: (event) => {
      setGiven({ ...given, [name]: event.target.value });
      setKey(once());
    },
  });
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const job = await call("POST", path`/predict/${given.model.trim()}/batch`, {
        body: { input: given.input.trim(), output: given.output.trim() },
        headers: { "idempotency-key": key },
      });
      go("jobs", job.job_id);
    } catch (failed) {
      setError(failed);
      setBusy(false);
    }
  };
  return html`<${Card} title="Predict a file">
    <form onSubmit=${submit} class="row">
      <label class="field">Model <input ...${field("model")} /></label>
      <label class="field">Input, an s3:// address <input size="45" ...${field("input")} /></label>
      <label class="field">Output, a folder <input size="45" ...${field("output")} /></label>
      <button type="submit" class="primary" disabled=${busy}>Submit</button>
    </form>
    <${Failure} error=${error} />
  <//>`;
}

function Job({ id }) {
  const polled = usePoll((signal) => get(path`/jobs/${id}`, {}, signal), [id], { every: 2000 });
  return html`<${Page} title=${`Job ${id}`}>
    <p class="quiet"><a href=${href("jobs")}>All jobs</a></p>
    <${Loaded} of=${polled}>${(job) => html`
      <${Card} title=${job.kind.replaceAll("_", " ")} aside=${html`<${Status} value=${job.status} />`}>
        ${job.failure && html`<div class="failure"><strong><code>${job.failure.code}</code></strong><p>${job.failure.detail}</p></div>`}
        <${Facts} pairs=${[
          ["About", job.model ? html`<a href=${href("models", job.model)}>${job.model}</a>` : about(job)],
          ["Parts", html`<${Progress} job=${job} />`],
          ["Rows", html`<${Count} value=${job.progress.rows} />`],
          ["Failed rows", html`<${Count} value=${job.progress.failed} />`],
          ["May fail", job.max_failed_fraction === undefined ? null : html`<${Num} value=${job.max_failed_fraction} as=${percent} />`],
          ["Input", html`<code>${job.input}</code>`],
          ["Output", html`<code>${job.output}</code>`],
          ["Version", job.version],
          ["Submitted", html`<${Time} value=${job.created_at} exact />`],
          ["By", job.created_by],
          ["Started", job.started_at && html`<${Time} value=${job.started_at} exact />`],
          ["Finished", job.finished_at && html`<${Time} value=${job.finished_at} exact />`],
          ["Schedule", job.schedule],
        ]} />
      <//>
      ${job.outcome && html`<${Outcome} outcome=${job.outcome} />`}
    `}<//>
  <//>`;
}

// Counts and files of a finished job, whatever its kind.
function Outcome({ outcome }) {
  const entries = Object.entries(outcome).filter(([, value]) => value !== null);
  const plain = entries.filter(([, value]) => typeof value !== "object");
  const counted = entries.filter(([, value]) => typeof value === "object" && !Array.isArray(value));
  const listed = entries.filter(([, value]) => Array.isArray(value) && value.length);
  const words = (name) => name.replaceAll("_", " ");
  return html`<${Card} title="What came of it">
    <${Facts} pairs=${plain.map(([name, value]) => [words(name), typeof value === "number" ? html`<${Num} value=${value} />` : html`<code>${String(value)}</code>`])} />
    ${counted.map(([name, counts]) => html`<h3>${words(name)}</h3>
      <${Table} label=${words(name)} rows=${Object.entries(counts)} keyOf=${([key]) => key} empty="None."
        columns=${[
          { name: "Of", render: ([key]) => html`<code>${key}</code>` },
          { name: "Number", number: true, render: ([, value]) => typeof value === "number" ? html`<${Num} value=${value} />` : JSON.stringify(value) },
        ]} />`)}
    ${listed.map(([name, files]) => html`<h3>${words(name)}</h3>
      <ul class="plain-list">${files.map((file) => html`<li><code>${typeof file === "string" ? file : JSON.stringify(file)}</code></li>`)}</ul>`)}
  <//>`;
}
