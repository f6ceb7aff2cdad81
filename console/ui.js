// The parts that pages are made of. Whatever comes from the API becomes a text node or an attribute, never markup.

import { ago, count, moment, number } from "./format.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";

// href("models", name) → "#/models/…"; a last object becomes the query.
export function href(...parts) {
  const last = parts.at(-1);
  const query = typeof last === "object" && last !== null ? parts.pop() : {};
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== null && value !== undefined));
  const tail = search.size ? `?${search}` : "";
  return `#/${parts.map(encodeURIComponent).join("/")}${tail}`;
}

export function go(...parts) {
  location.hash = href(...parts);
}

// Title, what belongs beside it, and the page below.
export function Page({ title, aside, children }) {
  useEffect(() => {
    document.title = `${title} · NeuralStream`;
  }, [title]);
  return html`<div class="page">
    <div class="page-head"><h1 tabindex="-1">${title}</h1><div class="page-aside">${aside}</div></div>
    ${children}
  </div>`;
}

export function Card({ title, aside, children }) {
  return html`<section class="card">
    ${(title || aside) && html`<div class="card-head"><h2>${title}</h2><div>${aside}</div></div>`}
    ${children}
  </section>`;
}

export function Num({ value, as = number }) {
  return html`<span class="num" title=${value === null || value === undefined ? null : String(value)}>${as(value)}</span>`;
}

export const Count = ({ value }) => html`<${Num} value=${value} as=${count} />`;

// A time as it is spoken of, with the exact one on hover. exact: written out.
export function Time({ value, exact = false }) {
  if (value === null || value === undefined) return html`<span>–</span>`;
  return html`<time datetime=${value} title=${value}>${exact ? moment(value) : ago(value)}</time>`;
}

// kind: ok, warn, bad, info or plain.
export function Badge({ kind = "plain", title, children }) {
  return html`<span class=${`badge ${kind}`} title=${title}>${children}</span>`;
}

const STAGES = { production: "ok", staging: "info", archived: "plain" };
const STATUSES = {
  READY: "ok", FAILED: "bad", ok: "ok", warning: "warn", drift: "bad", degraded: "bad", unavailable: "bad",
  insufficient_data: "plain", no_reference: "plain", SUCCEEDED: "ok", RUNNING: "info", SUBMITTED: "info",
  present: "ok", active: "ok", expired: "warn", revoked: "plain", NULL: "plain", EXPIRED: "warn", NOT_FOUND: "warn",
  holds: "ok", broken: "bad",
};

export const Stage = ({ value }) => html`<${Badge} kind=${STAGES[value]}>${value}<//>`;
export const Status = ({ value, title }) =>
  html`<${Badge} kind=${STATUSES[value]} title=${title}>${String(value).replaceAll("_", " ")}<//>`;

// columns: [{name, label, render(row), number, sort(row)}]. label: what the table shows, for who hears it.
export function Table({ label, columns, rows, empty = "There is nothing yet.", keyOf = (row, place) => place }) {
  const [order, setOrder] = useState(null);
  if (!rows.length) return html`<p class="empty">${empty}</p>`;
  const sorter = order && columns[order.place].sort;
  const shown = sorter ? [...rows].sort((a, b) => order.sign * compare(sorter(a), sorter(b))) : rows;
  const turn = (place) =>
    setOrder(order?.place === place ? { place, sign: -order.sign } : { place, sign: 1 });
  return html`<div class="table-scroll" tabindex="0" role="region" aria-label=${label}><table>
    <thead><tr>${columns.map(
      (column, place) => html`<th
        scope="col"
        class=${column.number ? "right" : null}
        aria-sort=${order?.place === place ? (order.sign > 0 ? "ascending" : "descending") : null}
      >${column.sort
        ? html`<button type="button" class="sort" onClick=${() => turn(place)}>${column.name}</button>`
        : column.name}</th>`,
    )}</tr></thead>
    <tbody>${shown.map(
      (row, place) => html`<tr key=${keyOf(row, place)}>${columns.map(
        (column) => html`<td class=${column.number ? "right" : null}>${column.render(row)}</td>`,
      )}</tr>`,
    )}</tbody>
  </table></div>`;
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return 1;
  if (b === null || b === undefined) return -1;
  return a < b ? -1 : 1;
}

