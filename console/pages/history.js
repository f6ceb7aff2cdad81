// What was written of one cell: its value over time, and each write with when it was known and where it came from.

import { get, path } from "../api.js";
import { text } from "../format.js";
import { usePoll } from "../poll.js";
import { Steps } from "../series.js";
import { Card, Loaded, Num, Table, Time } from "../ui.js";
import { html, useState } from "../vendor/htm-preact.js";

const ROWS = 200;
const NUMBERS = ["float32", "float64", "int64", "bool"];
const SLOW = { every: 60000 }; // each answer reads files of the history
const drawable = (feature) => NUMBERS.includes(feature.dtype) && !feature.shape;

export function History({ view, entity }) {
  const [name, setName] = useState(() => (view.features.find(drawable) ?? view.features[0]).name);
  const [tokens, setTokens] = useState([]);
  const query = { entity_id: entity, feature: name, limit: ROWS, next_token: tokens.at(-1) ?? null };
  const polled = usePoll(
    (signal) => get(path`/features/views/${view.name}/history`, query, signal), [view.name, entity, name, tokens.at(-1)], SLOW,
  );
  const choice = html`<label class="search">Feature <select value=${name} onChange=${(event) => {
    setTokens([]);
    setName(event.target.value);
  }}>${view.features.map((each) => html`<option key=${each.name} value=${each.name}>${each.name}</option>`)}</select></label>`;
  return html`<${Card} title="History of one cell" aside=${choice}>
    <${Loaded} of=${polled}>${({ rows, next_token: next }) => html`
      ${drawable(view.features.find((each) => each.name === name)) && rows.length > 0 && html`<${Steps} label=${`${name} of ${entity}`} points=${points(rows, name)} />`}
      <${Table} label=${`History of ${name}`} rows=${rows} keyOf=${(row, place) => `${row.request_id} ${place}`}
        empty=${next ? "Nothing was written in this time; older writes may be there." : "Nothing was written that is kept."} columns=${[
          { name: "Event time", render: (row) => html`<${Time} value=${row.event_timestamp} exact />` },
          { name: "Value", number: true, render: (row) => html`<${Value} value=${row.features[name]} />` },
          { name: "Written", render: (row) => html`<${Time} value=${row.written_at} />` },
          { name: "By", render: (row) => html`<span title=${row.request_id}>${row.source}</span>` },
        ]} />
      ${(tokens.length > 0 || next !== null) && html`<div class="pager">
        <button type="button" disabled=${!tokens.length} onClick=${() => setTokens(tokens.slice(0, -1))}>Newer</button>
        <button type="button" disabled=${next === null} onClick=${() => setTokens([...tokens, next])}>Older</button>
      </div>`}
    `}<//>
  <//>`;
}

const Value = ({ value }) => (value === null ? "NULL" : html`<${Num} value=${typeof value === "object" ? text(value) : value} />`);

// The oldest first; of equal event times the write that counts, which comes first.
function points(rows, name) {
  const kept = rows.filter((row, place) => row.event_timestamp !== rows[place - 1]?.event_timestamp);
  return kept.reverse().map((row) => ({
    at: Date.parse(row.event_timestamp) / 1000, time: row.event_timestamp, value: plain(row.features[name]),
  }));
}

const plain = (value) => (typeof value === "boolean" ? Number(value) : value);
