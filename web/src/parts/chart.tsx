// The last minutes of a rate. The number beside it says the same in text.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useEffect, useRef } from "preact/hooks";
import type { Rates } from "../live/rates.ts";
import { history, live } from "../live/stats.ts";
import { look } from "../live/theme.ts";

const height = 56;
const shortest = 12; // seconds that the picture spans at least

function dataOf(name: keyof Rates): uPlot.AlignedData {
  const points = history.list();
  return [points.map((p) => p.at), points.map((p) => p[name])];
}

function optionsOf(box: HTMLElement): uPlot.Options {
  const color = (variable: string) => getComputedStyle(box).getPropertyValue(variable).trim();
  return {
    width: Math.max(box.clientWidth, 40),
    height,
    padding: [4, 0, 2, 0],
    cursor: { show: false },
    legend: { show: false },
    axes: [{ show: false }, { show: false }],
    scales: {
      x: { range: (_, min, max) => [Math.min(min, max - shortest), max] },
      y: { range: (_, __, max) => [0, Math.max(max * 1.1, 1)] },
    },
    series: [
      {},
      {
        stroke: color("--accent"),
        fill: color("--accent-soft"),
        width: 1.5,
        points: { show: false },
        spanGaps: false,
      },
    ],
  };
}

export function Chart({ name }: { name: keyof Rates }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current;
    if (element === null) {
      return undefined;
    }
    let plot = new uPlot(optionsOf(element), dataOf(name), element);
    const again = () => {
      plot.destroy();
      plot = new uPlot(optionsOf(element), dataOf(name), element);
    };
    const stops = [
      live.subscribe(() => {
        plot.setData(dataOf(name));
      }),
      look.subscribe(again),
    ];
    const resized = new ResizeObserver(() => {
      plot.setSize({ width: Math.max(element.clientWidth, 40), height });
    });
    resized.observe(element);
    return () => {
      resized.disconnect();
      for (const stop of stops) {
        stop();
      }
      plot.destroy();
    };
  }, [name]);
  return <div class="chart" ref={box} aria-hidden="true" />;
}
