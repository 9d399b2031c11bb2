// Shows a trial of a look as its pictures arrive.
"use strict";

(() => {
  const EVERY = 1500;

  async function ask() {
    const trial = document.getElementById("trial");
    if (trial?.dataset.live !== "yes") return;
    try {
      const response = await fetch(trial.dataset.url, { cache: "no-store" });
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("trial");
      if (fresh && fresh.outerHTML !== trial.outerHTML) trial.replaceWith(fresh);
    } catch {
      // The next poll tries again.
    }
    setTimeout(ask, EVERY);
  }

  setTimeout(ask, EVERY);
})();
