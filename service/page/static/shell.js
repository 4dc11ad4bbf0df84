// What every page has: the switch of the theme, who has signed in, and times that go on.
import { signIn } from "./sign_in.js";

const THEMES = ["", "light", "dark"];
const TOLD = { "": "as the system has it", light: "light", dark: "dark" };

function switchTheme(button) {
  const root = document.documentElement;
  const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "") + 1) % THEMES.length];
  if (next) root.dataset.theme = next;
  else delete root.dataset.theme;
  try {
    localStorage.setItem("hotswap-theme", next);
  } catch {
    // Not kept, where the browser keeps nothing.
  }
  tell(button);
  document.dispatchEvent(new Event("theme"));
}

function tell(button) {
  const text = `Theme: ${TOLD[document.documentElement.dataset.theme ?? ""]}`;
  button.setAttribute("aria-label", text);
  button.title = text;
}

export function duration(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

export const short = (value) => {
  if (value == null) return "–";
  if (value === 0) return "0";
  if (value >= 1000) return `${(value / 1000).toFixed(value >= 10_000 ? 0 : 1)}k`;
  return String(value >= 100 ? Math.round(value) : Number(value.toPrecision(value >= 10 ? 3 : 2)));
};

// The service's clock, as far as its answers tell it: a browser's own may be minutes off.
let aheadMs = 0;
export const setClock = (serviceMs) => {
  aheadMs = serviceMs - Date.now();
};

export function tick(within = document) {
  const nowMs = Date.now() + aheadMs;
  for (const time of within.querySelectorAll("time[data-ago], time[data-running]")) {
    const seconds = (nowMs - Date.parse(time.dateTime)) / 1000;
    const text = "running" in time.dataset ? `${Math.max(0, seconds).toFixed(0)} s` : duration(seconds);
    if (time.textContent !== text) {
      time.title ||= new Date(time.dateTime).toLocaleString();
      time.textContent = text;
    }
  }
}

const button = document.getElementById("theme");
tell(button);
button.addEventListener("click", () => switchTheme(button));
tick();
setInterval(tick, 1000);
signIn();
