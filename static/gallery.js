// Opens headshots in a lightbox, filters a pack by look, and moves the focus in a pack with the arrow keys. Without this
// script, each picture leads to a page of its own, and all links can be reached with the tab key.
"use strict";

(() => {
  const shoot = document.getElementById("shoot");
  const box = document.getElementById("lightbox");
  if (!shoot || !box?.showModal) return;

  const MIN_SWIPE = 48; // CSS pixels
  const stage = box.querySelector(".lightbox-stage");
  const picture = stage.querySelector("img");
  const name = box.querySelector(".lightbox-name");
  const downloads = box.querySelector(".lightbox-downloads");
  const zoom = box.querySelector("[data-zoom]");
  const star = box.querySelector("[data-star]");
  const share = box.querySelector("[data-share]");
  let shown = null;

  const frames = (list) => [...list.querySelectorAll("li:not([hidden]) > a.frame")];
  const neighbors = () => (shown?.isConnected ? frames(shown.closest("ul.headshots")) : []);

  function setZoom(on) {
    stage.classList.toggle("zoomed", on);
    zoom.setAttribute("aria-pressed", String(on));
    picture.src = on ? shown.dataset.full : shown.dataset.shown;
    picture.removeAttribute("width");
    if (!on) return;
    stage.focus();
    picture.addEventListener("load", fillPixels, { once: true });
  }

  // One pixel of the file on each pixel of the screen, and the middle of the picture first, where the face is.
  function fillPixels() {
    picture.width = picture.naturalWidth / devicePixelRatio;
    stage.scrollTo((picture.width - stage.clientWidth) / 2, (picture.height - stage.clientHeight) / 3);
  }

  function show(frame) {
    shown = frame;
    const all = neighbors();
    const place = all.indexOf(frame);
    picture.alt = frame.querySelector("img").alt;
    setZoom(false);
    star.setAttribute("aria-pressed", String(frame.dataset.favorite === "1"));
    prepareSharing(frame);
    name.textContent = `${frame.dataset.look}, ${place + 1} of ${all.length}`;
    const links = frame.closest("li").querySelectorAll(".caption a[download]");
    downloads.replaceChildren(
      ...[...links].map((link) => {
        const copy = link.cloneNode(true);
        copy.removeAttribute("tabindex");
        return copy;
      }),
    );
    // Not `disabled`: a disabled button would lose the focus, and the arrow keys with it.
    box.querySelector('[data-step="-1"]').setAttribute("aria-disabled", String(place === 0));
    box.querySelector('[data-step="1"]').setAttribute("aria-disabled", String(place === all.length - 1));
    if (box.open) return;
    box.showModal();
    stage.focus();
  }

  function step(by) {
    const all = neighbors();
    const next = all[all.indexOf(shown) + by];
    if (next) show(next);
  }

  async function toggleFavorite() {
    const frame = shown;
    const now = frame.dataset.favorite === "1" ? "0" : "1";
    const body = new FormData(box.querySelector("form"));
    body.set("favorite", now);
    body.set("script", "1");
    const response = await fetch(frame.dataset.favoriteUrl, { method: "POST", body });
    if (!response.ok) return;
    frame.dataset.favorite = now;
    if (frame === shown) star.setAttribute("aria-pressed", String(now === "1"));
    // The page shows the star and the ZIP of the favorites.
    document.dispatchEvent(new Event("headshots:ask"));
  }

  // Fetched when the picture is shown: Safari shares only directly after a click.
  let shared = null;

  async function prepareSharing(frame) {
    shared = null;
    share.hidden = true;
    if (!navigator.canShare) return;
    const response = await fetch(frame.dataset.shown, { cache: "no-store" });
    const file = new File([await response.blob()], "headshot.jpg", { type: "image/jpeg" });
    if (frame !== shown || !response.ok || !navigator.canShare({ files: [file] })) return;
    shared = file;
    share.hidden = false;
  }

  async function sharePicture() {
    try {
      if (shared) await navigator.share({ files: [shared] });
    } catch (error) {
      if (error.name !== "AbortError") share.hidden = true;
    }
  }

  shoot.addEventListener("click", (event) => {
    const frame = event.target.closest("a.frame[data-shown]");
    if (!frame || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    show(frame);
  });
  for (const button of box.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => step(Number(button.dataset.step)));
  }
  zoom.addEventListener("click", () => setZoom(!stage.classList.contains("zoomed")));
  star.addEventListener("click", toggleFavorite);
  share.addEventListener("click", sharePicture);
  box.addEventListener("keydown", (event) => {
    if (stage.classList.contains("zoomed") || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  box.addEventListener("close", () => {
    picture.removeAttribute("src");
    // The page may have replaced the picture's part meanwhile.
    document.getElementById(shown?.closest("li")?.id)?.querySelector("a.frame")?.focus();
  });
  let start = null;
  stage.addEventListener("pointerdown", (event) => {
    start = stage.classList.contains("zoomed") || event.pointerType === "mouse" ? null : event.clientX;
  });
  stage.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const moved = event.clientX - start;
    start = null;
    if (Math.abs(moved) >= MIN_SWIPE) step(moved < 0 ? 1 : -1);
  });

  // A pack of fifty would be two hundred stops of the tab key. Only one picture is a stop, and the arrow keys move it.
  function rove(list) {
    const all = frames(list);
    const current = all.find((frame) => frame.tabIndex === 0 && frame.hasAttribute("tabindex")) ?? all[0];
    for (const frame of all) frame.tabIndex = frame === current ? 0 : -1;
    for (const link of list.querySelectorAll(".caption a")) link.tabIndex = -1;
  }

  shoot.addEventListener("keydown", (event) => {
    const frame = event.target.closest?.("ul.many a.frame");
    if (!frame) return;
    const all = frames(frame.closest("ul"));
    const columns = all.filter((other) => other.offsetTop === all[0].offsetTop).length;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    const next = by && all[all.indexOf(frame) + by];
    if (!next) return;
    event.preventDefault();
    for (const other of all) other.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });

  // The looks of a pack as buttons: one shows only the headshots of that look.
  const chosen = new Map();

  function filter(list) {
    const counts = new Map();
    for (const { dataset } of list.querySelectorAll("a.frame[data-look]")) {
      counts.set(dataset.look, (counts.get(dataset.look) ?? 0) + 1);
    }
    let bar = list.previousElementSibling?.matches(".looks-filter") ? list.previousElementSibling : null;
    if (counts.size < 2) {
      bar?.remove();
      return;
    }
    if (!bar) {
      bar = document.createElement("div");
      bar.className = "looks-filter";
      bar.dataset.own = "";
      bar.setAttribute("role", "group");
      bar.setAttribute("aria-label", "Show headshots of a look");
      list.before(bar);
    }
    const look = counts.has(chosen.get(list.id)) ? chosen.get(list.id) : "";
    const entries = [["", [...counts.values()].reduce((sum, count) => sum + count, 0)], ...counts];
    bar.replaceChildren(
      ...entries.map(([title, count]) => {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "quiet";
        button.textContent = `${title || "All"} (${count})`;
        button.setAttribute("aria-pressed", String(title === look));
        button.addEventListener("click", () => {
          chosen.set(list.id, title);
          arrange();
          bar.querySelector('[aria-pressed="true"]').focus();
        });
        return button;
      }),
    );
    for (const item of list.children) {
      item.hidden = look !== "" && item.querySelector("a.frame")?.dataset.look !== look;
    }
  }

  function arrange() {
    for (const list of shoot.querySelectorAll("ul.headshots.many")) {
      filter(list);
      rove(list);
    }
  }

  document.addEventListener("headshots:changed", () => {
    arrange();
    const item = shown && document.getElementById(shown.closest("li").id);
    if (item) shown = item.querySelector("a.frame") ?? shown;
  });
  arrange();
})();
