// One stream with a TypeScript client: node stream.mjs ROUTE; each event as a line of JSON on standard output.
const prompt = "an otter on a lake";
async function openai() {
  const { OpenAI } = await import("openai");
  return new OpenAI({ baseURL: process.env.OPENAI_BASE_URL, apiKey: "-", maxRetries: 0 });
}
async function router() {
  const { OpenRouter } = await import("@openrouter/sdk");
  const retryConfig = { strategy: "none" };
  return new OpenRouter({ serverURL: process.env.OPENROUTER_BASE_URL, apiKey: "-", retryConfig });
}
const messages = [{ role: "user", content: prompt }];
const model = "gpt-5";
const image = { model: "gpt-image-1", prompt, stream: true };
const tools = [{ type: "image_generation", partial_images: 2 }];

async function uiStream() {
  const { streamText } = await import("ai");
  const { createOpenAI } = await import("@ai-sdk/openai");
  const provider = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL, apiKey: "-" });
  const image_generation = provider.tools.imageGeneration({ partialImages: 2 });
  const run = streamText({ model: provider("gpt-5"), prompt, maxRetries: 0, tools: { image_generation }, onError: () => {} });
  return run.toUIMessageStream();
}

const routes = {
  "ai streamText().toUIMessageStream": uiStream,
  "openai responses.create": async () => (await openai()).responses.create({ model, input: prompt, stream: true, tools }),
  "openai responses.stream": async () => (await openai()).responses.stream({ model, input: prompt, tools }),
  "openai images.generate": async () => (await openai()).images.generate({ ...image, partial_images: 2 }),
  "openai chat.completions.create": async () => (await openai()).chat.completions.create({ model, messages, stream: true }),
  "openrouter responses.send": async () =>
    (await router()).responses.send({
      responsesRequest: { model, input: prompt, stream: true, tools: [{ type: "openrouter:image_generation" }] },
    }),
  "openrouter images.generate": async () => (await router()).images.generate({ imageGenerationRequest: image }),
  "openrouter chat.send": async () => (await router()).chat.send({ chatRequest: { model, messages, stream: true } }),
};

try {
  for await (const event of await routes[process.argv[2]]()) process.stdout.write(JSON.stringify(event) + "\n");
} catch (error) {
  process.stderr.write(error.constructor.name + "\n");
  process.exitCode = 1;
}
