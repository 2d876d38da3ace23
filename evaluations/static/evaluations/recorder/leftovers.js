// Recordings of earlier visits in this browser: send them, save them, or delete them.
import { Sending } from "./sending.js";
import { stayWhile } from "../session.js";
import { claim, keptUntil, leftovers } from "./takes.js";
import { clock, dayOf, timeOf, word } from "../words.js";

export async function offerLeftovers(user, server) {
  if (!window.indexedDB) return;
  for (const take of await leftovers(user)) new Row(take, server).offer();
}

class Row {
  constructor(take, server) {
    this.take = take;
    this.server = server;
    this.row = document.getElementById("kept-row").content.firstElementChild.cloneNode(true);
    this.facts = {
      time: timeOf(take.facts.startedAt),
      length: clock(take.facts.seconds),
      until: dayOf(keptUntil(take)),
    };
  }

  async offer() {
    document.getElementById("kept").append(this.row);
    if (!(await claim(this.take))) {
      this.settle("kept_busy");
      return;
    }
    this.setText(word("kept", this.facts));
    const actions = { "[data-go-on]": this.goOn, "[data-download]": this.download, "[data-discard]": this.discard };
    for (const [selector, action] of Object.entries(actions)) {
      const button = this.row.querySelector(selector);
      button.setAttribute("aria-label", `${button.textContent}: ${this.take.facts.name}`);
      button.addEventListener("click", () => action.call(this));
    }
    if (this.take.facts.submitted) this.goOn(); // sending was interrupted
  }

  setText(text) {
    this.row.querySelector(".row-line").textContent = text;
  }

  /** Show the text of that name; nothing more can be done with it here. */
  settle(name) {
    this.setText(word(name, this.facts));
    this.row.querySelector(".row-actions").remove();
  }

  async goOn() {
    this.row.querySelector("[data-go-on]").disabled = true;
    await this.take.note({ submitted: true });
    this.sending = new Sending(this.take, this.server, () => this.showProgress());
    addEventListener("beforeunload", (event) => this.sending.isOver || event.preventDefault());
    stayWhile(() => !this.sending.isOver);
    await this.sending.run();
    if (!this.sending.submission) this.row.querySelector("[data-go-on]")?.removeAttribute("disabled");
  }

  showProgress() {
    const { submission, trouble, reason, minutes, secondsLeft, safeBytes } = this.sending;
    if (submission) this.handedIn(submission);
    else if (secondsLeft !== null) {
      this.setText(`${word(trouble, { reason, minutes })} ${word("next_try", { time: clock(secondsLeft) })}`);
    } else if (trouble) this.setText(word(trouble === "offline" ? "offline_later" : trouble, { reason }));
    else this.setText(word("kept_sending", { ...this.facts, percent: this.percent(safeBytes) }));
  }

  percent(safeBytes) {
    return Math.floor((100 * safeBytes) / this.take.facts.size);
  }

  async handedIn(address) {
    await this.take.forget();
    const link = Object.assign(document.createElement("a"), { href: address, textContent: word("kept_done", this.facts) });
    this.row.querySelector(".row-line").replaceChildren(link);
    this.row.querySelector(".row-actions").remove();
    document.getElementById("announcer").textContent = link.textContent;
  }

  async download() {
    const address = URL.createObjectURL(await this.take.whole());
    Object.assign(document.createElement("a"), { href: address, download: this.take.facts.name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
  }

  async discard() {
    if (!confirm(word("sure_discard"))) return;
    (this.sending ?? new Sending(this.take, this.server, () => {})).discard(); // not awaited: the server may be down
    await this.take.forget();
    this.row.remove();
  }
}
