// What makes the pages nicer. All of them work without it.
"use strict";

// Uploads show how far they are.
for (const form of document.querySelectorAll("form.upload")) {
  const bar = form.querySelector("progress");
  const word = form.querySelector("output");
  const file = form.querySelector("input[type=file]");
  file.addEventListener("change", () => {
    const chosen = file.files[0];
    if (!chosen || !chosen.type.startsWith("video/")) return;
    const film = document.createElement("video");
    film.preload = "metadata";
    film.addEventListener("loadedmetadata", () => {
      if (Number.isFinite(film.duration)) form.elements.seconds.value = Math.round(film.duration);
      URL.revokeObjectURL(film.src);
    });
    film.src = URL.createObjectURL(chosen);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const request = new XMLHttpRequest();
    const button = form.querySelector("button");
    button.disabled = true;
    bar.hidden = false;
    request.upload.addEventListener("progress", (step) => {
      bar.value = step.loaded / step.total;
      word.value = `${Math.round(bar.value * 100)} % of ${Math.round(step.total / 1048576)} MiB`;
    });
    request.addEventListener("load", () => {
      if (request.status < 400) return location.replace(request.responseURL);
      // The page that says what is wrong.
      document.open();
      document.write(request.responseText);
      document.close();
    });
    request.addEventListener("error", () => {
      word.value = "The connection broke. Nothing was recorded; try again.";
      button.disabled = false;
    });
    request.open("POST", form.action);
    request.send(new FormData(form));
  });
}

// A note is about the moment that one sees; a noted moment can be seen again.
const clock = (second) => `${Math.floor(second / 60)}:${String(Math.floor(second) % 60).padStart(2, "0")}`;
for (const card of document.querySelectorAll(".film")) {
  const film = card.querySelector("video");
  const field = card.querySelector("[data-now]");
  if (!film) continue;
  let own = false;
  field.addEventListener("input", () => { own = true; });
  film.addEventListener("timeupdate", () => { if (!own) field.value = clock(film.currentTime); });
  for (const time of card.querySelectorAll("[data-second]")) {
    time.addEventListener("click", (event) => {
      event.preventDefault();
      film.currentTime = Number(time.dataset.second);
      film.focus();
    });
  }
}
