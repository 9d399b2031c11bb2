// Keeps the lamps of the dashboard up to date. Without an answer nothing is known: then no lamp is green.
"use strict";

(() => {
  const EVERY = 5000;
  const TIMEOUT_MS = 4000;
  const title = document.title;
  let answered = Date.now();

  function show() {
    const dark = document.querySelectorAll("#lamps [data-light='red']").length;
    document.title = dark ? `(${dark}) ${title}` : title;
  }

  // What each lamp said stays to be read, with how old it is.
  function putOut(lamps) {
    const age = `${Math.round((Date.now() - answered) / 1000)} s ago`;
    for (const lamp of lamps.querySelectorAll("[data-lamp]:not([data-lamp='web'])")) {
      lamp.className = "lamp unknown";
      lamp.dataset.light = "unknown";
      lamp.querySelector(".visually-hidden").textContent = "unknown:";
      const words = lamp.querySelector(".age") ?? lamp.lastElementChild.appendChild(document.createElement("span"));
      words.className = "age";
      words.textContent = ` (${age})`;
    }
    let web = lamps.querySelector("[data-lamp='web']");
    if (!web) {
      web = lamps.insertBefore(document.createElement("li"), lamps.firstChild);
      web.className = "lamp red";
      web.dataset.lamp = "web";
      web.dataset.light = "red";
      web.innerHTML = "<span class='bulb' aria-hidden='true'></span><span><strong>Web</strong> <span class='visually-hidden'>red:</span> <span class='age'></span></span>";
    }
    web.querySelector(".age").textContent = `does not answer; what stands here was seen ${age}`;
  }

  async function ask() {
    const lamps = document.getElementById("lamps");
    // A web process that hangs takes the question and never answers.
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), TIMEOUT_MS);
    try {
      const options = { cache: "no-store", redirect: "manual", signal: controller.signal };
      const response = await fetch(lamps.dataset.lampsUrl, options);
      if (response.type === "opaqueredirect") return location.reload();
      if (!response.ok) throw new Error(response.status);
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("lamps");
      if (!fresh) throw new Error("no lamps");
      answered = Date.now();
      if (fresh.outerHTML !== lamps.outerHTML) lamps.replaceWith(fresh);
    } catch {
      putOut(lamps);
    } finally {
      clearTimeout(timer);
    }
    show();
  }

  show();
  setInterval(ask, EVERY);
})();
