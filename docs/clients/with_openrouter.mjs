// node with_openrouter.mjs | imgassemble save - -o out
import { OpenRouter } from "@openrouter/sdk";

const client = new OpenRouter({
  apiKey: process.env.OPENROUTER_API_KEY,
  serverURL: process.env.OPENROUTER_BASE_URL,
});
const stream = await client.responses.send({
  responsesRequest: {
    model: "openai/gpt-5",
    input: "An otter on a lake at dusk",
    tools: [{ type: "openrouter:image_generation" }],
    stream: true,
  },
});
for await (const event of stream) process.stdout.write(JSON.stringify(event) + "\n");
