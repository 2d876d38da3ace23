// How a changed status is announced: by the live region, by a toast, and in the title while the page is hidden.

const TOASTS = 3;
const title = document.title;
let unseen = 0;

/** Announce the new status of these rows. */
export function announce(rows) {
  if (!rows.length) return;
  document.getElementById("announcer").textContent = rows.map((row) => row.dataset.words).join(". ");
  for (const row of rows.filter((each) => each.dataset.toast)) {
    toast(row);
    if (document.hidden) unseen += 1;
  }
  showUnseen();
}

/** Outside of a live region: nothing is read out twice, and the focus stays where it is. */
function toast(row) {
  const toasts = document.getElementById("toasts");
  const made = document.getElementById("toast").content.firstElementChild.cloneNode(true);
  const open = row.querySelector("a.name");
  made.classList.toggle("error", row.dataset.status === "failed");
  made.querySelector("[data-words]").textContent = row.dataset.toast;
  made.querySelector("a").href = open.href;
  made.querySelector("button").addEventListener("click", () => dismiss(made, open.id));
  toasts.append(made);
  // The oldest is removed, unless it has the focus.
  const spare = [...toasts.children].filter((each) => !each.contains(document.activeElement));
  for (const old of spare.slice(0, Math.max(0, toasts.childElementCount - TOASTS))) old.remove();
}

function dismiss(made, nextFocus) {
  const next = made.nextElementSibling || made.previousElementSibling;
  made.remove();
  (next?.querySelector("button") || document.getElementById(nextFocus))?.focus();
}

function showUnseen() {
  document.title = unseen ? `(${unseen}) ${title}` : title;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  unseen = 0;
  showUnseen();
});
