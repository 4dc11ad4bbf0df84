// Enter a key, and leave again: a cookie stands for the key, which no script keeps or sees.

import { problem } from "./problem.js";

export function signIn() {
  const form = document.getElementById("sign-in-form");
  const dialog = document.getElementById("sign-in");
  document.getElementById("sign-in-open")?.addEventListener("click", () => dialog.showModal());
  document.getElementById("sign-in-cancel")?.addEventListener("click", () => dialog.close());
  document.getElementById("sign-out")?.addEventListener("click", async ({ target }) => {
    await fetch(target.dataset.path, { method: "DELETE" }).catch(() => {});
    location.reload();
  });
  form?.addEventListener("submit", (event) => {
    event.preventDefault();
    enter(form);
  });
}

async function enter(form) {
  const key = document.getElementById("sign-in-key");
  const told = document.getElementById("sign-in-told");
  const run = document.getElementById("sign-in-run");
  run.disabled = true;
  told.textContent = "";
  try {
    const reply = await fetch(form.dataset.path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ key: key.value }),
    });
    if (reply.ok) {
      key.value = "";
      location.reload();
      return;
    }
    told.textContent = await problem(reply);
  } catch {
    told.textContent = "The service can't be reached.";
  }
  run.disabled = false;
  key.focus();
  key.select();
}
