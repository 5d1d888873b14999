import { call } from "./api.js";

const by = (id) => document.getElementById(id);
const form = by("form"), answer = by("answer"), go = by("go"), welcome = by("welcome");
let asked = 0;

function add(parent, tag, name = "", content = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.textContent = content;
  return parent.appendChild(made);
}

/** A box to tick, in a label of its own. */
function pick(parent, name, value, text) {
  const label = add(parent, "label", "pick"), box = add(label, "input");
  Object.assign(box, { type: "checkbox", name, value });
  label.append(text);
  return label;
}

function options(select, values, chosen) {
  for (const [value, text] of values) select.append(new Option(text, value, false, value === chosen));
}

/** What may be chosen, and where the form begins. */
function offer({ models, gpus, engines, precisions, orders, classes, prices, usual }) {
  options(by("model"), models.map((name) => [name, name]), usual.model);
  options(by("by"), orders.map((name) => [name, name]), usual.by);
  const limits = (both) => (both ? ` (${both[0] / 1000} s, ${both[1]} ms)` : "");
  options(by("class"), Object.entries(classes).map(([name, both]) => [name, name + limits(both)]), "server");
  for (const [name, dollars] of Object.entries(gpus)) {
    const row = add(by("gpus"), "div", "gpu"), most = document.createElement("input");
    const label = pick(row, "gpu", name, name);
    label.firstChild.checked = usual.gpus.split(",").includes(name.toLowerCase());
    add(label, "small", "", `$${dollars.toFixed(2)}/h`);
    Object.assign(most, { type: "number", name: `most-${name}`, min: 1, step: 1, placeholder: "any", inputMode: "numeric" });
    most.setAttribute("aria-label", `At most so many ${name}`);
    row.append(most);
  }
  for (const name of engines) pick(by("engines"), "engine", name, name);
  for (const name of precisions) pick(by("precisions"), "precision", name, name);
  by("input").value = usual.input;
  by("output").value = usual.output;
  by("sure").value = 100 * usual.sure;
  by("cached").value = 100 * usual.cached;
  by("prices-date").textContent = `TOML; the rest is the list of ${prices}`;
  const shown = () => {
    const both = classes[by("class").value];
    by("ttft").placeholder = both ? `${both[0] / 1000}s` : "1.5s";
    by("tpot").placeholder = both ? `${both[1]}ms` : "50ms";
  };
  by("class").addEventListener("change", shown);
  shown();
}

function showAmount() {
  const kind = by("demand").value, box = by("amount-field");
  box.hidden = !kind;
  if (!kind) return;
  box.dataset.field = kind;
}

/** The question as the server wants it. */
async function question() {
  const data = new FormData(form), text = (name) => data.get(name)?.trim() ?? "";
  const number = (field, name, low, high) => {
    const value = Number(text(name));
    if (text(name) === "" || !(value >= low && value <= high)) throw fault(`a number from ${low} to ${high}`, field);
    return value;
  };
  const gpus = data.getAll("gpu").map((name) => (text(`most-${name}`) ? `${text(`most-${name}`)}x${name}` : name));
  if (!gpus.length) throw fault("choose one", "gpus");
  const body = {
    gpus: gpus.join(","), input: text("input"), output: text("output"), latency_class: text("class"), by: text("by"),
    cached: number("cached", "cached", 0, 99) / 100, sure: number("sure", "sure", 50, 99) / 100,
    engines: data.getAll("engine").join(","), precisions: data.getAll("precision").join(","),
    mtp: data.has("mtp"), split: data.has("split"), prices: by("prices").value, model: text("model"),
  };
  for (const name of ["ttft", "tpot"]) if (text(name)) body[name] = text(name);
  const kind = text("demand");
  if (kind) body[kind] = number(kind, "amount", kind === "rate" ? 0.000001 : 1, 1e9);
  body.tails = kind === "rate";
  const file = by("config").files[0];
  if (file) {
    if (file.size > 1 << 18) throw fault(`${file.name} is no config.json: it is too large`, "model");
    try {
      body.config = JSON.parse(await file.text());
    } catch {
      throw fault(`${file.name} is no JSON`, "model");
    }
    body.model = file.name.replace(/\.json$/, "");
  }
  return body;
}

const fault = (message, param) => Object.assign(new Error(message), { param });
const fieldOf = (name) => form.querySelector(`[data-field~="${name}"]`);
const nameOf = (field) => (field.querySelector("label, .label").firstChild.textContent ?? "").trim().replace(/, %$/, "");

