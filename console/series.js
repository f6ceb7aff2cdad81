// A measure over time with its interval, by uPlot; its colours follow the style sheet, light and dark.

import { moment, number } from "./format.js";
import { html, useEffect, useRef } from "./vendor/htm-preact.js";
import uPlot from "./vendor/uplot.js";

const HEIGHT = 200;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function plotted(element, label, points) {
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  return new uPlot(
    {
      width: Math.max(200, element.clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: true } },
      axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map(number) }],
      series: [
        {},
        { label: "low", stroke: "transparent", points: { show: false } },
        { label: "high", stroke: "transparent", points: { show: false } },
        { label, stroke: colour("--accent"), width: 2, points: { show: true, size: 7 } },
      ],
      bands: [{ series: [2, 1], fill: colour("--info-back") }],
    },
    ["at", "low", "high", "value"].map((name) => points.map((point) => point[name] ?? null)),
    element,
  );
}

// points: [{at (s since 1970), value, low, high}], the oldest first.
export function Series({ label, points }) {
  const element = useRef(null);
  useEffect(() => {
    let plot = plotted(element.current, label, points);
    const again = () => {
      plot.destroy();
      plot = plotted(element.current, label, points);
    };
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const sized = new ResizeObserver(() => plot.setSize({ width: Math.max(200, element.current.clientWidth), height: HEIGHT }));
    sized.observe(element.current);
    dark.addEventListener("change", again);
    return () => {
      sized.disconnect();
      dark.removeEventListener("change", again);
      plot.destroy();
    };
  }, [label, JSON.stringify(points)]);
  const last = points.at(-1);
  const said = last ? `${label}, at last ${number(last.value)} (${moment(last.at * 1000)})` : label;
  return html`<div class="series" role="img" aria-label=${said} ref=${element}></div>`;
}
