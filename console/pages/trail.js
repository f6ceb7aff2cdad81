// What happened to a model, the newest first.

import { path } from "../api.js";
import { split } from "../format.js";
import { Paged } from "../paged.js";
import { Card, Time } from "../ui.js";
import { html } from "../vendor/htm-preact.js";

// revision: of the model, so that a change shows at once.
export function Trail({ model, label = "What happened", revision, aside }) {
  return html`<${Card} title="What happened" aside=${aside}>
    <${Paged} where=${path`/models/${model}/lineage`} query=${{ order: "newest" }} field="events" next="next_events_token"
      label=${label} size=${15} every=${60000} fresh=${revision} keyOf=${(event) => event.revision} empty="Nothing yet."
      textOf=${(event) => [event.kind, event.version, event.actor, event.reason].join(" ")} columns=${[
        { name: "When", render: (event) => html`<${Time} value=${event.at} />` },
        { name: "What", render: (event) => event.kind.replaceAll("_", " ") },
        { name: "Version", render: (event) => event.version ?? "–" },
        { name: "By", render: (event) => event.actor },
        { name: "Reason", render: (event) => event.reason ?? "–" },
        { name: "Traffic then", render: (event) => event.ab_split ? split(event.ab_split) : (event.production_version ?? "–") },
      ]} />
  <//>`;
}
