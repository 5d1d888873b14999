import { call, events } from "./api.js";
import { render } from "./text.js";

const by = (id) => document.getElementById(id);
const log = by("log"), form = by("form"), text = by("text"), send = by("send"), welcome = by("welcome");
const EXAMPLES = {
  nano: ["What is 37 * 43?", "Sort 12, 5, 31, 8, 20", "Solve 3x + 7 = 25", "What date is 45 days after March 3, 2025?"],
};
const OTHERS = ["Explain attention in three sentences", "Write a haiku about bandwidth", "Is 2^61 - 1 prime?"];
let turns = [], running = null;

function add(parent, tag, name, content = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = content;
  return parent.appendChild(made);
}

/** The place of one answer: thinking, text, and a line of numbers below. */
class View {
  constructor() {
    this.turn = add(log, "article", "turn waiting");
    this.answer = add(this.turn, "div", "answer");
    this.foot = add(this.turn, "div", "foot");
    this.content = "";
    this.asked = performance.now();
    this.first = null;
  }

  take(chunk) {
    const delta = chunk.choices[0]?.delta ?? {};
    const pinned = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
    if (delta.reasoning_content) this.think(delta.reasoning_content);
    if (delta.content) {
      this.endThinking();
      this.content += delta.content;
      this.draw ??= requestAnimationFrame(() => this.redraw());
    }
    if (chunk.usage) this.count(chunk.usage);
    this.turn.classList.remove("waiting");
    if (pinned) log.scrollTop = log.scrollHeight;
  }

  think(more) {
    if (!this.thought) {
      this.box = add(this.turn, "details", "busy");
      this.turn.prepend(this.box);
      this.label = add(add(this.box, "summary", ""), "span", "", "Thinking…");
      this.thought = add(this.box, "div", "");
    }
    this.thought.append(more);
  }

  endThinking() {
    if (!this.box?.classList.contains("busy")) return;
    this.box.classList.remove("busy");
    this.label.textContent = `Thought for ${((performance.now() - this.asked) / 1000).toFixed(1)} s`;
  }

  redraw() {
    this.draw = null;
    const pinned = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
    render(this.answer, this.content);
    if (pinned) log.scrollTop = log.scrollHeight;
  }

  count(usage) {
    const now = performance.now(), tokens = usage.completion_tokens;
    this.first ??= { at: now, tokens };
    const seconds = (now - this.first.at) / 1000;
    const rate = tokens > this.first.tokens && seconds > 0 ? (tokens - this.first.tokens) / seconds : 0;
    const cached = usage.prompt_tokens_details.cached_tokens;
    const facts = [
      `${tokens} tokens`,
      rate ? `${rate.toFixed(1)} tokens/s` : "",
      `first after ${((this.first.at - this.asked) / 1000).toFixed(2)} s`,
      cached ? `${cached} of ${usage.prompt_tokens} prompt tokens cached` : "",
    ];
    this.rate ??= add(this.foot, "span", "rate");
    this.rate.textContent = facts.filter(Boolean).join(" · ");
  }

  end(error) {
    this.endThinking();
    this.turn.classList.remove("waiting");
    if (error?.name === "AbortError") add(this.foot, "span", "stopped", "stopped");
    else if (error) add(this.turn, "div", "error", error.message).setAttribute("role", "alert");
    if (!this.content) return;
    this.redraw();
    const copy = add(this.foot, "button", "copy", "Copy");
    copy.type = "button";
    copy.onclick = async () => {
      await navigator.clipboard.writeText(this.content);
      copy.textContent = "Copied";
      setTimeout(() => (copy.textContent = "Copy"), 1500);
    };
  }
}

async function ask(content) {
  welcome.hidden = true;
  const history = turns;
  history.push({ role: "user", content });
  add(add(log, "article", "turn mine"), "div", "", content);
  const view = new View();
  log.scrollTop = log.scrollHeight;
  const mine = (running = new AbortController());
  update();
  let failure = null;
  try {
    const options = { include_usage: true, continuous_usage_stats: true };
    const body = JSON.stringify({ messages: history, stream: true, stream_options: options });
    const answer = await call("/v1/chat/completions", { method: "POST", body, signal: mine.signal });
    for await (const chunk of events(answer.body)) {
      if (chunk.error) throw new Error(chunk.error.message);
      view.take(chunk);
    }
  } catch (error) {
    failure = error;
  }
  view.end(failure);
  if (view.content) history.push({ role: "assistant", content: view.content });
  else history.pop();
  by("status").textContent = failure ? "The answer was not completed" : "The answer is complete";
  if (running === mine) running = null;
  update();
}

function update() {
  document.body.classList.toggle("running", running !== null);
  send.setAttribute("aria-label", running ? "Stop" : "Send");
  send.disabled = !running && !text.value.trim();
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
}

function submit(content) {
  if (!content || running) return;
  text.value = "";
  ask(content);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) running.abort();
  else submit(text.value.trim());
});
text.addEventListener("input", update);
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    submit(text.value.trim());
  }
});
by("clear").addEventListener("click", () => {
  running?.abort();
  running = null;
  turns = [];
  log.replaceChildren(welcome);
  welcome.hidden = false;
  update();
  text.focus();
});

async function begin() {
  update();
  const model = (await (await call("/v1/models")).json()).data[0];
  by("model").textContent = model.id;
  by("about").textContent =
    `${model.id} thinks before it answers, and reads up to ${model.max_model_len.toLocaleString("en")} tokens.`;
  for (const example of EXAMPLES[model.id] ?? OTHERS)
    add(by("examples"), "button", "", example).onclick = () => submit(example);
}
begin().catch((error) => (by("about").textContent = error.message));
