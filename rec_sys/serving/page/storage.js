/** The browser's store of this tab: it survives a reload and ends with the tab. */

/** What is kept under `name`, or null; also where the browser keeps nothing for this page. */
export function kept(name) {
  try {
    return sessionStorage.getItem(name);
  } catch (error) {
    if (error instanceof DOMException) return null;
    throw error;
  }
}

/** Keeps a text. A full or forbidden store costs the person the reload, not what is on the page. */
export function keep(name, text) {
  try {
    sessionStorage.setItem(name, text);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
  }
}
