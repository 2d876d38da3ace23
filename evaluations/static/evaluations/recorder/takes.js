// Recordings (takes) kept in this browser until the server has confirmed all of their bytes.
//
// They are stored in IndexedDB: it survives a reload and a crash of the tab, takes hundreds of megabytes without blocking the
// page, and a piece and its metadata are written together or not at all. Memory is lost with the tab, and localStorage
// holds a few megabytes of text. A piece that the browser has no room for stays in memory.

const DAY_MS = 24 * 3600 * 1000;
export const KEEP_DAYS = 7;

let opened = null;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("introeval-recordings", 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("takes", { keyPath: "id" });
      request.result.createObjectStore("pieces"); // [id of the take, where it starts] → its bytes
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

/** Run `work(takes, pieces)` in one transaction; resolves with the result of the request that it returns. */
async function within(mode, work) {
  const transaction = (await database()).transaction(["takes", "pieces"], mode);
  return new Promise((resolve, reject) => {
    const request = work(transaction.objectStore("takes"), transaction.objectStore("pieces"));
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}

function piecesOf(id) {
  return IDBKeyRange.bound([id, 0], [id, Infinity]);
}

/** One recording: its facts, and its bytes from 0 to `size`. */
export class Take {
  constructor(facts) {
    // id, user, classroom, name, type, startedAt; seconds and size grow; url and submitted are the upload's.
    this.facts = { seconds: 0, size: 0, url: null, submitted: false, ...facts };
    this.unkept = new Map(); // offset → a piece that could not be stored
    this.isForgotten = false;
  }

  get isKept() {
    return this.unkept.size === 0;
  }

  async add(bytes, seconds) {
    const start = this.facts.size;
    Object.assign(this.facts, { size: start + bytes.byteLength, seconds });
    try {
      await within("readwrite", (takes, pieces) => {
        pieces.put(bytes, [this.facts.id, start]);
        return takes.put(this.facts);
      });
    } catch {
      this.unkept.set(start, bytes);
    }
  }

  async note(changes) {
    Object.assign(this.facts, changes);
    if (this.isForgotten) return; // a late answer must not store it again
    await within("readwrite", (takes) => takes.put(this.facts)).catch(() => {});
  }

  /** At most `maxBytes` bytes from `offset` on. */
  async read(offset, maxBytes) {
    const starts = await this.starts();
    const first = starts.findLastIndex((start) => start <= offset);
    const parts = [];
    let end = starts[first];
    for (const start of starts.slice(first)) {
      if (start !== end || end - offset >= maxBytes) break;
      const bytes = await this.piece(start);
      parts.push(bytes);
      end += bytes.byteLength;
    }
    const from = offset - starts[first];
    return new Blob(parts).slice(from, from + maxBytes);
  }

  async whole() {
    const parts = await Promise.all((await this.starts()).map((start) => this.piece(start)));
    return new Blob(parts, { type: this.facts.type });
  }

  async starts() {
    const keys = await within("readonly", (_, pieces) => pieces.getAllKeys(piecesOf(this.facts.id))).catch(() => []);
    return [...keys.map(([, start]) => start), ...this.unkept.keys()].sort((a, b) => a - b);
  }

  async piece(start) {
    return this.unkept.get(start) ?? within("readonly", (_, pieces) => pieces.get([this.facts.id, start]));
  }

  async forget() {
    this.isForgotten = true;
    this.unkept.clear();
    await forget(this.facts.id).catch(() => {});
  }
}

function forget(id) {
  return within("readwrite", (takes, pieces) => {
    pieces.delete(piecesOf(id));
    return takes.delete(id);
  });
}

/** The recordings of earlier visits of this student, oldest first. Those of all users are deleted after KEEP_DAYS. */
export async function leftovers(user) {
  const all = await within("readonly", (takes) => takes.getAll()).catch(() => []);
  const oldest = Date.now() - KEEP_DAYS * DAY_MS;
  for (const facts of all) if (facts.startedAt < oldest) await forget(facts.id);
  const mine = all.filter((facts) => facts.user === user && facts.startedAt >= oldest && facts.size > 0);
  return mine.sort((a, b) => a.startedAt - b.startedAt).map((facts) => new Take(facts));
}

export function keptUntil(take) {
  return take.facts.startedAt + KEEP_DAYS * DAY_MS;
}

// ---- one window at a time

/** Lock a take for this window, until the window is closed. False when another one has it. */
export function claim(take) {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve) => {
    navigator.locks.request(`recording-${take.facts.id}`, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock && new Promise(() => {});
    });
  });
}
