// Updates the page of a shoot without a reload, on a nudge from the live channel or by polling every two seconds.
// The server renders the page. This script replaces only the parts that differ, so that pictures are not fetched
// twice, a selected radio button stays selected, and the focus stays where it is.
"use strict";

(() => {
  const ASK_WHEN_CUT = 2000;
  const ASK_WHEN_OPEN = 5000; // A nudge can get lost.
  const ASK_WHEN_DONE = 20000;
  const ASK_WHEN_HIDDEN = 20000;
  const LISTEN_AGAIN = 60000; // After the server refused a stream.
  // Each response has its own form token, which does not count as a difference.
  const FORM_TOKEN = /<input type="hidden" name="csrfmiddlewaretoken"[^>]*>/g;

  const shoot = document.getElementById("shoot");
  const progress = () => document.getElementById("progress");
  const isLive = () => progress()?.dataset.live === "yes";

  // The last version of each part from the server. Other scripts may have changed the page since.
  const said = new Map();
  let channel = null;
  let stopListening = null;
  let listenAfter = 0;
  let timer = null;
  let asking = false;
  let askAgain = false;

  // A part that another script has added.
  const isOwn = (part) => part.hasAttribute("data-own");

  const words = (part) => part.outerHTML.replace(FORM_TOKEN, "");

  function remember(root) {
    said.clear();
    for (const part of root.querySelectorAll("[id]")) said.set(part.id, words(part));
  }

  function exchange(old, fresh) {
    if (!old.hasAttribute("data-keyed") || !fresh.hasAttribute("data-keyed")) {
      if (said.get(old.id) !== words(fresh)) old.replaceWith(fresh.cloneNode(true));
      return;
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const wanted = new Set([...fresh.children].map((child) => child.id));
    for (const child of [...old.children]) if (!wanted.has(child.id) && !isOwn(child)) child.remove();
    const here = new Map([...old.children].map((child) => [child.id, child]));
    let place = old.firstElementChild;
    for (const child of fresh.children) {
      while (place && isOwn(place)) place = place.nextElementSibling;
      const known = here.get(child.id);
      if (!known) {
        old.insertBefore(child.cloneNode(true), place);
        continue;
      }
      // The order may have changed: move existing parts, so that none is shown twice.
      if (known === place) place = place.nextElementSibling;
      else old.insertBefore(known, place);
      exchange(known, child);
    }
  }

  function take(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("progress");
    if (!fresh) return;
    exchange(progress(), fresh);
    remember(fresh);
    document.dispatchEvent(new Event("headshots:changed"));
  }

  async function ask() {
    if (asking) {
      askAgain = true;
      return;
    }
    asking = true;
    clearTimeout(timer);
    try {
      const response = await fetch(shoot.dataset.progressUrl, { cache: "no-store" });
      if (response.status === 404 || response.redirected) {
        location.reload();
        return;
      }
      if (response.ok) take(await response.text());
    } catch {
      // Offline for a moment. The next poll tries again.
    } finally {
      asking = false;
    }
    if (askAgain) {
      askAgain = false;
      ask();
    } else {
      wait();
    }
  }

  // One stream per browser. Over HTTP/1.1 a browser opens six connections per host and each stream keeps one, so with
  // six tabs nothing else would load. The tab that gets the lock listens until it is hidden. Other tabs poll.
  function listen() {
    if (stopListening || document.hidden || Date.now() < listenAfter || !navigator.locks) return;
    navigator.locks.request("headshots-live", { ifAvailable: true }, (lock) => {
      if (!lock || document.hidden || !isLive()) return undefined;
      return new Promise((resolve) => {
        channel = new EventSource(shoot.dataset.eventsUrl);
        stopListening = () => {
          channel.close();
          channel = stopListening = null;
          resolve();
        };
        channel.addEventListener("changed", ask);
        channel.addEventListener("error", () => {
          if (channel?.readyState !== EventSource.CLOSED) return;
          listenAfter = Date.now() + LISTEN_AGAIN;
          stopListening();
        });
      });
    });
  }

  function wait() {
    clearTimeout(timer);
    if (document.hidden || !isLive()) stopListening?.();
    if (!isLive()) {
      // The page can still change: photos expire, and another tab or staff can delete them.
      timer = setTimeout(ask, ASK_WHEN_DONE);
      return;
    }
    listen();
    const open = channel?.readyState === EventSource.OPEN;
    timer = setTimeout(ask, document.hidden ? ASK_WHEN_HIDDEN : open ? ASK_WHEN_OPEN : ASK_WHEN_CUT);
  }

  // Show a message below a picture that does not load.
  function markBroken(picture) {
    picture.closest("li")?.querySelector(".unreadable")?.removeAttribute("hidden");
  }

  if (shoot && progress()) {
    remember(progress());
    shoot.addEventListener("error", (event) => markBroken(event.target), true);
    for (const picture of shoot.querySelectorAll("img")) {
      if (picture.complete && !picture.naturalWidth) markBroken(picture);
    }
    document.addEventListener("visibilitychange", () => (document.hidden ? wait() : ask()));
    document.addEventListener("headshots:ask", ask);
    addEventListener("pagehide", () => stopListening?.());
    addEventListener("pageshow", (event) => event.persisted && ask());
    wait();
  }
})();
