// Shows times in the visitor's time zone, and the time left where the page asks for it.
"use strict";

(() => {
  const full = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "short" });

  function untilThen(milliseconds) {
    const minutes = Math.max(0, Math.round(milliseconds / 60000));
    if (minutes < 2) return "in a minute or two";
    if (minutes < 120) return `in ${minutes} minutes`;
    return `in ${Math.floor(minutes / 60)} hours`;
  }

  function show() {
    for (const time of document.querySelectorAll("time[data-local]")) {
      const then = new Date(time.dateTime);
      const rest = "countdown" in time.dataset ? ` (${untilThen(then - Date.now())})` : "";
      const text = full.format(then) + rest;
      if (time.textContent !== text) time.textContent = text;
    }
  }

  show();
  setInterval(show, 30000);
  document.addEventListener("headshots:changed", show);
})();
