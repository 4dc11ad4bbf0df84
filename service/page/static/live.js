// The stream of a page: begins anew whenever it ends, and says whether it is there. It rests while
// nobody looks: browsers keep six connections to a host, and a seventh page would never be loaded.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
const SOON_MS = 4_000;
const SIGNED_IN_MS = 30_000;

export function live(path, handlers) {
  const shown = document.getElementById("live");
  let pauseMs = FIRST_PAUSE_MS;
  let source = null;
  let late = null;
  let again = null;
  let kept = null;
  const session = document.body.dataset.session;

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

  const isSignedOut = async () =>
    session !== undefined && (await fetch(session).catch(() => null))?.status === 401;

  function close() {
    source?.close();
    source = null;
    for (const timer of [late, again, kept]) clearTimeout(timer);
    late = again = null;
  }

  function open() {
    close();
    source = new EventSource(path);
    source.addEventListener("open", isThere);
    source.addEventListener("error", async () => {
      isGone();
      if (source?.readyState !== EventSource.CLOSED) return;
      // It was refused: by a service that ends, or has too many pages open, or wants a key.
      again = setTimeout(open, pauseMs);
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
      if (await isSignedOut()) location.reload();
    });
    source.addEventListener("over", () => location.reload());
    for (const [kind, handle] of Object.entries(handlers)) {
      source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
    }
  }

  function rest() {
    close();
    if (session !== undefined) kept = setInterval(() => fetch(session).catch(() => null), SIGNED_IN_MS);
  }

  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : open()));
  if (document.hidden) rest();
  else open();
}
