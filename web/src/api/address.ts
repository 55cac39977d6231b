/** The path under which the page lies, without a slash at its end; a test without a document has none. */
const base = typeof document === "undefined" ? "" : new URL(".", document.baseURI).pathname.replace(/\/$/, "");

/** The address of a path of the server (`/v1/jobs`), wherever the page lies: a proxy may serve it all under a prefix. */
export function here(path: string): string {
  return base + path;
}
