// Makes an element's content what the service says, and leaves alone what is the same already: what
// has the focus keeps it, and what somebody opened stays open; so does what has data-kept, which the
// page fills itself. The service escapes all texts.

const KEPT = { DETAILS: "open", INPUT: "value", TIME: "title" };

export function morph(element, html) {
  const wanted = document.createElement("template");
  wanted.innerHTML = html;
  children(element, wanted.content);
}

function children(now, wanted) {
  const keyed = new Map();
  for (const child of now.children) if (child.id) keyed.set(child.id, child);
  let at = now.firstChild;
  for (const next of [...wanted.childNodes]) {
    const same = next.id ? keyed.get(next.id) : at && alike(at, next) ? at : null;
    if (!same) {
      now.insertBefore(next, at);
      continue;
    }
    if (same !== at) now.insertBefore(same, at);
    else at = at.nextSibling;
    update(same, next);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

const alike = (one, other) =>
  one.nodeType === other.nodeType && one.nodeName === other.nodeName && (one.id ?? "") === (other.id ?? "");

function update(now, wanted) {
  if (now.nodeType !== Node.ELEMENT_NODE) {
    if (now.nodeValue !== wanted.nodeValue) now.nodeValue = wanted.nodeValue;
    return;
  }
  if ("kept" in now.dataset) return;
  const kept = KEPT[now.nodeName];
  for (const { name, value } of wanted.attributes) {
    if (name !== kept && now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  for (const { name } of [...now.attributes]) {
    if (name !== kept && !wanted.hasAttribute(name)) now.removeAttribute(name);
  }
  children(now, wanted);
}
