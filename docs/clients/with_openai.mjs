// node with_openai.mjs | imgassemble save - -o out
import OpenAI from "openai";

const stream = await new OpenAI().responses.create({
  model: "gpt-5",
  input: "An otter on a lake at dusk",
  tools: [{ type: "image_generation", partial_images: 2 }],
  stream: true,
});
for await (const event of stream) process.stdout.write(JSON.stringify(event) + "\n");
