// The stream of a page: begins anew whenever it ends, and says whether it is there.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
const SOON_MS = 4_000;

export function live(path, handlers) {
  const shown = document.getElementById("live");
  let pauseMs = FIRST_PAUSE_MS;
  let source = null;
  let late = null;

  const tell = (state, word) => {
    if (shown.dataset.live === state) return;
    shown.dataset.live = state;
    shown.querySelector(".live-word").textContent = word;
  };

  const isThere = () => {
    clearTimeout(late);
    late = null;
    pauseMs = FIRST_PAUSE_MS;
    tell("on", "live");
  };

  // A stream ends each minute and begins again: that is no news before it takes long.
  const isGone = () => {
    late ??= setTimeout(() => tell("off", "no connection"), SOON_MS);
  };

  function open() {
    source = new EventSource(path);
    source.addEventListener("open", isThere);
    source.addEventListener("error", () => {
      isGone();
      if (source.readyState !== EventSource.CLOSED) return;
      // It was refused: by a service that ends, or has too many pages open, or wants a key.
      setTimeout(open, pauseMs);
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    });
    for (const [kind, handle] of Object.entries(handlers)) {
      source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
    }
  }

  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => event.persisted && open());
  open();
}
