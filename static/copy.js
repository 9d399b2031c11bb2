// Copies the text of the element that a button names in data-copy.
"use strict";

(() => {
  if (!navigator.clipboard) return;

  function show() {
    for (const button of document.querySelectorAll("button[data-copy][hidden]")) button.hidden = false;
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });

  show();
  document.addEventListener("headshots:changed", show);
})();
