// The result page: click a time, a word or a quote to hear it; the transcript follows the player.

const player = document.getElementById("player");

document.addEventListener("click", (event) => {
  const place = event.target.closest("[data-seek]");
  if (!place) return;
  player.currentTime = Number(place.dataset.seek);
  player.play().catch(() => {});
});

player.addEventListener("timeupdate", () => {
  for (const segment of document.querySelectorAll(".transcript li[data-start]")) {
    const inside = Number(segment.dataset.start) <= player.currentTime && player.currentTime < Number(segment.dataset.end);
    if (inside) segment.setAttribute("aria-current", "true");
    else segment.removeAttribute("aria-current");
  }
});

player.addEventListener("error", () => {
  document.getElementById("player-problem").hidden = false;
});

// The row is asked for again and again; only a changed status is worth saying.
let status = document.querySelector("[data-row]").dataset.status;
document.body.addEventListener("htmx:afterSettle", () => {
  const row = document.querySelector("[data-row]");
  if (row.dataset.status === status) return;
  status = row.dataset.status;
  document.getElementById("announcer").textContent = row.dataset.words;
});
