// The list of videos: each row is updated part by part; parts that the user is using are updated later.

const list = document.getElementById("submissions");
const none = document.getElementById("none-yet");
const held = new Map(); // rows with a part that could not be replaced yet, by their ids
const announced = new Map(); // the words of each row that were announced last, by the rows' ids
for (const row of list?.children ?? []) noteStatus(row);

/**
 * Update the list with rows, the newest first. Rows that are older than what is shown are dropped.
 * `whole`: these are all rows there are. Returns the rows whose status changed, in the order given.
 */
export function apply(fresh, { whole = false } = {}) {
  if (whole) removeOthers(new Set(fresh.map((row) => row.id)));
  // A new one goes on top, so the oldest is applied first.
  const changed = [...fresh].reverse().filter(applyRow);
  none.hidden = list.childElementCount > 0;
  return changed.reverse();
}

/** Update the parts that were in use, if they are no longer. */
export function settle() {
  // A copy: what is still in use is inserted again, at the end, and would be iterated for ever.
  for (const row of [...held.values()]) applyRow(row);
}

function applyRow(fresh) {
  const shown = document.getElementById(fresh.id);
  if (!shown) {
    list.prepend(fresh);
    htmx.process(fresh);
    return noteStatus(fresh);
  }
  if (isOlder(fresh.dataset, shown.dataset)) {
    held.delete(fresh.id);
    return false;
  }
  for (const name in shown.dataset) if (!(name in fresh.dataset)) delete shown.dataset[name];
  Object.assign(shown.dataset, fresh.dataset);
  replaceParts(shown, fresh);
  return noteStatus(shown);
}

/** By the task's count of changes; among equal ones by the newest decision of a person. */
function isOlder(one, other) {
  return one.sequence === other.sequence
    ? Number(one.decided) < Number(other.decided)
    : Number(one.sequence) < Number(other.sequence);
}

/** Remember the row's status in words; returns whether it is new. */
export function noteStatus(row) {
  const known = announced.get(row.id);
  announced.set(row.id, row.dataset.words);
  return known !== row.dataset.words;
}

function replaceParts(shown, fresh) {
  held.delete(fresh.id);
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const old = shown.querySelector(`[data-part="${part.dataset.part}"]`);
    if (old.outerHTML === part.outerHTML) continue;
    if (isInUse(old)) {
      held.set(fresh.id, fresh);
      continue;
    }
    old.replaceWith(part);
    htmx.process(shown.querySelector(`[data-part="${part.dataset.part}"]`));
  }
}

/** Whether the part has the focus, an open dialog or a pending request. */
function isInUse(part) {
  return (
    part.contains(document.activeElement) ||
    part.querySelector("dialog[open], .htmx-request") !== null ||
    part.classList.contains("htmx-request")
  );
}

function removeOthers(kept) {
  for (const row of [...list.children]) if (!kept.has(row.id)) remove(row.id);
}

/** Remove a row; the focus, if it was in it, goes to the next one. */
export function remove(id) {
  const row = document.getElementById(id);
  held.delete(id);
  announced.delete(id);
  if (!row) return;
  const next = row.nextElementSibling ?? row.previousElementSibling;
  const hadFocus = row.contains(document.activeElement);
  row.remove();
  none.hidden = next !== null;
  if (hadFocus) (next?.querySelector("a, button") ?? document.getElementById("main")).focus();
}

export function rowOf(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html;
  return holder.content.firstElementChild;
}
