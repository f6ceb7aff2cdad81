// The pages in the order of the navigation: first part of the hash, title, and how the module is loaded.

export const PAGES = [
  { name: "", title: "Overview", load: () => import("./pages/overview.js") },
  { name: "views", title: "Feature views", load: () => import("./pages/views.js") },
  { name: "models", title: "Models", load: () => import("./pages/models.js") },
  { name: "serving", title: "Serving", load: () => import("./pages/serving.js") },
  { name: "drift", title: "Drift", load: () => import("./pages/drift.js") },
  { name: "outcomes", title: "Outcomes", load: () => import("./pages/outcomes.js") },
  { name: "jobs", title: "Jobs", load: () => import("./pages/jobs.js") },
  { name: "lineage", title: "Lineage", load: () => import("./pages/lineage.js") },
  { name: "predict", title: "Predict", load: () => import("./pages/predict.js") },
  { name: "keys", title: "Keys", load: () => import("./pages/keys.js") },
];
