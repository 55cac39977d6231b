const KEY = "mezzotint.draft";

/** Keep a prompt for after the next sign-in in this tab. */
export function keepDraft(prompt: string): void {
  sessionStorage.setItem(KEY, prompt);
}

/** The prompt that was kept, once. */
export function takeDraft(): string {
  const draft = sessionStorage.getItem(KEY) ?? "";
  sessionStorage.removeItem(KEY);
  return draft;
}
