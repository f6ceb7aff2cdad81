// Values over time by uPlot, which is loaded with the first plot: a measure with its interval, or what holds until the next
// one. Colours follow the style sheet, light and dark.

import { moment, number } from "./format.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";

const HEIGHT = 200;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function frame(element) {
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  return {
    width: Math.max(200, element.clientWidth),
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: true } },
    axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map(number) }],
  };
}

function plotted(uPlot, element, label, points) {
  return new uPlot(
    {
      ...frame(element),
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

// A plot in an element: drawn anew when deps change, or the colours do; as wide as there is room.
// draw(uPlot, element) → a plot.
function usePlot(draw, deps) {
  const element = useRef(null);
  useEffect(() => {
    let end = () => {};
    let left = false;
    import("./vendor/uplot.js").then(({ default: uPlot }) => {
      if (!left) end = shown(() => draw(uPlot, element.current), element.current);
    });
    return () => {
      left = true;
      end();
    };
  }, deps);
  return element;
}

// Draws in the element until the answer is called.
function shown(draw, element) {
  let plot = draw();
  const again = () => {
    plot.destroy();
    plot = draw();
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const sized = new ResizeObserver(() => plot.setSize({ width: Math.max(200, element.clientWidth), height: HEIGHT }));
  sized.observe(element);
  dark.addEventListener("change", again);
  return () => {
    sized.disconnect();
    dark.removeEventListener("change", again);
    plot.destroy();
  };
}

// points: [{at (s since 1970), value, low, high}], the oldest first.
export function Series({ label, points }) {
  const element = usePlot((uPlot, given) => plotted(uPlot, given, label, points), [label, JSON.stringify(points)]);
  const last = points.at(-1);
  const said = last ? `${label}, at last ${number(last.value)} (${moment(last.at * 1000)})` : label;
  return html`<div class="series" role="img" aria-label=${said} ref=${element}></div>`;
}

function stepped(uPlot, element, label, points, hovered) {
  return new uPlot(
    {
      ...frame(element),
      cursor: { y: false, drag: { x: false, y: false } },
      hooks: { setCursor: [(plot) => hovered(plot.cursor.idx)] },
      series: [
        {},
        { label, stroke: colour("--accent"), width: 2, paths: uPlot.paths.stepped({ align: 1 }), points: { show: true, size: 7 } },
      ],
    },
    [points.map((point) => point.at), points.map((point) => point.value)],
    element,
  );
}

// A value that holds until the next one. points: [{at (s since 1970), time (as the API has it), value}], the oldest
// first; null: no value from then on. The point that the pointer is nearest to is written below, exactly.
export function Steps({ label, points }) {
  const [place, setPlace] = useState(null);
  const element = usePlot((uPlot, given) => stepped(uPlot, given, label, points, setPlace), [label, JSON.stringify(points)]);
  const shown = points[place] ?? points.at(-1);
  return html`<figure class="chart">
    <div class="series" role="img" aria-label=${label} ref=${element}></div>
    <figcaption class="legend">${`${shown.time}: ${shown.value ?? "NULL"}`}</figcaption>
  </figure>`;
}
