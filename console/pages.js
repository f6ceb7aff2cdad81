// The pages in the order of the navigation: first part of the hash, title, and how the module is loaded.

export const PAGES = [
  { name: "", title: "Overview", load: () => import("./pages/overview.js") },
];
