// The upload form before anything is sent: drag and drop, small previews, and the checks that need no server.
// Without this script the form works as it is; the server checks everything again.
"use strict";

(() => {
  const form = document.querySelector("form[data-upload]");
  if (!form) return;
  const input = form.querySelector('input[type="file"]');
  const zone = form.querySelector("[data-dropzone]");
  const previews = form.querySelector("[data-previews]");
  const errors = form.querySelector("[data-upload-errors]");
  const submit = form.querySelector('button[type="submit"]');
  const submitLabel = submit.textContent;
  const maxFiles = Number(form.dataset.maxFiles);
  const maxBytes = Number(form.dataset.maxBytes);
  const GOOD_NAME = /\.(jpe?g|png|webp|heic|heif)$/i;
  const SMALL_PX = 400;

  let chosen = [];
  let shown = [];

  const megabytes = (bytes) => `${(bytes / 1048576).toFixed(1)} MB`;

  function problem(file) {
    if (file.size === 0) return `“${file.name}” is empty.`;
    if (file.size > maxBytes) return `“${file.name}” has ${megabytes(file.size)}: a photo may have up to ${megabytes(maxBytes)}.`;
    if (!GOOD_NAME.test(file.name) && !file.type.startsWith("image/")) {
      return `“${file.name}” is not a photo: please choose a JPEG, PNG, WebP or HEIC.`;
    }
    return null;
  }

  function tell(sentences) {
    errors.replaceChildren(
      ...sentences.map((sentence) => {
        const item = document.createElement("li");
        item.textContent = sentence;
        return item;
      }),
    );
    errors.hidden = sentences.length === 0;
  }

  function add(files) {
    const sentences = [];
    for (const file of files) {
      const sentence = problem(file);
      const known = chosen.some((other) => other.name === file.name && other.size === file.size);
      if (sentence) sentences.push(`${sentence} It was left out.`);
      else if (chosen.length >= maxFiles && !known) sentences.push(`“${file.name}” was left out: up to ${maxFiles} photos.`);
      else if (!known) chosen.push(file);
    }
    tell(sentences);
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
    words.textContent = megabytes(file.size);
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
      if (Math.min(width, height) < SMALL_PX) words.textContent += ", rather small";
    };
    image.onerror = () => {
      // HEIC in most browsers: fine to send, not to be shown here.
      const stand = document.createElement("span");
      stand.className = "thumb";
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
      tell([]);
      show();
      input.focus();
    };
    return button;
  }

  zone.classList.add("enhanced");
  form.querySelector("[data-drop-hint]").hidden = matchMedia("(pointer: coarse)").matches;
  input.addEventListener("change", () => add([...input.files]));
  for (const name of ["dragenter", "dragover"]) zone.addEventListener(name, () => zone.classList.add("over"));
  for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("over"));
  form.addEventListener("submit", () => {
    submit.setAttribute("aria-busy", "true");
    submit.textContent = submit.dataset.busyLabel;
    // After the browser has taken the form: a second click must not send it twice.
    setTimeout(() => (submit.disabled = true), 0);
  });
  // Back from the next page: the button works again.
  window.addEventListener("pageshow", () => {
    submit.disabled = false;
    submit.removeAttribute("aria-busy");
    submit.textContent = submitLabel;
  });
})();
