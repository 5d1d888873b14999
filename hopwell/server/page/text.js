// An answer's text as elements: paragraphs, headings, lists, code, and what stands in \boxed{}. Everything goes in as
// text nodes, so no answer can bring markup of its own.

const INLINE = /(`+)(.+?)\1|\*\*(.+?)\*\*|\\boxed\{([^{}]*)\}/g;

function inline(parent, text) {
  let at = 0;
  for (const found of text.matchAll(INLINE)) {
    parent.append(text.slice(at, found.index));
    const [whole, , code, strong, boxed] = found;
    const made = document.createElement(code !== undefined ? "code" : strong !== undefined ? "strong" : "span");
    if (boxed !== undefined) made.className = "boxed";
    made.textContent = code ?? strong ?? boxed;
    parent.append(made);
    at = found.index + whole.length;
  }
  parent.append(text.slice(at));
}

function block(parent, tag, text) {
  const made = parent.appendChild(document.createElement(tag));
  inline(made, text);
  return made;
}

/** Replaces what `parent` holds by `text`. A code block that has not ended yet runs to the end. */
export function render(parent, text) {
  parent.replaceChildren();
  let list = null, paragraph = [];
  const flush = () => {
    if (paragraph.length) block(parent, "p", paragraph.join("\n"));
    paragraph = [];
  };
  const lines = text.replaceAll(/\\\[|\\\]|\\\(|\\\)/g, "").split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    const item = line.match(/^\s*(?:([-*+])|\d+[.)])\s+(.*)/), head = line.match(/^#{1,6}\s+(.*)/);
    if (!item) list = null;
    if (/^\s*```/.test(line)) {
      flush();
      const code = [];
      while (++i < lines.length && !/^\s*```\s*$/.test(lines[i])) code.push(lines[i]);
      parent.appendChild(document.createElement("pre")).textContent = code.join("\n");
    } else if (item) {
      flush();
      const tag = item[1] ? "UL" : "OL";
      if (list?.tagName !== tag) list = parent.appendChild(document.createElement(tag));
      if (!item[1] && !list.children.length) list.start = parseInt(line.trim(), 10);
      block(list, "li", item[2]);
    } else if (head) {
      flush();
      block(parent, "h3", head[1]);
    } else if (line.trim()) {
      paragraph.push(line);
    } else {
      flush();
    }
  }
  flush();
}
