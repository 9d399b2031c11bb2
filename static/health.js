// Refreshes the health checks of the dashboard. Without a response, their status is unknown.
"use strict";

(() => {
  const EVERY = 5000;
  const TIMEOUT_MS = 4000;
  const title = document.title;
  let answered = Date.now();

  function show() {
    const critical = document.querySelectorAll("#health-checks [data-status='critical']").length;
    document.title = critical ? `(${critical}) ${title}` : title;
  }

  // The last known messages stay visible, with their age.
  function markUnknown(checks) {
    const age = `${Math.round((Date.now() - answered) / 1000)} s ago`;
    for (const check of checks.querySelectorAll("[data-check]:not([data-check='web'])")) {
      check.className = "health-check unknown";
      check.dataset.status = "unknown";
      check.querySelector(".visually-hidden").textContent = "unknown:";
      const words = check.querySelector(".age") ?? check.lastElementChild.appendChild(document.createElement("span"));
      words.className = "age";
      words.textContent = ` (${age})`;
    }
    let web = checks.querySelector("[data-check='web']");
    if (!web) {
      web = checks.insertBefore(document.createElement("li"), checks.firstChild);
      web.className = "health-check critical";
      web.dataset.check = "web";
      web.dataset.status = "critical";
      web.innerHTML = "<span class='status-dot' aria-hidden='true'></span><span><strong>Web</strong> <span class='visually-hidden'>critical:</span> <span class='age'></span></span>";
    }
    web.querySelector(".age").textContent = `not responding. Status below as of ${age}.`;
  }

  async function ask() {
    const checks = document.getElementById("health-checks");
    // A hanging web process accepts the request and never answers.
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), TIMEOUT_MS);
    try {
      const options = { cache: "no-store", redirect: "manual", signal: controller.signal };
      const response = await fetch(checks.dataset.url, options);
      if (response.type === "opaqueredirect") return location.reload();
      if (!response.ok) throw new Error(response.status);
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("health-checks");
      if (!fresh) throw new Error("no health checks");
      answered = Date.now();
      if (fresh.outerHTML !== checks.outerHTML) checks.replaceWith(fresh);
    } catch {
      markUnknown(checks);
    } finally {
      clearTimeout(timer);
    }
    show();
  }

  show();
  setInterval(ask, EVERY);
})();
