/** A plot over time by uPlot, in the page's own colours. It is drawn anew only when `version` changes. */

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { short } from "./format";
import { COUNT_STEPS, decades, gapsOf, newest, powersOfTen, TIME_STEPS_S, topOfCount } from "./scales";

export interface Line {
  name: string;
  /** Name of a colour property of the page, or a colour. */
  colour: string;
  values: readonly number[];
  range?: [number, number];
  /** A scale of its own, on the right. */
  scale?: "right";
  /** How many there are of something, so that its scale is marked at whole numbers. */
  isCount?: boolean;
  /** Filled down to the line below it. */
  isFilled?: boolean;
  isDashed?: boolean;
}

interface Props {
  label: string;
  height: number;
  version: number;
  x: readonly number[];
  lines: Line[];
  formatX: (x: number) => string;
  formatY?: (y: number) => string;
  /** Powers of ten stand evenly apart: for values that differ by orders of magnitude. */
  isLogarithmic?: boolean;
  /** Values further apart than so belong to no one line. */
  longestGap?: number;
}

/** Marked at powers of ten alone: lines between them would fill the plot. */
const BY_DECADES: uPlot.Axis = {
  splits: (_, __, low, high) => powersOfTen(low, high),
  filter: (_, splits) => splits,
};
const RIGHT_AXIS_PX = 34;
/** Half of the last label of time stands beyond the plot's end. */
const RIGHT_PADDING_PX = 24;

function resolved(colour: string): string {
  return colour.startsWith("--") ? getComputedStyle(document.documentElement).getPropertyValue(colour).trim() : colour;
}

/** Gaps on the canvas. */
function pixels(plot: uPlot, gaps: [number, number][]): uPlot.Series.Gaps {
  const px = (n: number) => Math.round(plot.valToPos(plot.data[0][n] as number, "x", true));
  return gaps.map(([before, after]) => [px(before), px(after)]);
}

function options(props: Props, width: number): uPlot.Options {
  const text = resolved("--muted");
  const grid = { stroke: resolved("--line"), width: 1 };
  const axis = { stroke: text, grid, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const formatY = props.formatY ?? ((y: number) => String(y));
  const left = props.lines.find((line) => line.scale === undefined);
  const right = props.lines.find((line) => line.scale === "right");
  const counted = right?.isCount === true ? { incrs: COUNT_STEPS, values: (_: uPlot, splits: number[]) => splits.map(short) } : {};
  return {
    width,
    height: props.height,
    padding: [6, right === undefined ? RIGHT_PADDING_PX : 0, 0, 0],
    cursor: { show: true, drag: { setScale: false }, points: { size: 5 } },
    legend: { show: false },
    scales: {
      x: { time: false },
      y: props.isLogarithmic
        ? { distr: 3, range: (_, low, high) => decades(low, high) }
        : { range: (_, low, high) => left?.range ?? [Math.min(low, 0), high > 0 ? high * 1.05 : 1] },
      right: { range: (_, __, high) => [0, right?.isCount === true ? topOfCount(high) : high > 0 ? high * 1.1 : 1] },
    },
    axes: [
      {
        ...axis,
        size: 20,
        space: 70,
        incrs: TIME_STEPS_S,
        values: (_, splits) => splits.map(props.formatX),
      },
      {
        ...axis,
        size: 38,
        space: 22,
        ...(props.isLogarithmic === true ? BY_DECADES : {}),
        values: (_, splits) => splits.map((y) => (y === null ? "" : formatY(y))),
      },
      ...(right === undefined ? [] : [{ ...axis, scale: "right", side: 1 as const, size: RIGHT_AXIS_PX, space: 22, grid: { show: false }, ...counted }]),
    ],
    series: [
      {},
      ...props.lines.map((line) => ({
        label: line.name,
        scale: line.scale ?? "y",
        stroke: resolved(line.colour),
        width: line.isFilled === true ? 0 : 1.5,
        points: { show: false },
        spanGaps: false,
        gaps: (plot: uPlot, _: number, from: number, to: number, gaps: uPlot.Series.Gaps) =>
          props.longestGap === undefined ? gaps : [...gaps, ...pixels(plot, gapsOf(plot.data[0], from, to, props.longestGap))].sort((a, b) => a[0] - b[0]),
        ...(line.isFilled === true ? { fill: resolved(line.colour) } : {}),
        ...(line.isDashed === true ? { dash: [4, 4] } : {}),
      })),
    ],
  };
}

export function Plot(props: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shape = props.lines.map((line) => line.name + line.colour).join();
  const latest = useRef(props);
  latest.current = props;

  useEffect(() => {
    const element = holder.current;
    if (element === null) return;
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(latest.current, element.clientWidth || 300), dataOf(latest.current), element);
    };
    make();
    const observer = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (width > 0 && plot.current?.width !== width) plot.current?.setSize({ width, height: latest.current.height });
    });
    observer.observe(element);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", make);
    return () => {
      observer.disconnect();
      dark.removeEventListener("change", make);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape]);

  useEffect(() => {
    plot.current?.setData(dataOf(latest.current));
  }, [props.version]);

  return (
    <figure class="plot">
      <div ref={holder} role="img" aria-label={`${props.label}. ${spoken(props)}`} />
      <figcaption>
        {props.lines.map((line) => (
          <span key={line.name}>
            <svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">
              <rect width="10" height="10" rx="2" fill={line.colour.startsWith("--") ? `var(${line.colour})` : line.colour} />
            </svg>
            {line.name}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}

function dataOf(props: Props): uPlot.AlignedData {
  const gaps = (values: readonly number[]) => values.map((value) => (Number.isFinite(value) ? value : null));
  return [[...props.x], ...props.lines.map((line) => gaps(line.values))];
}

/** The newest values, for who cannot see the plot. */
function spoken(props: Props): string {
  const values = newest(props.lines);
  return props.lines.map(({ name }, n) => `${name}: ${Number((values[n] as number).toPrecision(3))}`).join("; ");
}
