// The page of a model: its parts, its charts, and the form.
import { Charts } from "./charts.js";
import { live } from "./live.js";
import { morph } from "./morph.js";
import { operate, showPinned } from "./operate.js";
import { setUp } from "./predict.js";
import { setClock, tick } from "./shell.js";

const page = document.getElementById("page");
const charts = new Charts(document.querySelectorAll("[data-chart]"));
let version = document.getElementById("version")?.textContent;

// For those who don't see it move: which step a promotion is in, and the version that serves then.
const news = document.getElementById("news");
function tellNews() {
  const title = document.querySelector("#promotion .busy")?.dataset.version;
  const step = document.querySelector("#promotion [data-mark='now'] .step-word")?.textContent;
  const text = title ? `Version ${title}: ${step ?? "about to serve"}` : "";
  if (news.textContent !== text) news.textContent = text;
}

// A key that is for predictions alone sees no more than the form.
if (page.dataset.events) live(page.dataset.events, {
  part: ({ id, html }) => {
    const part = document.getElementById(id);
    morph(part, html);
    tick(part);
    if (id === "promotion") tellNews();
    const now = document.getElementById("version").textContent;
    // Another version may take other fields; what somebody has written is kept where it does not.
    if (version === "–" && now !== version) location.reload();
    version = now;
    showPinned();
  },
  history: (points) => charts.begin(points),
  points: (points) => charts.add(points),
  marks: (marks) => charts.mark(marks),
  now: ({ at_s, seen_at }) => {
    setClock(at_s * 1000);
    const seen = document.getElementById("seen");
    if (seen && seen_at) seen.dateTime = seen_at;
  },
  gone: () => location.assign(document.querySelector(".brand").href),
});
operate();
setUp(document.getElementById("predict"));
