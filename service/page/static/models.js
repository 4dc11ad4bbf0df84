// The page of all models: each row is sent anew when it is another one.
import { live } from "./live.js";
import { morph } from "./morph.js";
import { tick } from "./shell.js";

const list = document.getElementById("models");
const known = () => [...list.children].map((row) => row.id.slice("model-".length));

live(list.dataset.events, {
  models: (keys) => {
    // Other models than those of this page: it is made anew.
    if (keys.join() !== known().join()) location.reload();
  },
  part: ({ id, html }) => {
    const row = document.getElementById(id);
    if (!row) return;
    morph(row, html);
    tick(row);
  },
});
