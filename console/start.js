// Runs before the others have arrived: has the browser fetch the modules of the page that the address names, at once with
// those of index.html instead of after them. app.js is what loads and runs them.

const USES = {
  views: ["paged.js", "series.js", "pages/history.js"],
  models: ["paged.js", "pages/changes.js", "pages/compare.js", "pages/guard.js", "pages/trail.js"],
  serving: ["charts.js", "window.js"],
  drift: ["charts.js", "window.js"],
  outcomes: ["paged.js", "charts.js", "series.js", "window.js"],
  jobs: ["paged.js"],
  lineage: ["paged.js", "pages/trail.js", "vendor/dagre.js"],
  predict: [],
  keys: ["paged.js"],
};

const [, page = ""] = location.hash.match(/^#\/([a-z]+)/) ?? [];
for (const file of page in USES ? [`pages/${page}.js`, ...USES[page]] : []) {
  const link = document.createElement("link");
  link.rel = "modulepreload";
  link.href = new URL(file, import.meta.url).href;
  document.head.append(link);
}
