// Charts as SVG: every mark is also text (a title, or a number beside it), colours are the style sheet's.

import { number, percent } from "./format.js";
import { html } from "./vendor/htm-preact.js";

const WIDTH = 420;
const NAMES = 140;
const NUMBERS = 56;
const ROW = 16;

function shortened(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

// Shares side by side. rows: [{name, values: [share, …]}], 0 to 1; series: what the values of a row are, in words.
export function Shares({ label, rows, series }) {
  const most = Math.max(1e-9, ...rows.flatMap((row) => row.values));
  const room = WIDTH - NAMES - NUMBERS;
  const height = series.length * ROW + 8;
  return html`<figure class="chart">
    <svg viewBox=${`0 0 ${WIDTH} ${rows.length * height}`} role="img" aria-label=${label}>
      ${rows.map((row, place) => {
        const top = place * height;
        return html`<g key=${row.name}>
          <text class="chart-name" x=${NAMES - 8} y=${top + height / 2 + 4} text-anchor="end">
            <title>${row.name}</title>${shortened(row.name, 20)}
          </text>
          ${row.values.map((value, at) => html`<g>
            <title>${`${row.name}, ${series[at]}: ${value}`}</title>
            <rect class=${`series-${at}`} x=${NAMES} y=${top + at * ROW + 3} height=${ROW - 4} rx="2"
              width=${Math.max(1, (value / most) * room)} />
            <text class="chart-number" x=${NAMES + Math.max(1, (value / most) * room) + 6} y=${top + at * ROW + ROW - 3}>${percent(value)}</text>
          </g>`)}
        </g>`;
      })}
    </svg>
    ${series.length > 1 && html`<${Legend} series=${series} />`}
  </figure>`;
}

function Legend({ series }) {
  return html`<figcaption class="legend">${series.map(
    (name, at) => html`<span key=${name}><svg class="swatch" viewBox="0 0 10 10" aria-hidden="true"><rect class=${`series-${at}`} width="10" height="10" rx="2" /></svg>${name}</span>`,
  )}</figcaption>`;
}

// Values with their intervals on one scale. rows: [{name, value, low, high}]; zero: marks 0, for differences.
export function Intervals({ label, rows, zero = false }) {
  const known = rows.flatMap((row) => [row.value, row.low, row.high]).filter((value) => typeof value === "number");
  if (!known.length) return null;
  const ends = zero ? [...known, 0] : known;
  const low = Math.min(...ends);
  const span = Math.max(...ends) - low || 1;
  const room = WIDTH - NAMES - 24;
  const x = (value) => NAMES + 12 + ((value - low) / span) * room;
  const height = 28;
  return html`<figure class="chart">
    <svg viewBox=${`0 0 ${WIDTH} ${rows.length * height + 18}`} role="img" aria-label=${label}>
      ${zero && html`<line class="chart-zero" x1=${x(0)} x2=${x(0)} y1="0" y2=${rows.length * height} />`}
      ${rows.map((row, place) => {
        const y = place * height + height / 2;
        return html`<g key=${row.name}>
          <title>${`${row.name}: ${row.value} (${row.low ?? "?"} to ${row.high ?? "?"})`}</title>
          <text class="chart-name" x=${NAMES - 8} y=${y + 4} text-anchor="end">${shortened(row.name, 20)}</text>
          ${typeof row.low === "number" && typeof row.high === "number" &&
          html`<line class="chart-interval" x1=${x(row.low)} x2=${x(row.high)} y1=${y} y2=${y} />`}
          ${typeof row.value === "number" && html`<circle class="chart-point" cx=${x(row.value)} cy=${y} r="4.5" />`}
        </g>`;
      })}
      <text class="chart-number" x=${NAMES + 12} y=${rows.length * height + 12}>${number(low)}</text>
      <text class="chart-number" x=${WIDTH - 12} y=${rows.length * height + 12} text-anchor="end">${number(low + span)}</text>
    </svg>
  </figure>`;
}

// "(9.5, 14.54]" → 9.5, so that bins of numbers stand in their order; null for a category.
export function lowerEnd(bin) {
  const found = /^[([](-?inf|-?[\d.e+-]+), /.exec(bin);
  if (!found) return null;
  return found[1] === "-inf" ? -Infinity : Number(found[1]);
}

export function inOrder(bins, nameOf) {
  const ends = bins.map((bin) => lowerEnd(nameOf(bin)));
  if (ends.includes(null)) return bins;
  return bins.map((bin, place) => [ends[place], bin]).sort((a, b) => a[0] - b[0]).map(([, bin]) => bin);
}
