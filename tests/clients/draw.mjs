// Draws with OpenAI's clients as their own documentation says, and prints what came as JSON.
// Environment: MEZZOTINT_URL (with /v1), MEZZOTINT_KEY.
import { createHash } from "node:crypto";
import { createOpenAI } from "@ai-sdk/openai";
import { generateImage } from "ai";
import OpenAI from "openai";

const baseURL = process.env.MEZZOTINT_URL;
const apiKey = process.env.MEZZOTINT_KEY;
const model = "mezzotint-starter";
const prompt = "a red apple --steps 2";
const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");
const told = {};

const vercel = createOpenAI({ baseURL, apiKey });
const drawn = await generateImage({ model: vercel.image(model), prompt, n: 4, size: "64x64", maxImagesPerCall: 1 });
told["ai, n: 4"] = drawn.images.map((image) => digest(image.uint8Array));

const client = new OpenAI({ baseURL, apiKey });
const together = await client.images.generate({ model, prompt, n: 4 });
told["openai, n: 4"] = together.data.map((image) => digest(Buffer.from(image.b64_json, "base64")));

const parallel = await Promise.all([0, 1, 2, 3].map(() => client.images.generate({ model, prompt })));
told["openai, four calls"] = parallel.map((answer) => digest(Buffer.from(answer.data[0].b64_json, "base64")));
told.requestIds = parallel.map((answer) => answer._request_id);

const stream = await client.images.generate({ model, prompt, stream: true });
for await (const event of stream) told.lastEvent = event.type;

try {
  await client.images.generate({ model, prompt, size: "65x64" });
} catch (error) {
  told.refusal = { kind: error.constructor.name, status: error.status, param: error.param, message: error.message };
}
console.log(JSON.stringify(told));
