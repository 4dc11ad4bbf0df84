// What an operator may do: each call behind a dialog that says what it does, and then what came of it.

import { problem } from "./problem.js";

export function operate() {
  const dialog = document.getElementById("confirm");
  if (dialog === null) return;
  const find = (name) => document.getElementById(`confirm-${name}`);
  const [told, run, cancel, version] = ["told", "run", "cancel", "version"].map(find);
  let chosen = null;

  const tell = (text, ok) => {
    told.textContent = text;
    told.dataset.ok = ok;
  };

  for (const button of document.querySelectorAll("[data-action]")) {
    button.addEventListener("click", () => {
      chosen = button;
      find("title").textContent = button.dataset.title;
      find("says").textContent = button.dataset.says;
      find("field").hidden = !("asks" in button.dataset);
      version.value = document.getElementById("version").textContent.replace("–", "");
      version.removeAttribute("aria-invalid");
      run.textContent = button.textContent;
      run.hidden = run.disabled = false;
      cancel.textContent = "Cancel";
      tell("", "");
      dialog.showModal();
      // What changes nothing has the focus: Enter alone does no harm.
      cancel.focus();
    });
  }

  cancel.addEventListener("click", () => dialog.close());

  find("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const asks = "asks" in chosen.dataset;
    const wanted = version.value.trim();
    if (asks && !/^\d+$/.test(wanted)) {
      version.setAttribute("aria-invalid", "true");
      version.focus();
      tell("A version is a number.", "no");
      return;
    }
    run.disabled = true;
    tell("under way …", "");
    try {
      const reply = await fetch(chosen.dataset.path, {
        method: chosen.dataset.method,
        headers: { "content-type": "application/json" },
        body: asks ? JSON.stringify({ version: wanted }) : undefined,
      });
      if (reply.ok) tell((await reply.json()).message, "yes");
      else tell(await problem(reply), "no");
    } catch {
      tell("The service can't be reached.", "no");
    }
    run.hidden = true;
    cancel.textContent = "Close";
    cancel.focus();
  });
}

// Whether a version is pinned is told by the part that says what serves, which is sent anew.
export function showPinned() {
  const unpin = document.querySelector("[data-action=unpin]");
  if (unpin) unpin.hidden = !document.querySelector("#serving [data-pinned]");
}
