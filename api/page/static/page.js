// Live figures, dropping a file, and a look at its first rows. Everything else works without this script.
"use strict";

// Live figures: the server sends a piece of HTML, which it has escaped, each time something has changed.
// A hidden page looks at nothing, so that forgotten tabs cost nothing.
const live = document.querySelector("[data-events]");
if (live) {
  let source = null;
  const over = document.querySelector("[data-over]");
  const note = document.querySelector("[data-live-note]");
  if (note) note.remove();
  const show = (event) => {
    const { html } = JSON.parse(event.data);
    // A table that somebody scrolls or selects in keeps its place until they leave it.
    if (html && !live.contains(document.activeElement)) live.innerHTML = html;
  };
  const close = () => {
    if (source) source.close();
    source = null;
  };
  const open = () => {
    if (source) return;
    source = new EventSource(live.dataset.events);
    source.addEventListener("figures", show);
    source.addEventListener("over", (event) => {
      show(event);
      close();
      document.removeEventListener("visibilitychange", follow);
      // Who is using the page is not interrupted: a link shows the rest.
      if (over && document.activeElement !== document.body) over.hidden = false;
      else if (over) location.reload();
    });
  };
  const follow = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", follow);
  follow();
}

const form = document.querySelector("[data-submit]");
if (form) {
  const file = form.querySelector("#file");
  const kind = form.querySelector("#kind");
  const drop = form.querySelector("[data-drop]");
  const beginning = 2 ** 18; // bytes: some rows of nearly any table

  // Only the options of the chosen kind are shown. Without this script all are, and the others are not read.
  const showOptions = () => {
    for (const each of form.querySelectorAll("[data-of-kind]")) each.hidden = each.dataset.ofKind !== kind.value;
  };

  // The same request as that of the button, with no more of the file than is needed. Only the last answer is shown.
  let n_asked = 0;
  const preview = async () => {
    const chosen = file.files[0];
    const shown = document.getElementById("preview");
    if (!chosen) return;
    const isWhole = chosen.size <= beginning || chosen.name.toLowerCase().endsWith(".parquet");
    if (isWhole && chosen.size > Number(form.dataset.previewBytes)) {
      shown.textContent = "This file is too large for a look at its first rows.";
      return;
    }
    const data = new FormData(form);
    data.set("file", isWhole ? chosen : chosen.slice(0, beginning), chosen.name);
    if (!isWhole) data.set("is_part", "yes");
    const number = ++n_asked;
    try {
      const answer = await fetch("/page/submit/preview", { method: "POST", body: data });
      const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("preview");
      if (number === n_asked && found) shown.replaceChildren(...found.childNodes);
    } catch {
      shown.textContent = "The first rows could not be read: the server did not answer.";
    }
  };

  form.addEventListener("change", (event) => {
    if (event.target === kind) showOptions();
    if (!event.target.closest("[data-job]")) preview(); // those fields change no row
  });
  form.addEventListener("submit", (event) => {
    if (event.submitter && event.submitter.formAction.endsWith("/preview")) {
      event.preventDefault();
      preview();
    }
  });

  form.querySelector("[data-drop-note]").hidden = false;
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files.length) {
        file.files = event.dataTransfer.files;
        preview();
      }
    });
  }
  showOptions();
}
