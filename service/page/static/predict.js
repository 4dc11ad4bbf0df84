// The form: what its fields and its text say is one body, which is sent, and shown as curl and Python.

const MOST_SHOWN = 100_000;

export function setUp(form) {
  if (form === null) return;
  const body = document.getElementById("predict-body");
  const fields = [...form.querySelectorAll("[data-field]")];
  const told = document.getElementById("predict-took");

  const parsed = () => {
    if (hasLargeIntegers(body.value)) return null;
    try {
      const found = JSON.parse(body.value);
      body.removeAttribute("aria-invalid");
      return found;
    } catch (fault) {
      body.setAttribute("aria-invalid", "true");
      told.textContent = `The body is no JSON: ${fault.message}`;
      return null;
    }
  };

  const show = () => {
    document.getElementById("predict-curl").textContent = curl(form, body.value);
    document.getElementById("predict-python").textContent = python(form, body.value);
  };

  for (const field of fields) {
    field.addEventListener("input", () => {
      const found = parsed();
      if (found === null) {
        if (hasLargeIntegers(body.value)) told.textContent = "Write it as JSON: it has whole numbers of more than 15 digits.";
        return;
      }
      const row = (found.instances ??= [{}])[0];
      const value = valueOf(field);
      field.toggleAttribute("aria-invalid", false);
      if (value === undefined) delete row[field.dataset.field];
      else row[field.dataset.field] = value;
      if (field.dataset.kind === "number" && typeof value === "string") {
        field.setAttribute("aria-invalid", "true");
      }
      body.value = JSON.stringify(found, null, 2);
      show();
    });
  }

  body.addEventListener("input", () => {
    told.textContent = "";
    const row = parsed()?.instances?.[0];
    if (row) for (const field of fields) fill(field, row[field.dataset.field]);
    show();
  });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (hasLargeIntegers(body.value) || parsed() !== null) await ask(form, body.value, told);
  });

  for (const button of document.querySelectorAll("[data-copies]")) {
    button.addEventListener("click", async () => {
      await navigator.clipboard?.writeText(document.getElementById(button.dataset.copies).textContent);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
  }
  show();
}

async function ask(form, text, told) {
  const run = document.getElementById("predict-run");
  const answer = document.getElementById("predict-answer");
  run.disabled = true;
  told.textContent = "asking …";
  const began = performance.now();
  try {
    const reply = await fetch(form.dataset.path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: text,
    });
    const ms = performance.now() - began;
    const found = await reply.text();
    answer.textContent = pretty(found);
    answer.dataset.ok = reply.ok ? "yes" : "no";
    const version = reply.headers.get("x-model-version");
    told.textContent = `${reply.status} in ${ms.toFixed(0)} ms${version ? ` by version ${version}` : ""}`;
  } catch {
    answer.textContent = "The service can't be reached.";
    answer.dataset.ok = "no";
    told.textContent = "";
  } finally {
    answer.hidden = false;
    run.disabled = false;
  }
}

// Whole numbers that a script would round: what has them is sent and shown as it was written.
const hasLargeIntegers = (text) => /(?<![.\deE"+-])-?\d{16,}(?![.\deE"])/.test(text);

function valueOf(field) {
  const text = field.value.trim();
  if (field.dataset.kind === "text") return field.value === "" ? undefined : field.value;
  if (text === "") return undefined;
  if (field.dataset.kind === "boolean") return text === "true";
  // Digits that a number of JavaScript's can't hold stay as they are written, and are refused.
  const number = Number(text);
  return Number.isFinite(number) && (!Number.isInteger(number) || Number.isSafeInteger(number)) ? number : text;
}

function fill(field, value) {
  const text = value == null ? "" : typeof value === "string" ? value : JSON.stringify(value);
  if (field.value !== text) field.value = text;
}

// An answer may have megabytes, over which a browser would stand still.
function pretty(text) {
  if (text.length > MOST_SHOWN) return cut(text);
  try {
    return cut(JSON.stringify(JSON.parse(text), null, 2));
  } catch {
    return text;
  }
}

const cut = (text) =>
  text.length <= MOST_SHOWN
    ? text
    : `${text.slice(0, MOST_SHOWN)}\n… and ${(text.length - MOST_SHOWN).toLocaleString()} more characters`;

const url = (form) => new URL(form.dataset.shown, location.origin).href;
const keyed = () => document.body.dataset.keys === "wanted";
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function compact(text) {
  if (hasLargeIntegers(text)) return text;
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
}

function curl(form, text) {
  const key = keyed() ? ` \\\n  -H "Authorization: Bearer $HOTSWAP_KEY"` : "";
  return `curl ${quoted(url(form))} \\\n  -H 'content-type: application/json'${key} \\\n  -d ${quoted(compact(text))}`;
}

function python(form, text) {
  const key = keyed() ? `, "authorization": "Bearer " + os.environ["HOTSWAP_KEY"]` : "";
  return [
    ...(keyed() ? ["import os"] : []),
    "import urllib.request",
    "",
    `body = ${JSON.stringify(compact(text))}`,
    "request = urllib.request.Request(",
    `    ${JSON.stringify(url(form))},`,
    "    body.encode(),",
    `    {"content-type": "application/json"${key}},`,
    ")",
    "print(urllib.request.urlopen(request).read().decode())",
  ].join("\n");
}
