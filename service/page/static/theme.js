// Before anything is painted: the theme that was chosen here, or else the system's.
"use strict";

(() => {
  const kept = (() => {
    try {
      return localStorage.getItem("hotswap-theme");
    } catch {
      return null;
    }
  })();
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
})();
