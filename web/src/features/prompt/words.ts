// "--", or what keyboards make of it: figure, en and em dash, horizontal bar, minus sign
const DASHES = "(?:--|[\\u2012-\\u2015\\u2212]{1,2})";
const FIRST_PARAMETER = new RegExp(`(?:^|\\s)(?:--[a-z]|${DASHES}(?:ar|no|seed|steps)\\b)`, "i");
const SEED = new RegExp(`(?:^|\\s+)${DASHES}seed\\s+\\S+`, "gi");

const STYLE = new RegExp(`(?:^|\\s)${DASHES}style\\s`, "i");

const SHAPE = new RegExp(`(?:^|\\s+)${DASHES}(?:ar|aspect)\\s+\\S+`, "gi");

/** The prompt on one line, without its `--` parameters: what the picture is called. */
export function title(prompt: string): string {
  const line = prompt.replace(/\s+/g, " ").trim();
  const words = line.split(FIRST_PARAMETER)[0]?.trim() ?? "";
  return words === "" ? line : words;
}

export function hasParameters(prompt: string): boolean {
  return FIRST_PARAMETER.test(prompt);
}

export function hasSeed(prompt: string): boolean {
  return prompt.search(SEED) !== -1;
}

export function hasStyle(prompt: string): boolean {
  return STYLE.test(prompt);
}

/** The prompt without its shape, which what is made of a picture takes from that. */
export function withoutShape(prompt: string): string {
  return prompt.replace(SHAPE, "").trim();
}

/** The same prompt, free to get another seed. */
export function withoutSeed(prompt: string): string {
  return prompt.replace(SEED, "").trim();
}
