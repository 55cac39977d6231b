/** The prompt without its `--` parameters: what the picture is called. */
export function title(prompt: string): string {
  const words = prompt.split(/(?:^|\s)--[a-z]/i)[0]?.trim() ?? "";
  return words === "" ? prompt.trim() : words;
}

/** The same prompt, free to get another seed. */
export function withoutSeed(prompt: string): string {
  return prompt.replace(/(^|\s+)--seed(\s+|=)\S+/gi, "").trim();
}
