// "--", or what keyboards make of it: figure, en and em dash, horizontal bar, minus sign
const DASHES = "(?:--|[\\u2012-\\u2015\\u2212]{1,2})";
const FIRST_PARAMETER = new RegExp(`(?:^|\\s)(?:--[a-z]|${DASHES}(?:ar|no|seed|steps)\\b)`, "i");
const SEED = new RegExp(`(?:^|\\s+)${DASHES}seed\\s+\\S+`, "gi");

/** The prompt on one line, without its `--` parameters: what the picture is called. */
export function title(prompt: string): string {
  const line = prompt.replace(/\s+/g, " ").trim();
  const words = line.split(FIRST_PARAMETER)[0]?.trim() ?? "";
  return words === "" ? line : words;
}

/** The same prompt, free to get another seed. */
export function withoutSeed(prompt: string): string {
  return prompt.replace(SEED, "").trim();
}
