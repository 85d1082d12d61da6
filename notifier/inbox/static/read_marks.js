/* Which messages were opened in this browser; kept across reloads. */

const KEY = "inbox.read";
const KEPT = 2000;

function load() {
  try {
    return new Set(JSON.parse(localStorage.getItem(KEY)) ?? []);
  } catch {
    return new Set();
  }
}

const read = load();

export const isRead = (id) => read.has(id);

export function markRead(id) {
  if (read.has(id)) return;
  read.add(id);
  try {
    localStorage.setItem(KEY, JSON.stringify([...read].slice(-KEPT)));
  } catch {
    /* Private windows may refuse storage; the marks then last as long as the page. */
  }
}