/** Says what is wrong beside the field it is about, in the form's own words. */
function complain({ message, param }) {
  const field = param && fieldOf(param.split(".")[0]);
  // a field's name where a part of the message begins; elsewhere it may be a word
  const words = message.replaceAll(/(^|: |; )([a-z_]+)\b(?![:.])/g, (whole, before, name) => {
    const other = name === "by" ? null : fieldOf(name);
    return other ? `${before}“${nameOf(other)}”` : whole;
  });
  if (!field) {
    by("fault").textContent = words;
    by("fault").hidden = false;
    return;
  }
  field.classList.add("bad");
  const lines = words.replace(`${param}: `, "").replaceAll(/; (?=[A-Z0-9]+: )/g, "\n");
  const told = add(field, "p", "fault", lines), control = field.querySelector("input, select, textarea");
  told.id = "told";
  told.setAttribute("role", "alert");
  field.closest("details")?.setAttribute("open", "");
  field.hidden = false;
  control.setAttribute("aria-invalid", "true");
  control.setAttribute("aria-describedby", "told");
  control.focus();
}

function forgive() {
  by("fault").hidden = true;
  by("told")?.remove();
  for (const field of form.querySelectorAll(".bad")) field.classList.remove("bad");
  for (const control of form.querySelectorAll("[aria-invalid]")) {
    control.removeAttribute("aria-invalid");
    control.removeAttribute("aria-describedby");
  }
}

const TILES = ["ms a token", "ms to first", "most tok/s a GPU", "$/M tokens", "$/h", "J a token"];

/** A figure, and below it the band that the planner writes in brackets. */
function banded(parent, text) {
  const [, middle, band] = text.match(/^([\d.,]+) \(([\d.,]+-[\d.,]+)\)$/) ?? [null, text];
  parent.append(middle);
  if (band) add(parent, "small", "", band.replace("-", " to "));
}

/** The answer in the words of the planner; plots come later. */
function show({ in_words: words, refused }) {
  const [first] = words.table;
  answer.replaceChildren();
  add(answer, "p", "question", words.question);
  add(answer, "h2", "", words.card[0][1]);
  const tiles = add(answer, "dl", "tiles");
  for (const name of TILES) {
    const tile = add(tiles, "div");
    add(tile, "dt", "", name);
    banded(add(tile, "dd"), first[name]);
  }
  for (const note of words.notes) add(answer, "p", "", note);
  add(answer, "h3", "", "All of them");
  const rows = table(words.table);
  answer.append(rows);
  const list = add(answer, "ul", "refused");
  for (const [name, why] of Object.entries(refused)) add(list, "li", "", `${name}: ${why}`);
  add(answer, "h3", "", "Against the speed a user sees");
  add(add(answer, "div", "plots"), "p", "waiting", "Curves take some seconds …");
  add(answer, "h3", "", "The first, as it would be started");
  const card = add(answer, "dl", "card");
  for (const [label, text] of words.card.slice(1)) {
    add(card, "dt", "", label);
    const place = add(card, "dd");
    add(place, label === "start" || label.startsWith("or ") ? "code" : "span", "", text);
  }
}

function table(rows) {
  const box = document.createElement("div"), made = add(box, "table"), names = Object.keys(rows[0]);
  box.className = "scroll";
  Object.assign(box, { tabIndex: 0 });
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "All answers, best first");
  const head = add(add(made, "thead"), "tr"), body = add(made, "tbody");
  for (const name of names) add(head, "th", "", name).scope = "col";
  for (const row of rows) {
    const line = add(body, "tr");
    for (const name of names) {
      const cell = add(line, "td", { GPUs: "title", layout: "layout" }[name]);
      cell.dataset.name = name;
      banded(cell, row[name]);
    }
  }
  return box;
}

function draw(plots) {
  const box = answer.querySelector(".plots");
  box.replaceChildren();
  for (const text of plots.filter(Boolean)) {
    box.append(new DOMParser().parseFromString(text, "text/html").body.firstChild);
  }
}

async function plan() {
  const mine = ++asked, post = async (body) => {
    const reply = await call("/v1/plan", { method: "POST", body: JSON.stringify(body) });
    return reply.json();
  };
  forgive();
  go.disabled = true;
  answer.setAttribute("aria-busy", "true");
  try {
    const body = await question();
    remember();
    const found = await post(body);
    show(found);
    answer.setAttribute("aria-busy", "false");
    go.disabled = false;
    if (innerWidth < 900) answer.scrollIntoView({ behavior: "smooth" });
    const { plots } = await post({ ...body, tails: false, curves: true });
    if (mine === asked) draw(plots);
  } catch (error) {
    if (mine === asked) complain(error);
  } finally {
    go.disabled = false;
    answer.setAttribute("aria-busy", "false");
  }
}

/** The question in the address, so that it can be kept and sent on. */
function remember() {
  const data = new FormData(form);
  history.replaceState(null, "", `#${new URLSearchParams([...data].filter(([, value]) => value !== ""))}`);
}

function recall() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (![...given.keys()].length) return false;
  for (const control of form.elements) {
    if (!control.name) continue;
    if (control.type === "checkbox") control.checked = given.getAll(control.name).includes(control.value);
    else if (given.has(control.name)) control.value = given.get(control.name);
  }
  by("class").dispatchEvent(new Event("change"));
  return true;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  plan();
});
by("demand").addEventListener("change", showAmount);

async function begin() {
  offer(await (await call("/v1/plan")).json());
  const known = recall();
  showAmount();
  if (known) plan();
}
begin().catch(complain);