// A listing that stays usable with thousands of rows: searched, and shown by the page. textOf(row): what is searched.
export function Listing({ label, columns, rows, empty, keyOf, textOf, size = 50 }) {
  const [wanted, setWanted] = useState("");
  const [page, setPage] = useState(0);
  const sought = wanted.trim().toLowerCase();
  const found = sought ? rows.filter((row) => textOf(row).toLowerCase().includes(sought)) : rows;
  const last = Math.max(0, Math.ceil(found.length / size) - 1);
  const at = Math.min(page, last);
  return html`<div>
    ${rows.length > 5 &&
    html`<label class="search">Search <input type="search" value=${wanted} onInput=${(event) => {
      setWanted(event.target.value);
      setPage(0);
    }} /></label>`}
    <${Table} label=${label} columns=${columns} rows=${found.slice(at * size, (at + 1) * size)} keyOf=${keyOf}
      empty=${sought ? "Nothing is found." : empty} />
    ${last > 0 &&
    html`<div class="pager">
      <button type="button" disabled=${at === 0} onClick=${() => setPage(at - 1)}>Back</button>
      <span>${count(at * size + 1)} to ${count(Math.min(found.length, (at + 1) * size))} of ${count(found.length)}</span>
      <button type="button" disabled=${at === last} onClick=${() => setPage(at + 1)}>Next</button>
    </div>`}
  </div>`;
}

// Names and values side by side; entries without a value are left out. pairs: [[name, value], …]
export function Facts({ pairs }) {
  const absent = (value) => value === null || value === undefined || value === "" || value === false || value?.length === 0;
  const shown = pairs.filter(([, value]) => !absent(value));
  return html`<dl class="facts">${shown.map(
    ([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`,
  )}</dl>`;
}

// An error of the API in words: what is missing, where the request is wrong.
export function Failure({ error }) {
  if (!error) return null;
  const heading = error.missingScope
    ? "This key may not do that"
    : error.status === 0
      ? "The stack does not answer"
      : error.needsKey
        ? "A key is needed"
        : (error.problem?.title ?? "That did not work");
  return html`<div class="failure" role="alert">
    <strong>${heading}</strong>
    <p>${error.message}</p>
    ${error.places?.length > 0 &&
    html`<ul>${error.places.map((place) => html`<li><code>${place.loc}</code> ${place.msg}</li>`)}</ul>`}
  </div>`;
}

// What a poll answered: the children's function with the data; before that, waiting or the error.
export function Loaded({ of, children }) {
  if (of.data !== null) return children(of.data);
  if (of.error) return html`<${Failure} error=${of.error} />`;
  return html`<p class="empty" role="status" aria-busy="true">Loading…</p>`;
}

// A button that cannot be pressed twice while its promise is pending.
export function Action({ onClick, kind = "plain", disabled = false, children }) {
  const [busy, setBusy] = useState(false);
  const press = async () => {
    setBusy(true);
    try {
      await onClick();
    } finally {
      setBusy(false);
    }
  };
  return html`<button type="button" class=${kind} disabled=${disabled || busy} onClick=${press}>${children}</button>`;
}

export function Dialog({ title, onClose, children }) {
  const element = useRef(null);
  useEffect(() => {
    const dialog = element.current;
    if (!dialog.open) dialog.showModal();
    return () => dialog.open && dialog.close();
  }, []);
  return html`<dialog ref=${element} aria-labelledby="dialog-title" onCancel=${(event) => {
    event.preventDefault();
    onClose();
  }}>
    <h2 id="dialog-title">${title}</h2>
    ${children}
  </dialog>`;
}

// Asks before a change: what is changed from what to what, and why. changes: [[what, from, to], …].
// act(reason or null) → a promise; its error is shown and the dialog stays.
export function Confirm({ title, changes, warning, action, danger = false, disabled = false, takesReason = true, act, onClose, children }) {
  const [reason, setReason] = useState("");
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await act(reason.trim() || null);
      onClose(true);
    } catch (failed) {
      setError(failed);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${title} onClose=${() => onClose(false)}>
    <form onSubmit=${submit}>
      ${children}
      ${changes.length > 0 &&
      html`<table class="changes">
        <caption>What will change</caption>
        <thead><tr><th scope="col">What</th><th scope="col">Now</th><th scope="col">Then</th></tr></thead>
        <tbody>${changes.map(
          ([what, from, to]) => html`<tr><th scope="row">${what}</th><td>${from}</td><td>${to}</td></tr>`,
        )}</tbody>
      </table>`}
      ${warning && html`<p class="warning">${warning}</p>`}
      ${takesReason &&
      html`<label class="field">Reason, for the audit trail
        <textarea rows="2" maxlength="1024" value=${reason} onInput=${(event) => setReason(event.target.value)} />
      </label>`}
      <${Failure} error=${error} />
      <div class="buttons">
        <button type="button" onClick=${() => onClose(false)}>Cancel</button>
        <button type="submit" class=${danger ? "danger" : "primary"} disabled=${busy || disabled}>${action}</button>
      </div>
    </form>
  <//>`;
}

// Says what just happened, once, also to who listens.
export function Notice({ children }) {
  return html`<p class="notice" role="status">${children}</p>`;
}

// tabs: [[key, label], …]
export function Tabs({ label, tabs, current, to }) {
  return html`<nav class="tabs" aria-label=${label}>${tabs.map(
    ([key, name]) => html`<a key=${key} href=${to(key)} aria-current=${key === current ? "page" : null}>${name}</a>`,
  )}</nav>`;
}
