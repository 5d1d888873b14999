// Calls to the server: the key, where one is asked for, and the events of a stream.

const dialog = document.getElementById("ask-key"), field = document.getElementById("key");

function newKey() {
  return new Promise((resolve) => {
    field.value = "";
    dialog.addEventListener("close", () => resolve(field.value.trim()), { once: true });
    dialog.showModal();
  });
}

/** A response that is not an error; asks for a key and calls again where the server wants one. */
export async function call(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error("The server cannot be reached.");
  }
  if (answer.status === 401) {
    const given = await newKey();
    if (given) {
      sessionStorage.setItem("key", given);
      return call(path, options);
    }
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => null);
    const error = new Error(told?.error?.message ?? `The server answers ${answer.status}.`);
    throw Object.assign(error, { param: told?.error?.param });
  }
  return answer;
}

/** The JSON of each event of a stream. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.slice("data: ".length);
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}
