// Which time a page covers: links, so that a chosen time is part of the address.

import { html } from "./vendor/htm-preact.js";

const WORDS = { "15m": "15 minutes", "1h": "an hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days" };

export function Window({ windows, current, to }) {
  return html`<nav class="tabs" aria-label="Time covered">${windows.map(
    (window) => html`<a key=${window} href=${to(window)} aria-current=${window === current ? "true" : null}>${WORDS[window]}</a>`,
  )}</nav>`;
}
