// API keys: who holds which, with what scopes; mint one and revoke one.

import { call, path } from "../api.js";
import { Paged } from "../paged.js";
import { Badge, Card, Confirm, Failure, Page, Status, Time } from "../ui.js";
import { html, useState } from "../vendor/htm-preact.js";

const SCOPES = {
  "features:read": "read feature views and values",
  "features:write": "declare views, write and forget values",
  "models:read": "read models, versions and lineage",
  "models:write": "register, promote, split, roll back",
  predict: "predict, run batch jobs",
  outcomes: "send outcomes",
  monitoring: "read statistics and drift, see everybody's jobs",
  keys: "mint and revoke keys",
};

export default function Keys() {
  const [changes, setChanges] = useState(0);
  const changed = () => setChanges((n) => n + 1);
  const [revoking, setRevoking] = useState(null);
  return html`<${Page} title="API keys">
    <${Mint} onMinted=${changed} />
    <${Card} title="All keys">
      <${Paged} where="/keys" field="keys" every=${15000} fresh=${changes} label="API keys" keyOf=${(key) => key.key_id} empty="There is no key yet."
        textOf=${(key) => [key.key_id, key.principal, key.description, key.state, ...key.scopes].join(" ")}
        columns=${[
          { name: "Id", render: (key) => html`<code>${key.key_id}</code>` },
          { name: "Holder", sort: (key) => key.principal, render: (key) => key.principal },
          { name: "State", sort: (key) => key.state, render: (key) => html`<${Status} value=${key.state} />` },
          { name: "Scopes", render: (key) => key.scopes.map((scope) => html`<${Badge}>${scope}<//> `) },
          { name: "Description", render: (key) => key.description || "–" },
          { name: "Created", sort: (key) => key.created_at, render: (key) => html`<${Time} value=${key.created_at} /> ${key.created_by && `by ${key.created_by.principal}`}` },
          { name: "Ends", sort: (key) => key.expires_at, render: (key) => (key.expires_at ? html`<${Time} value=${key.expires_at} />` : "when revoked") },
          { name: "", render: (key) => key.state !== "revoked" && html`<button type="button" aria-label=${`Revoke ${key.key_id}`} onClick=${() => setRevoking(key)}>Revoke</button>` },
        ]} />
    <//>
    ${revoking &&
    html`<${Confirm} title=${`Revoke the key ${revoking.key_id}?`} action="Revoke" danger takesReason=${false}
      changes=${[[`key of ${revoking.principal}`, revoking.state, "revoked"]]}
      warning="This cannot be undone. A caller that used it within the last minute may be let in for the rest of it."
      act=${async () => {
        await call("DELETE", path`/keys/${revoking.key_id}`);
        changed();
      }}
      onClose=${() => setRevoking(null)} />`}
  <//>`;
}

function Mint({ onMinted }) {
  const [open, setOpen] = useState(false);
  const [principal, setPrincipal] = useState("");
  const [description, setDescription] = useState("");
  const [days, setDays] = useState("90");
  const [scopes, setScopes] = useState([]);
  const [error, setError] = useState(null);
  const [minted, setMinted] = useState(null);
  const turn = (scope) =>
    setScopes(scopes.includes(scope) ? scopes.filter((each) => each !== scope) : [...scopes, scope]);
  const submit = async (event) => {
    event.preventDefault();
    setError(null);
    try {
      const body = { principal, scopes, description };
      if (days !== "") body.expires_at = new Date(Date.now() + Number(days) * 86400000).toISOString();
      setMinted(await call("POST", "/keys", { body }));
      setOpen(false);
      onMinted();
    } catch (failed) {
      setError(failed);
    }
  };
  return html`<${Card} title="A new key" aside=${html`<button type="button" aria-expanded=${open} onClick=${() => {
    setOpen(!open);
    setMinted(null);
  }}>${open ? "Close" : "Mint a key"}</button>`}>
    ${minted &&
    html`<div class="notice" role="status"><p>The key of ${minted.principal}. It is shown this once and kept nowhere:</p>
      <pre tabindex="0">${minted.key}</pre></div>`}
    ${open &&
    html`<form onSubmit=${submit}>
      <div class="row">
        <label class="field">Holder <input required value=${principal} onInput=${(event) => setPrincipal(event.target.value)} /></label>
        <label class="field">Description <input value=${description} onInput=${(event) => setDescription(event.target.value)} /></label>
        <label class="field">Days until it ends (empty: never)
          <input type="number" min="1" value=${days} onInput=${(event) => setDays(event.target.value)} /></label>
      </div>
      <fieldset class="choices"><legend>Scopes</legend>${Object.entries(SCOPES).map(
        ([scope, meaning]) => html`<label key=${scope}><input type="checkbox" checked=${scopes.includes(scope)}
          onChange=${() => turn(scope)} /> <code>${scope}</code> ${meaning}</label>`,
      )}</fieldset>
      <${Failure} error=${error} />
      <div class="buttons"><button type="submit" class="primary" disabled=${!scopes.length}>Mint</button></div>
    </form>`}
  <//>`;
}
