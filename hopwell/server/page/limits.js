// The live meter's report, drawn again every two seconds while somebody looks.

import { call } from "./api.js";
import { overTime, roofline, short } from "./charts.js";

const by = (id) => document.getElementById(id);
const EVERY = 2000, WINDOW = 300;
const GROUPS = [
  [222, ["input norm", "qkv_a", "latent", "q_b", "absorb", "attention", "decode", "merge", "o"]],
  [155, ["post norm", "router", "select", "experts", "up", "silu", "down", "shared", "dense"]],
  [285, ["plan", "embedding", "projection", "final norm", "logits"]],
  [12, ["exchange"]],
  [38, ["inputs", "sampling", "gaps", "host", "step"]],
];
let latest = null, held = false;

function add(parent, tag, name = "", content = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.textContent = content;
  return parent.appendChild(made);
}

/** An op's colour: its group's, and within it a shade of its own. */
function color(op) {
  for (const [hue, ops] of GROUPS) {
    const place = ops.indexOf(op);
    if (place >= 0) return `hsl(${hue} ${62 - 4 * place}% ${32 + 4 * place}%)`;
  }
  return "hsl(0 0% 45%)";
}

const ms = (us) => (us >= 1000 ? `${(us / 1000).toPrecision(3)} ms` : `${us.toPrecision(us >= 100 ? 3 : 2)} µs`);
const percent = (value) => `${value >= 9.95 ? Math.round(value) : value.toFixed(1)} %`;

function tile(name, value, more = "") {
  const box = add(by("tiles"), "div");
  add(box, "dt", "", name);
  if (more) add(add(box, "dd", "", value), "small", "", more);
  else add(box, "dd", "", value);
}

function head(report, last) {
  const whole = report.history.slice(-10);
  const sum = (name) => whole.reduce((total, point) => total + point[name], 0);
  const share = sum("measured_seconds") ? (100 * sum("limit_seconds")) / sum("measured_seconds") : 0;
  by("headline").textContent = `A step takes ${ms(report.step_us)}: ${percent(share)} of it would do at the hardware's limit`;
  const rates = Object.entries(report.flops_per_s).map(([name, rate]) => `${short(rate, "FLOP/s")}${name ? ` in ${name}` : ""}`);
  by("device").textContent = `${report.device}, measured: ${short(report.bytes_per_s, "B/s")}, ${rates.join(", ")}`;
  by("tiles").replaceChildren();
  tile("Step", ms(report.step_us), `and ${ms(report.host_us)} of the host${report.overlapped ? ", meanwhile" : ""}`);
  tile("Of the limit", percent(share), "all ops together");
  tile("Tokens a second", short(sum("tokens") / Math.max(whole.length, 1)), `${report.mean_rows.toPrecision(3)} rows a step`);
  tile("Sequences", `${last.running}`, `${last.waiting} waiting`);
  tile("Cache", percent((100 * last.pages_used) / Math.max(last.pages_total, 1)), `${last.pages_used} of ${last.pages_total} pages`);
  const board = last.board;
  if (board?.watts != null) tile("Power", `${Math.round(board.watts)} W`, board.degrees == null ? "" : `${board.degrees} °C`);
  if (board?.sm_mhz != null) tile("Clock", `${board.sm_mhz} MHz`, board.slowed_by.join(", ") || "not slowed");
  const pacing = report.pacing;
  if (pacing) tile("Pace", pacing.pace ? ms(1e6 * pacing.pace) : "not held", pacing.why);
  if (report.thermal?.hot) tile("Hot", `${report.thermal.degrees} °C`, `${report.thermal.held} of class batch wait`);
}

function bar(report) {
  const whole = report.ops.reduce((total, row) => total + row.us, 0);
  by("bar").replaceChildren();
  by("legend").replaceChildren();
  for (const row of report.ops) {
    const share = row.us / whole, part = add(by("bar"), "span", "", share > 0.045 ? row.op : "");
    part.style.flexGrow = share;
    part.style.flexBasis = 0;
    part.style.background = color(row.op);
    part.style.paddingLeft = share > 0.045 ? "" : 0;
    part.title = `${row.op}: ${ms(row.us)}, ${percent(100 * share)}`;
    const item = add(by("legend"), "li");
    add(item, "i").style.background = color(row.op);
    add(item, "b", "", row.op);
    add(item, "span", "", ms(row.us));
    add(item, "span", "", percent(100 * share));
  }
}

