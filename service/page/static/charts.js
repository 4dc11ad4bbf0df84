// Charts of the last hour, by uPlot, with the promotions marked on the time axis.
/* global uPlot */
import { short } from "./shell.js";

const SPAN_S = 3600;
const MOST_POINTS = 900;
const GAP_S = 15;
// Places in a point as the service sends it; see service/page/history.py.
const [AT, SPAN, ANSWERED, INVALID, REFUSED, FAILED, P50, P95, P99, BATCH, QUEUE_MS, WAITING] =
  Array(12).keys();

const CHARTS = {
  requests: [["answered", ANSWERED, "c1"]],
  latency: [["p50", P50, "c1"], ["p95", P95, "c2"], ["p99", P99, "c3"]],
  errors: [["failed", FAILED, "c4"], ["refused", REFUSED, "c3"], ["invalid", INVALID, "c1"]],
  batch: [["rows", BATCH, "c1"]],
  queue: [["waiting", WAITING, "c1"], ["waited ms", QUEUE_MS, "c2"]],
};

const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export class Charts {
  #charts = [];
  #points = [];
  #marks = [];
  #section;

  constructor(figures) {
    this.#section = figures[0]?.parentElement;
    for (const figure of figures) this.#charts.push(new Chart(figure, () => this.#marks));
    document.addEventListener("theme", () => this.#draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    const resized = new ResizeObserver(() => {
      for (const chart of this.#charts) chart.resize();
    });
    for (const chart of this.#charts) resized.observe(chart.plot);
  }

  begin(points) {
    this.#points = points;
    this.#show();
  }

  add(points) {
    this.#points.push(...points);
    const begin = Date.now() / 1000 - SPAN_S;
    this.#points = this.#points.slice(-MOST_POINTS).filter((point) => point[AT] > begin);
    this.#show();
  }

  mark(marks) {
    this.#marks = marks;
    this.#show();
  }

  #show() {
    const any = this.#points.some((point) => point.slice(ANSWERED, FAILED + 1).some(Boolean));
    this.#section?.toggleAttribute("data-any", any);
    for (const chart of this.#charts) chart.show(this.#points);
  }

  #draw() {
    for (const chart of this.#charts) chart.rebuild();
    this.#show();
  }
}

class Chart {
  constructor(figure, marks) {
    this.plot = figure.querySelector(".plot");
    this.series = CHARTS[figure.dataset.chart];
    this.legend = figure.querySelector(".legend");
    this.marks = marks;
    this.uplot = null;
    this.data = null;
    this.values = this.series.map(([word, , kind]) => {
      const item = document.createElement("span");
      const line = document.createElement("i");
      line.className = kind;
      const value = document.createElement("b");
      item.append(line, `${word} `, value);
      this.legend.append(item);
      return value;
    });
    this.empty = document.createElement("p");
    this.empty.className = "none";
    this.empty.textContent = "nothing measured yet";
    this.plot.append(this.empty);
  }

  show(points) {
    this.data = columns(points, this.series);
    this.empty.hidden = this.data[0].length > 1;
    if (this.data[0].length < 2) return;
    if (this.uplot === null) this.rebuild();
    else this.uplot.setData(this.data);
    this.say(this.data[0].length - 1);
  }

  say(index) {
    this.values.forEach((value, place) => {
      value.textContent = short(this.data[place + 1][index]);
    });
  }

  rebuild() {
    if (this.data === null || this.data[0].length < 2) return;
    this.uplot?.destroy();
    const axis = {
      stroke: colour("quiet"),
      grid: { stroke: colour("grid"), width: 1 },
      ticks: { show: false },
      font: "11px system-ui, sans-serif",
    };
    this.uplot = new uPlot(
      {
        width: this.plot.clientWidth,
        height: this.plot.clientHeight,
        padding: [10, 18, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { size: 6 } },
        scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.12 : 1] } },
        axes: [
          { ...axis, space: 70, size: 26, values: times },
          { ...axis, size: 44, space: 34, values: (_, ticks) => ticks.map(short) },
        ],
        series: [
          {},
          ...this.series.map(([label, , kind]) => ({
            label,
            stroke: colour(kind),
            width: 1.6,
            fill: this.series.length === 1 ? `${colour(kind)}1c` : undefined,
            spanGaps: false,
            points: { show: true, filter: alone, size: 5, fill: colour(kind) },
          })),
        ],
        hooks: {
          draw: [(chart) => this.drawMarks(chart)],
          setCursor: [(chart) => this.say(chart.cursor.idx ?? this.data[0].length - 1)],
        },
      },
      this.data,
      this.plot,
    );
  }

  resize() {
    this.uplot?.setSize({ width: this.plot.clientWidth, height: this.plot.clientHeight });
  }

  drawMarks(chart) {
    const { ctx, bbox } = chart;
    const [first, last] = [chart.scales.x.min, chart.scales.x.max];
    ctx.save();
    ctx.textAlign = "left";
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    let free = -Infinity;
    for (const { at_s, version, mark } of [...this.marks()].sort((a, b) => a.at_s - b.at_s)) {
      if (at_s < first || at_s > last) continue;
      const x = Math.round(chart.valToPos(at_s, "x", true));
      ctx.strokeStyle = ctx.fillStyle = colour(mark === "busy" ? "accent" : mark);
      ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.lineWidth = devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      const text = `v${version.length > 8 ? `${version.slice(0, 7)}…` : version}`;
      const width = ctx.measureText(text).width + 8 * devicePixelRatio;
      if (x > free && x + width < bbox.left + bbox.width + 8 * devicePixelRatio) {
        ctx.fillText(text, x + 4 * devicePixelRatio, bbox.top + 9 * devicePixelRatio);
        free = x + width;
      }
    }
    ctx.restore();
  }
}

// The places of points that no line leads to or from: they would not be seen.
function alone(chart, place) {
  const values = chart.data[place];
  const found = [];
  for (let at = 0; at < values.length; at += 1) {
    if (values[at] != null && values[at - 1] == null && values[at + 1] == null) found.push(at);
  }
  return found;
}

const times = (_, ticks) =>
  ticks.map((at) =>
    new Date(at * 1000).toLocaleTimeString([], {
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
      ...(ticks.length > 1 && ticks[1] - ticks[0] < 60 ? { second: "2-digit" } : {}),
    }),
  );

function columns(points, series) {
  const found = [[], ...series.map(() => [])];
  let before = null;
  for (const point of points) {
    if (before !== null && point[AT] - point[SPAN] - before > GAP_S) {
      // Nothing was measured meanwhile.
      found[0].push(before + 0.001);
      series.forEach((_, place) => found[place + 1].push(null));
    }
    before = point[AT];
    found[0].push(point[AT]);
    series.forEach(([, at], place) => found[place + 1].push(point[at]));
  }
  return found;
}
