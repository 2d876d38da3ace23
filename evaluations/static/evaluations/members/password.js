// A box beside a form's passwords shows what was typed. Without scripts there is none.

for (const box of document.querySelectorAll("[data-shows]")) {
  const fields = box.form.querySelectorAll("[type=password]");
  const show = (isShown) => fields.forEach((field) => (field.type = isShown ? "text" : "password"));
  box.addEventListener("change", () => show(box.checked));
  box.form.addEventListener("submit", () => show(false)); // browsers remember what is sent as text
  box.closest("label").hidden = false;
}
