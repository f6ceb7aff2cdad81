// A listing of the API that stays usable with any number of entries: one page is asked for and shown, never all.

import { get } from "./api.js";
import { usePoll } from "./poll.js";
import { Loaded, Table } from "./ui.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";

const TYPING = 250; // ms without a key before the API is asked

// The newest value that has not changed for a while.
function useSettled(value) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), TYPING);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

// where, query: the listing; field: the answer's list; next: what the answer, and the request, call the next page's token.
// textOf(row): what is searched as long as everything is on one page. Beyond, the API finds names by how they begin, if it
// takes a `prefix`. The order is the API's: columns sort where everything is shown. size: entries of a page. When `fresh`
// changes, the page is asked for at once.
export function Paged({ where, query = {}, field, next = "next_token", textOf, prefix = false, size = 100, every, fresh, label, columns, keyOf, empty }) {
  const [tokens, setTokens] = useState([]);
  const [typed, setTyped] = useState("");
  const large = useRef(false); // as soon as one answer had a next page
  const settled = useSettled(typed.trim());
  const sought = large.current && prefix ? settled : "";
  const token = tokens.at(-1) ?? null;
  const ask = (signal) => get(where, { ...query, limit: size, prefix: sought, [next]: token }, signal);
  const polled = usePoll(ask, [where, token, sought], { every });
  const before = useRef(fresh);
  useEffect(() => {
    if (before.current !== undefined && before.current !== fresh) polled.refresh();
    before.current = fresh;
  }, [fresh]);
  const following = polled.data?.[next] ?? null;
  if (following !== null) large.current = true;
  const shown = useRef(false);
  if (polled.data !== null) shown.current = large.current ? prefix : polled.data[field].length > 5;
  const text = large.current ? "" : typed.trim().toLowerCase();
  return html`<div>
    ${shown.current &&
    html`<label class="search">${large.current ? "Name begins with" : "Search"}
      <input type="search" value=${typed} onInput=${(event) => {
        setTyped(event.target.value);
        setTokens([]);
      }} /></label>`}
    <${Loaded} of=${polled}>${(answer) => html`<${Table} label=${label} keyOf=${keyOf}
      columns=${large.current ? columns.map((column) => ({ ...column, sort: undefined })) : columns}
      rows=${text ? answer[field].filter((row) => textOf(row).toLowerCase().includes(text)) : answer[field]}
      empty=${text || sought ? "Nothing is found." : following ? "Nothing on this page." : empty} />`}<//>
    ${(tokens.length > 0 || following !== null) &&
    html`<nav class="pager" aria-label=${`Pages of ${label}`}>
      <button type="button" disabled=${!tokens.length} onClick=${() => setTokens(tokens.slice(0, -1))}>Back</button>
      <span role="status">Page ${tokens.length + 1}</span>
      <button type="button" disabled=${following === null} onClick=${() => setTokens([...tokens, following])}>Next</button>
    </nav>`}
  </div>`;
}
