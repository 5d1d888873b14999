"use strict";
const by = (id) => document.getElementById(id);
const log = by("log"), form = by("form"), text = by("text"), send = by("send");
let turns = [], running = null;

function add(parent, tag, name, content = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = content;
  return parent.appendChild(made);
}

async function call(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) };
  const answer = await fetch(path, { ...options, headers });
  if (answer.status === 401) {
    const given = prompt("This server asks for an API key");
    if (given) {
      sessionStorage.setItem("key", given.trim());
      return call(path, options);
    }
  }
  if (!answer.ok) throw new Error((await answer.json()).error.message);
  return answer;
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n\n");
    rest = lines.pop();
    for (const line of lines) {
      const data = line.slice("data: ".length);
      if (data !== "[DONE]") yield JSON.parse(data);
    }
  }
}

function show(view, delta, usage, started) {
  const down = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  if (delta.reasoning_content) {
    if (!view.thought) {
      view.box = document.createElement("details");
      view.turn.prepend(view.box);
      add(view.box, "summary", "", "Thinking…");
      view.thought = add(view.box, "div", "");
    }
    view.thought.textContent += delta.reasoning_content;
  }
  if (delta.content) {
    view.answer.textContent += delta.content;
    if (view.box) view.box.firstChild.textContent = "Thought";
  }
  if (usage) {
    const seconds = (performance.now() - started) / 1000;
    const rate = usage.completion_tokens > 1 && seconds > 0 ? ((usage.completion_tokens - 1) / seconds).toFixed(1) : "–";
    view.rate.textContent = `${usage.completion_tokens} tokens, ${rate} tokens/s`;
  }
  if (down) log.scrollTop = log.scrollHeight;
}

async function ask(content) {
  turns.push({ role: "user", content });
  add(log, "div", "turn user", content);
  const turn = add(log, "div", "turn");
  const view = { turn, answer: add(turn, "div", "answer"), rate: add(turn, "div", "rate") };
  running = new AbortController();
  send.textContent = "Stop";
  try {
    const options = { include_usage: true, continuous_usage_stats: true };
    const body = JSON.stringify({ messages: turns, stream: true, stream_options: options });
    const answer = await call("/v1/chat/completions", { method: "POST", body, signal: running.signal });
    let started = 0;
    for await (const chunk of events(answer.body)) {
      if (chunk.error) throw new Error(chunk.error.message);
      started ||= performance.now();
      show(view, chunk.choices[0]?.delta ?? {}, chunk.usage, started);
    }
  } catch (error) {
    if (error.name !== "AbortError") add(turn, "div", "error", error.message);
    else view.rate.textContent += " · stopped";
  }
  turns.push({ role: "assistant", content: view.answer.textContent });
  if (view.box) view.box.firstChild.textContent = "Thought";
  running = null;
  send.textContent = "Send";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) return running.abort();
  const content = text.value.trim();
  if (!content) return;
  text.value = "";
  ask(content);
});
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && !running) {
    event.preventDefault();
    form.requestSubmit();
  }
});
by("clear").addEventListener("click", () => {
  running?.abort();
  turns = [];
  log.replaceChildren();
});
call("/v1/models").then(async (answer) => (by("model").textContent = (await answer.json()).data[0].id), () => {});
