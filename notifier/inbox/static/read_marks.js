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

export const markRead = (id) => markAllRead([id]);

export function markAllRead(ids) {
  if (ids.every(isRead)) return;
  for (const id of ids) read.add(id);
  try {
    localStorage.setItem(KEY, JSON.stringify([...read].slice(-KEPT)));
  } catch {
    /* Private windows may refuse storage; the marks then last as long as the page. */
  }
}
