// The upload form: drag and drop, previews, checks that need no server, and uploading without leaving the page, so that
// the photos stay selected if the upload is refused, interrupted or stopped. The form also works without this script.
// The server repeats all checks.
"use strict";

(() => {
  const main = document.querySelector("main");
  const SMALL_PX = 400;
  const LEAVING_MS = 8000;
  // The photos outlive the form, because the server's response may replace the form.
  let chosen = [];
  let shown = [];
  // How the current form handles photos dropped on the page, and the customer's return to the page.
  let take = () => {};
  let comeBack = () => {};

  const inWords = (bytes) =>
    bytes < 1048576 ? `${Math.ceil(bytes / 1024)} kB` : `${Math.ceil((bytes * 10) / 1048576) / 10} MB`;

  const parse = (text) => new DOMParser().parseFromString(text, "text/html");

  // Isolate file names from the text around them, because a name may be written from right to left.
  const named = (file, words) => {
    const name = document.createElement("bdi");
    name.textContent = file.name;
    return ["“", name, "”", words];
  };

  const isReadable = async (file) => {
    try {
      await file.slice(0, 1).arrayBuffer();
      return true;
    } catch {
      return false;
    }
  };

  function enhance(form) {
    const input = form.querySelector('input[type="file"]');
    const zone = form.querySelector("[data-dropzone]");
    const previews = form.querySelector("[data-previews]");
    const errors = form.querySelector("[data-upload-errors]");
    const submit = form.querySelector('button[type="submit"]');
    const stop = form.querySelector("[data-stop]");
    const submitLabel = submit.textContent;
    const maxFiles = Number(form.dataset.maxFiles);
    const maxBytes = Number(form.dataset.maxBytes);
    let sending = null;
    let wasSent = false;

    // The server decides by the content whether a file is a photo. File extensions are unreliable.
    async function problem(file) {
      if (!(await isReadable(file))) return "can’t be read. If it’s a folder, please choose the photos in it.";
      if (file.size === 0) return "is empty.";
      if (file.size > maxBytes) return `is ${inWords(file.size)}. Photos can be up to ${inWords(maxBytes)}.`;
      return null;
    }

    // Different photos need a new submission id, because the server answers a repeated id with the first shoot.
    function beginAnother() {
      if (!wasSent) return;
      const random = crypto.getRandomValues(new Uint8Array(16));
      form.elements.submission.value = [...random].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      wasSent = false;
    }

    function showMessages(sentences) {
      errors.replaceChildren(
        ...sentences.map((sentence) => {
          const item = document.createElement("li");
          item.append(...[sentence].flat());
          return item;
        }),
      );
      errors.hidden = sentences.length === 0;
    }

    async function add(files) {
      const problems = await Promise.all(files.map(problem));
      const sentences = [];
      let beyond = 0;
      files.forEach((file, index) => {
        const known = chosen.some(
          (other) =>
            other.name === file.name && other.size === file.size && other.lastModified === file.lastModified,
        );
        if (problems[index]) sentences.push(named(file, ` ${problems[index]} This file wasn’t added.`));
        else if (known) return;
        else if (chosen.length >= maxFiles) beyond += 1;
        else {
          chosen.push(file);
          beginAnother();
        }
      });
      if (beyond) sentences.push(`You can upload up to ${maxFiles} photos. ${beyond} ${beyond > 1 ? "weren’t" : "wasn’t"} added.`);
      showMessages(sentences);
      show();
    }

    function show() {
      const transfer = new DataTransfer();
      for (const file of chosen) transfer.items.add(file);
      input.files = transfer.files;
      for (const address of shown) URL.revokeObjectURL(address);
      shown = [];
      previews.replaceChildren(...chosen.map(tile));
      previews.hidden = chosen.length === 0;
    }

    function tile(file) {
      const item = document.createElement("li");
      const words = document.createElement("span");
      words.textContent = inWords(file.size);
      item.append(picture(file, words), words, removal(file));
      return item;
    }

    function picture(file, words) {
      const image = document.createElement("img");
      const address = URL.createObjectURL(file);
      shown.push(address);
      image.className = "thumb";
      image.alt = file.name;
      image.onload = () => {
        const { naturalWidth: width, naturalHeight: height } = image;
        words.textContent = `${width} × ${height}`;
        if (Math.min(width, height) < SMALL_PX) words.textContent += " (small)";
      };
      image.onerror = () => {
        // Most browsers cannot display HEIC. The photo can be uploaded all the same.
        const stand = document.createElement("span");
        stand.className = "thumb";
        stand.dir = "auto";
        stand.textContent = file.name;
        image.replaceWith(stand);
      };
      image.src = address;
      return image;
    }

    function removal(file) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "×";
      button.setAttribute("aria-label", `Remove ${file.name}`);
      button.onclick = () => {
        chosen = chosen.filter((other) => other !== file);
        beginAnother();
        showMessages([]);
        show();
        input.focus();
      };
      return button;
    }

    function setBusy(busy) {
      if (!busy) sending = null;
      submit.disabled = busy;
      if (busy) submit.setAttribute("aria-busy", "true");
      else submit.removeAttribute("aria-busy");
      submit.textContent = busy ? submit.dataset.busyLabel : submitLabel;
      stop.hidden = !busy;
    }

    async function send() {
      const upload = new AbortController();
      sending = upload;
      wasSent = true;
      showMessages([]);
      setBusy(true);
      try {
        const body = new FormData(form);
        const answer = await fetch(form.action, { method: "POST", body, signal: upload.signal });
        if (answer.redirected) {
          // To the shoot or the sign-in page. The form stays busy until that page loads, or for LEAVING_MS.
          location.assign(answer.url);
          setTimeout(() => setBusy(false), LEAVING_MS);
          return;
        }
        const page = parse(await answer.text());
        if (answer.status === 403) await renew();
        else if (answer.headers.has("Retry-After") && !page.querySelector("form[data-upload]")) sayBusy();
        else if (page.querySelector("main")) replace(page);
        else throw new TypeError("not a page of ours");
      } catch {
        const stopped = upload.signal.aborted;
        setBusy(false);
        if (stopped) showMessages(["Upload stopped. Your photos are still selected."]);
        else await explain();
        errors.scrollIntoView({ block: "center" });
      }
    }

    // The form's token belongs to an earlier session, because the customer signed in again in another tab.
    async function renew() {
      const fresh = parse(await (await fetch(form.action)).text()).querySelector("form[data-upload]");
      if (!fresh) throw new TypeError("not signed in any more");
      const [token, newToken] = [form, fresh].map((each) => each.querySelector("[name=csrfmiddlewaretoken]"));
      token.value = newToken.value;
      setBusy(false);
      showMessages(["You’ve signed in again since you opened this page. Your photos are still selected. Please upload them again."]);
      errors.scrollIntoView({ block: "center" });
    }

    // The server was too busy for the upload, and its error page has no form for the photos.
    function sayBusy() {
      setBusy(false);
      showMessages(["We’re too busy right now. Your photos are still selected. Please try again in a minute."]);
      errors.scrollIntoView({ block: "center" });
    }

    async function explain() {
      const readable = await Promise.all(chosen.map(isReadable));
      const gone = chosen.filter((_, index) => !readable[index]);
      chosen = chosen.filter((_, index) => readable[index]);
      show();
      showMessages(
        gone.length
          ? gone.map((file) => named(file, " was changed, moved or deleted after you chose it. Please choose it again."))
          : ["The upload was interrupted. Your photos are still selected. Please try again."],
      );
    }

    zone.classList.add("enhanced");
    form.querySelector("[data-drop-hint]").hidden = matchMedia("(pointer: coarse)").matches;
    input.addEventListener("change", () => add([...input.files]));
    for (const name of ["dragenter", "dragover"]) zone.addEventListener(name, () => zone.classList.add("over"));
    for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("over"));
    take = add;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      // A second click must not upload twice.
      if (!sending) send();
    });
    stop.addEventListener("click", () => sending?.abort());
    comeBack = (event) => {
      if (event.persisted) setBusy(false);
      // Photos that the browser restored, or that were selected before this script was loaded.
      if (input.files.length && !chosen.length) add([...input.files]);
    };
    if (chosen.length) show();
    const again = form.querySelector("[data-choose-again]");
    if (again) again.hidden = chosen.length > 0;
  }

  function replace(page) {
    document.title = page.title;
    main.replaceChildren(...page.querySelector("main").childNodes);
    start();
    main.focus({ preventScroll: true });
    (main.querySelector(".errorlist:not([hidden]), .notice") ?? main).scrollIntoView({ block: "center" });
  }

  function start() {
    const form = main.querySelector("form[data-upload]");
    if (form) enhance(form);
  }

  start();
  // The browser would open a photo that is dropped outside of the field in place of this page.
  for (const name of ["dragover", "drop"]) {
    document.addEventListener(name, (event) => {
      if (event.target.type === "file" || !event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      if (name === "drop") take([...event.dataTransfer.files]);
    });
  }
  window.addEventListener("pageshow", (event) => comeBack(event));
})();