function map(report) {
  const shows = document.querySelector("input[name=shows]:checked").value;
  const inside = report.rows.filter((row) => row.layer !== null);
  const ops = [...new Set(inside.map((row) => row.op))];
  const order = GROUPS.flatMap(([, names]) => names);
  ops.sort((a, b) => order.indexOf(a) - order.indexOf(b));
  const cells = new Map(inside.map((row) => [`${row.layer} ${row.op}`, row]));
  const layers = [...new Set(inside.map((row) => row.layer))].sort((a, b) => a - b);
  const most = shows === "us" ? Math.max(...inside.map((row) => row.us)) : 100;
  const table = by("map"), at = [table.parentElement.scrollLeft, table.parentElement.scrollTop];
  table.replaceChildren();
  const top = add(add(table, "thead"), "tr");
  add(top, "th", "", "layer");
  for (const op of ops) add(top, "th", "", op);
  const body = add(table, "tbody");
  for (const layer of layers) {
    const line = add(body, "tr");
    add(line, "th", "", layer === report.layers ? "MTP" : `${layer}`).scope = "row";
    for (const op of ops) {
      const row = cells.get(`${layer} ${op}`), value = row?.[shows];
      if (value == null) {
        add(line, "td", "none", row ? "–" : "");
        continue;
      }
      const cell = add(line, "td", "", shows === "us" ? `${Math.round(value)}` : value.toFixed(value < 9.95 ? 1 : 0));
      const strength = Math.min(value / most, 1) ** 0.7;
      cell.style.background = `color-mix(in oklab, var(--mark) ${Math.round(78 * strength)}%, transparent)`;
      if (strength > 0.6) cell.style.color = "var(--on-mark)";
      cell.title = `${ms(row.us)}${row.bound ? `, ${percent(row.percent)} of the limit, which ${row.bound} sets` : ""}`;
    }
  }
  [table.parentElement.scrollLeft, table.parentElement.scrollTop] = at;
}

function plots(report) {
  const whole = report.ops.reduce((total, row) => total + row.us, 0);
  const dots = report.ops.filter((row) => row.flops > 0 && row.bytes > 0 && row.us > 0).map((row) => ({
    name: row.op, intensity: row.flops / row.bytes, rate: (1e6 * row.flops) / row.us, share: row.us / whole, color: color(row.op),
  }));
  by("roofline").replaceChildren();
  roofline(by("roofline"), report.bytes_per_s, Math.max(...Object.values(report.flops_per_s)), dots);
  const now = report.now.at, first = report.history[0].at;
  const from = Math.max(now - WINDOW, Math.min(first, now - 60));
  const points = report.history.filter((point) => point.at >= from), box = by("minutes");
  const curve = (title, value, most = null, apart = 1) => {
    const found = points.map((point) => [point.at, value(point)]).filter(([, each]) => each != null);
    if (found.length) overTime(box, title, found, from, now, most, apart);
  };
  box.replaceChildren();
  curve("tokens a second", (point) => point.tokens);
  curve("sequences, running and waiting", (point) => point.running + point.waiting);
  curve("of the limit, %", (point) => (point.measured_seconds ? (100 * point.limit_seconds) / point.measured_seconds : null), null, 10);
  curve("cache in use, %", (point) => (100 * point.pages_used) / Math.max(point.pages_total, 1), 100);
  curve("watts", (point) => point.board?.watts);
  curve("degrees", (point) => point.board?.degrees);
}

function show(report) {
  const ready = report.on && report.steps > 0;
  by("report").hidden = !ready;
  by("status").className = "";
  by("status").textContent = !report.on
    ? "This server does not measure itself. Start it with --meter."
    : ready ? "" : "No step yet: ask the model something.";
  if (!ready) return;
  head(report, report.now);
  bar(report);
  map(report);
  plots(report);
  by("how").textContent = `Means of the last ${Math.min(report.history.length, 10)} seconds with steps in them. One step in `
    + `${report.every} is measured op by op, which takes ${(100 * report.overhead).toFixed(2)} % of the time.`;
}

async function look() {
  if (document.hidden || held) return;
  try {
    const report = await (await call("/v1/limits")).json();
    if (held) return;
    show(latest = report);
  } catch (error) {
    by("status").className = "bad";
    by("status").textContent = error.message;
  }
}

by("shows").addEventListener("change", () => latest && map(latest));
by("hold").addEventListener("click", () => {
  held = !held;
  by("hold").setAttribute("aria-pressed", held);
  by("hold").textContent = held ? "Held" : "Hold";
  look();
});
document.addEventListener("visibilitychange", look);
async function watch() {
  await look();
  setTimeout(watch, EVERY);
}
watch();
