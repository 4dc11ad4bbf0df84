// The page of all models: each row is sent anew when it is another one.
import { live } from "./live.js";
import { morph } from "./morph.js";
import { short, tick } from "./shell.js";

const list = document.getElementById("models");
const known = () => [...list.children].map((row) => row.id.slice("model-".length));

if (list.dataset.events) live(list.dataset.events, {
  models: (keys) => {
    // Other models than those of this page: it is made anew.
    if (keys.join() !== known().join()) location.reload();
  },
  numbers: (found) => {
    for (const [key, numbers] of Object.entries(found)) {
      const place = document.querySelector(`#model-${key} .row-numbers`);
      if (!place) continue;
      const [answered, ms, failed] = numbers;
      place.textContent = numbers.length
        ? [`${short(answered)} / s`, ...(ms === null ? [] : [`p99 ${short(ms)} ms`])].join(" · ")
        : "";
      if (failed > 0) {
        const told = document.createElement("b");
        told.textContent = ` ${short(failed)} / s fail`;
        place.append(told);
      }
    }
  },
  part: ({ id, html }) => {
    const row = document.getElementById(id);
    if (!row) return;
    morph(row, html);
    tick(row);
  },
});
