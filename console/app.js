// The frame around every page: navigation, state of the stack, the key's dialog, and which page the hash names.

import { access, get, hasKey, onAccess, setKey } from "./api.js";
import { ago } from "./format.js";
import { PAGES } from "./pages.js";
import { useConnection, usePoll } from "./poll.js";
import { Dialog, Failure, Page, href } from "./ui.js";
import { Component, html, render, useEffect, useState } from "./vendor/htm-preact.js";

// "#/models/a%2Fb?tab=x" → {page: "models", segments: ["a/b"], query: {tab: "x"}}
function parsed(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { page: parts[0], segments: parts.slice(1), query: Object.fromEntries(new URLSearchParams(search)) };
}

function useRoute() {
  const [route, setRoute] = useState(parsed(location.hash));
  useEffect(() => {
    const moved = () => setRoute(parsed(location.hash));
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return route;
}

async function health(signal) {
  try {
    return await get("/health", {}, signal);
  } catch (error) {
    if (error.problem?.checks) return error.problem; // 503: a part is down, and the answer says which
    throw error;
  }
}

function State() {
  const { data } = usePoll(health, []);
  const { at, behind, error, until } = useConnection();
  const down = data ? Object.entries(data.checks).filter(([, state]) => state !== "ok") : [];
  return html`<div class="state" role="status" aria-live="polite">
    ${down.length > 0 &&
    html`<p class="banner bad"><strong>A part of the stack is down:</strong> ${" "}${down
      .map(([part, state]) => (state === "unavailable" ? part : `${part} (${state})`))
      .join(", ")}</p>`}
    ${(behind || error !== null) &&
    html`<p class="banner warn"><strong>Not current.</strong>${" "}${error?.message ?? "No answer for a while."}${" "}
      ${at !== null && `What is shown is from ${ago(at)}.`}${" "}
      ${until !== null && `Next try ${ago(until)}.`}</p>`}
  </div>`;
}

function Updated() {
  const { at } = useConnection();
  return html`<span class="updated" title=${at === null ? null : new Date(at).toISOString()}
    >${at === null ? "not loaded yet" : `updated ${ago(at)}`}</span>`;
}

function KeyDialog({ onClose }) {
  const [given, setGiven] = useState("");
  const save = (event) => {
    event.preventDefault();
    if (given.trim()) {
      setKey(given.trim());
      onClose();
    }
  };
  return html`<${Dialog} title="API key" onClose=${onClose}>
    <form onSubmit=${save}>
      <p>${access.state === "refused"
        ? "The key is unknown, expired or revoked. Give another one."
        : "This stack asks for a key. It is kept in this tab only, and sent in a header."}</p>
      <label class="field">Key
        <input type="password" autocomplete="off" spellcheck=${false} value=${given}
          onInput=${(event) => setGiven(event.target.value)} />
      </label>
      <div class="buttons">
        <button type="button" onClick=${onClose}>Later</button>
        <button type="submit" class="primary">Use it</button>
      </div>
    </form>
  <//>`;
}

function Access() {
  const [, redraw] = useState(0);
  const [asking, setAsking] = useState(false);
  useEffect(
    () =>
      onAccess(() => {
        redraw((n) => n + 1);
        if (access.state !== "none") setAsking(true);
      }),
    [],
  );
  return html`<span class="access">
    ${hasKey()
      ? html`<button type="button" onClick=${() => setKey(null)}>Forget the key</button>`
      : html`<button type="button" onClick=${() => setAsking(true)}>API key</button>`}
    ${asking && html`<${KeyDialog} onClose=${() => setAsking(false)} />`}
  </span>`;
}

// A page that fails while it draws leaves the frame standing, and says so.
class Guarded extends Component {
  componentDidCatch(error) {
    console.error(error);
    this.setState({ error });
  }

  render({ children }, { error }) {
    return error ? html`<${Failure} error=${error} />` : children;
  }
}

function Shown({ route }) {
  const page = PAGES.find((each) => each.name === route.page);
  const [loaded, setLoaded] = useState(null);
  useEffect(() => {
    let left = false;
    setLoaded(null);
    page?.load().then(
      (module) => !left && setLoaded({ page, View: module.default }),
      () => !left && setLoaded({ page, failed: true }),
    );
    return () => {
      left = true;
    };
  }, [page]);
  if (!page) {
    return html`<${Page} title="There is no such page"><p><a href="#/">To the overview</a></p><//>`;
  }
  if (loaded?.page !== page) return html`<p class="empty" role="status" aria-busy="true">Loading…</p>`;
  if (loaded.failed) {
    return html`<p class="empty">The page cannot be loaded; after an update of the stack, load the console again.</p>`;
  }
  const { View } = loaded;
  return html`<${Guarded} key=${`${route.page}/${route.segments.join("/")}`}>
    <${View} segments=${route.segments} query=${route.query} />
  <//>`;
}

function App() {
  const route = useRoute();
  useEffect(() => {
    document.querySelector("main h1")?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [route.page, route.segments.join("/")]);
  return html`
    <a class="skip" href="#main" onClick=${(event) => {
      event.preventDefault();
      document.getElementById("main").focus();
    }}>To the content</a>
    <header>
      <a class="brand" href="#/">NeuralStream</a>
      <nav aria-label="Pages">${PAGES.filter((page) => !page.hidden).map(
        (page) => html`<a key=${page.name} href=${page.name ? href(page.name) : "#/"}
          aria-current=${page.name === route.page ? "page" : null}>${page.title}</a>`,
      )}</nav>
      <div class="header-end"><${Updated} /><${Access} /><a href="docs">API</a></div>
    </header>
    <${State} />
    <main id="main" tabindex="-1"><${Shown} route=${route} /></main>
  `;
}

render(html`<${App} />`, document.getElementById("app"));
