// Pictures of numbers: a line over time, and a roofline.

export const space = "http://www.w3.org/2000/svg";

function draw(parent, tag, attributes = {}, content = "") {
  const made = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = content;
  return parent.appendChild(made);
}

function picture(parent, width, height, label) {
  return draw(parent, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
}

/** A number by thousands, millions and so on, with its unit if it has one. */
export function short(value, unit = "") {
  const units = ["", "k", "M", "G", "T", "P"];
  let power = 0, left = value;
  while (left >= 999.5 && power < units.length - 1) [left, power] = [left / 1000, power + 1];
  const number = left >= 100 || Number.isInteger(left) ? Math.round(left) : Number(left.toPrecision(2));
  return unit ? `${number} ${units[power]}${unit}` : `${number}${units[power]}`;
}

/**
 * Values over seconds; where more than `apart` seconds have no point, the line is broken.
 *
 * points: [second, value] in order; from, to: the seconds at both edges; most: the value at the top, or null.
 */
export function overTime(parent, title, points, from, to, most = null, apart = 1) {
  const [width, height, left, right, top, bottom] = [520, 92, 44, 8, 20, 16];
  const svg = picture(parent, width, height, title), high = most ?? Math.max(...points.map(([, value]) => value), 0);
  const x = (second) => left + ((second - from) / Math.max(to - from, 1)) * (width - left - right);
  const y = (value) => height - bottom - (value / (high || 1)) * (height - top - bottom);
  draw(svg, "text", { x: left, y: 13 }, title);
  const last = points.at(-1)?.[1];
  if (last !== undefined) draw(svg, "text", { x: width - right, y: 13, "text-anchor": "end", class: "dot" }, short(last));
  for (const value of [0, high]) {
    draw(svg, "line", { x1: left, x2: width - right, y1: y(value), y2: y(value), class: "grid" });
    draw(svg, "text", { x: left - 5, y: y(value), class: "left" }, short(value));
  }
  draw(svg, "text", { x: left, y: height - 4 }, `${Math.round((to - from) / 60) || 1} min ago`);
  draw(svg, "text", { x: width - right, y: height - 4, "text-anchor": "end" }, "now");
  const runs = [];
  points.forEach((point, i) => {
    if (!i || point[0] - points[i - 1][0] > apart) runs.push([]);
    runs.at(-1).push(point);
  });
  for (const run of runs) {
    const path = run.map(([second, value]) => `${x(second).toFixed(1)},${y(value).toFixed(1)}`);
    const [first, end] = [run[0][0], run.at(-1)[0]].map((second) => x(second).toFixed(1));
    draw(svg, "polygon", { points: `${first},${y(0)} ${path.join(" ")} ${end},${y(0)}`, class: "area" });
    if (run.length > 1) draw(svg, "polyline", { points: path.join(" "), class: "curve" });
    else draw(svg, "circle", { cx: first, cy: y(run[0][1]), r: 1.5, class: "area" });
  }
}

/**
 * FLOP/s over FLOPs a byte, both by powers of ten; a dot an op, its area the time that it takes.
 *
 * dots: {name, intensity, rate, share, color}; rate in FLOP/s, share of the step.
 */
export function roofline(parent, bytes, flops, dots) {
  const [width, height, left, right, top, bottom] = [520, 380, 52, 12, 12, 34];
  const svg = picture(parent, width, height, "Roofline: each op's FLOP/s by its FLOPs a byte, beside the measured ceilings");
  const ridge = flops / bytes, floor = (value) => Math.floor(Math.log10(value)), ceil = (value) => Math.ceil(Math.log10(value));
  const low = Math.min(floor(ridge) - 1, ...dots.map((dot) => floor(dot.intensity)));
  const far = Math.max(ceil(ridge) + 1, ...dots.map((dot) => ceil(dot.intensity)));
  const up = ceil(flops * 1.3), down = Math.min(up - 3, ...dots.map((dot) => floor(dot.rate)));
  const x = (value) => left + ((Math.log10(value) - low) / (far - low)) * (width - left - right);
  const y = (value) => height - bottom - ((Math.log10(value) - down) / (up - down)) * (height - top - bottom);
  for (let power = low; power <= far; power++) {
    draw(svg, "line", { x1: x(10 ** power), x2: x(10 ** power), y1: top, y2: height - bottom, class: "grid" });
    draw(svg, "text", { x: x(10 ** power), y: height - bottom + 14, class: "below" }, power < 0 ? `${10 ** power}` : short(10 ** power));
  }
  for (let power = down; power <= up; power++) {
    draw(svg, "line", { x1: left, x2: width - right, y1: y(10 ** power), y2: y(10 ** power), class: "grid" });
    draw(svg, "text", { x: left - 5, y: y(10 ** power), class: "left" }, short(10 ** power));
  }
  draw(svg, "text", { x: (left + width) / 2, y: height - 5, class: "below" }, "FLOPs a byte; FLOP/s upwards");
  const clip = draw(draw(svg, "defs"), "clipPath", { id: "frame" });
  draw(clip, "rect", { x: left, y: top, width: width - left - right, height: height - top - bottom });
  const roof = `${x(10 ** low)},${y(bytes * 10 ** low)} ${x(ridge)},${y(flops)} ${x(10 ** far)},${y(flops)}`;
  draw(svg, "polyline", { points: roof, class: "roof", "clip-path": "url(#frame)" });
  const taken = [];
  for (const dot of [...dots].sort((a, b) => b.share - a.share)) {
    const at = [x(dot.intensity), y(dot.rate)], radius = 3 + 22 * Math.sqrt(dot.share);
    const circle = draw(svg, "circle", { cx: at[0], cy: at[1], r: radius, fill: dot.color, "fill-opacity": 0.8 });
    draw(circle, "title", {}, `${dot.name}: ${short(dot.rate, "FLOP/s")} at ${Number(dot.intensity.toPrecision(3))} FLOPs a byte`);
    const beside = at[0] > width * 0.75;
    const box = [beside ? at[0] - radius - 3 - 6 * dot.name.length : at[0] + radius + 3, at[1], 6 * dot.name.length];
    if (taken.some((other) => Math.abs(other[1] - box[1]) < 11 && box[0] < other[0] + other[2] && other[0] < box[0] + box[2])) continue;
    taken.push(box);
    draw(svg, "text", { x: beside ? at[0] - radius - 3 : box[0], y: at[1] + 4, class: "dot", "text-anchor": beside ? "end" : "start" }, dot.name);
  }
}
