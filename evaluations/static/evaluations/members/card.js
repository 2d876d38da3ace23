// A scanned card brings its code behind the `#`, which is sent to no server: it goes from there into the field, and out of
// the address, the history and whatever is copied from them.
const field = document.querySelector("#card [name=code]");

function take() {
  const code = decodeURIComponent(location.hash.slice(1));
  if (!code) return;
  field.value = code;
  history.replaceState(null, "", location.pathname + location.search);
  document.querySelector("#card [type=submit]").focus();
}

take();
// The next card in the same window loads no page.
addEventListener("hashchange", take);
