// The two uPlot charts of the trend, one above the other on the same days: intensity, and HRV apart from it.

import uPlot from "uplot";
import type { TrendSeries } from "../lib/trendSeries";
import { shortDate } from "../lib/format";
import { colours } from "./colours";

const INTENSITY_HEIGHT = 230;
const HRV_HEIGHT = 130;
const SYNC = "trend";
const AXIS_WIDTH = 34;

type Hover = (chart: uPlot) => void;

function axis(stroke: string, grid: string | null): uPlot.Axis {
  return {
    stroke, font: `12px ${getComputedStyle(document.body).fontFamily}`, size: AXIS_WIDTH, gap: 4,
    grid: grid === null ? { show: false } : { stroke: grid, width: 1 },
    ticks: { show: false },
  };
}

function shared(width: number, height: number, hover: Hover): Pick<uPlot.Options, "width" | "height" | "cursor" | "legend" | "tzDate" | "padding" | "hooks"> {
  return {
    width, height, padding: [8, 0, 0, 0],
    legend: { show: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { sync: { key: SYNC, setSeries: false }, drag: { x: false, y: false }, y: false },
    hooks: { setCursor: [hover] },
  };
}

function dateAxis(colour: string, days: number, width: number): uPlot.Axis {
  return {
    ...axis(colour, null), size: 32, gap: 9, space: width < 420 ? 64 : 84,
    incrs: [1, 2, 5, 7, 14, 30, 61, 91].map((d) => d * 86_400),
    values: (_, splits) => splits.map((s) => (days > 200 ? new Date(s * 1000).toLocaleDateString("en-GB", { month: "short", timeZone: "UTC", year: "2-digit" }) : shortDate(new Date(s * 1000)))),
  };
}

/** Daily mean as a line that breaks where a day is missing; bars below for how many. */
export function intensityChart(target: HTMLElement, series: TrendSeries, width: number, hover: Hover): uPlot {
  const colour = colours();
  const most = Math.max(1, ...series.days.map((day) => day.n));
  const dense = series.days.length > 100;
  const bars = uPlot.paths.bars?.({ size: [0.62, 26], radius: 0.2 });
  const options: uPlot.Options = {
    ...shared(width, INTENSITY_HEIGHT, hover),
    scales: {
      x: { time: true, range: () => series.range },
      y: { range: () => [0, 10.4] },
      // Bars keep to the lowest quarter, so that they are never taken for the line's values.
      n: { range: () => [0, most * 4] },
    },
    axes: [
      dateAxis(colour("muted"), series.days.length, width),
      { ...axis(colour("muted"), colour("line")), splits: () => [0, 2, 4, 6, 8, 10] },
      { ...axis(colour("muted"), null), scale: "n", side: 1, splits: () => [0, most], size: AXIS_WIDTH },
    ],
    series: [
      {},
      { scale: "n", fill: colour("ember-soft"), width: 0, points: { show: false }, ...(bars ? { paths: bars } : {}) },
      {
        scale: "y", stroke: colour("ember"), width: 2, spanGaps: false,
        points: { show: true, size: dense ? 4 : 7, fill: colour("surface"), stroke: colour("ember"), width: dense ? 1 : 2 },
      },
    ],
  };
  const data: uPlot.AlignedData = [series.x, series.days.map((day) => (day.n > 0 ? day.n : null)), series.days.map((day) => day.mean)];
  return new uPlot(options, data, target);
}

/** HRV as points only: a watch measures every few hours, and nothing is known in between. */
export function hrvChart(target: HTMLElement, series: TrendSeries, width: number, hover: Hover): uPlot {
  const colour = colours();
  const dots = (stroke: string, filled: boolean): uPlot.Series => ({
    scale: "ms", stroke, paths: () => null,
    points: { show: true, size: series.sdnn[0].length + series.rmssd[0].length > 400 ? 3 : 5, fill: filled ? stroke : colour("surface"), stroke, width: filled ? 0 : 1.5 },
  });
  const options: uPlot.Options = {
    ...shared(width, HRV_HEIGHT, hover),
    scales: { x: { time: true, range: () => series.range }, ms: { range: (_, __, max) => [0, Math.max(20, (max ?? 0) * 1.1)] } },
    axes: [
      dateAxis(colour("muted"), series.days.length, width),
      { ...axis(colour("muted"), colour("line")), scale: "ms", space: 34 },
      { ...axis(colour("muted"), null), scale: "ms", side: 1, values: () => [] },
    ],
    series: [{}, dots(colour("sea"), true), dots(colour("plum"), false)],
  };
  const data = uPlot.join([series.sdnn, series.rmssd] as uPlot.AlignedData[]);
  return new uPlot(options, data, target);
}
