// Keeps the lamps of the dashboard up to date. What cannot be asked any more is red as well.
"use strict";

(() => {
  const EVERY = 10000;
  const title = document.title;

  function show() {
    const red = document.querySelectorAll("#lamps [data-light='red']").length;
    document.title = red ? `(${red}) ${title}` : title;
  }

  async function ask() {
    const lamps = document.getElementById("lamps");
    try {
      const response = await fetch(lamps.dataset.lampsUrl, { cache: "no-store", redirect: "manual" });
      if (response.type === "opaqueredirect") return location.reload();
      if (!response.ok) throw new Error(response.status);
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("lamps");
      if (fresh && fresh.outerHTML !== lamps.outerHTML) lamps.replaceWith(fresh);
    } catch {
      const lamp = lamps.querySelector("[data-lamp='web']") ?? lamps.insertBefore(document.createElement("li"), lamps.firstChild);
      lamp.className = "lamp red";
      lamp.dataset.lamp = "web";
      lamp.dataset.light = "red";
      lamp.innerHTML = "<span class='bulb' aria-hidden='true'></span><span><strong>Web</strong> does not answer; what you see is old</span>";
    }
    show();
  }

  show();
  setInterval(ask, EVERY);
})();
