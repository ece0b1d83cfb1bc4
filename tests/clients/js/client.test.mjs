// OpenAI's npm client against the running service: OPENAI_BASE_URL, OPENAI_API_KEY; READER_API_KEY may only read,
// FULL_API_KEY may have nothing more waiting in FULL_POOL.
import assert from "node:assert/strict";
import test from "node:test";

import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const VERSE = "The sea is wide, and keeps its counsel still.";
const say = (content) => ({ model: "bard", messages: [{ role: "user", content }] });

test("a whole chat completion", async () => {
  const answer = await client.chat.completions.create(say("Speak of the sea."));
  assert.equal(answer.choices[0].message.content, VERSE);
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
});

test("a streamed chat completion, in pieces and with its usage", async () => {
  const asked = { ...say("Speak of the sea."), stream: true, stream_options: { include_usage: true } };
  const chunks = [];
  for await (const chunk of await client.chat.completions.create(asked)) chunks.push(chunk);
  const pieces = chunks.map((chunk) => chunk.choices[0]?.delta.content).filter(Boolean);
  assert.equal(pieces.join(""), VERSE);
  assert.ok(pieces.length > 1);
  assert.equal(chunks.at(-2).choices[0].finish_reason, "stop");
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(chunks.at(-1).usage.completion_tokens > 0);
});

test("the client's own helper puts a stream together", async () => {
  const runner = client.chat.completions.stream(say("Speak of the sea."));
  assert.equal(await runner.finalContent(), VERSE);
});

test("tool calls, streamed", async () => {
  const tools = [{ type: "function", function: { name: "temperature", parameters: { type: "object", properties: {} } } }];
  const runner = client.chat.completions.stream({ ...say("How warm is it in Oslo?"), tools });
  const { message, finish_reason } = (await runner.finalChatCompletion()).choices[0];
  assert.equal(finish_reason, "tool_calls");
  assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), { city: "Oslo" });
});

test("a stream of a response, and the response again by its id", async () => {
  const types = [];
  let text = "", response;
  for await (const event of await client.responses.create({ model: "bard", input: "Speak of the sea.", stream: true })) {
    types.push(event.type);
    if (event.type === "response.output_text.delta") text += event.delta;
    if (event.type === "response.completed") response = event.response;
  }
  assert.equal(text, VERSE);
  assert.deepEqual([types[0], types.at(-1)], ["response.created", "response.completed"]);
  assert.equal((await client.responses.retrieve(response.id)).output_text, VERSE);
});

test("models and embeddings", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.deepEqual(names, ["bard", process.env.FULL_POOL, "minilm", "verse"]);
  const { data } = await client.embeddings.create({ model: "minilm", input: ["A red stone.", "Deep water."] });
  assert.equal(data.length, 2);
  assert.equal(data[0].embedding.length, 64);
});

const refusals = [
  ["AuthenticationError", { apiKey: "ops_x" }, {}, 401],
  ["NotFoundError", {}, { model: "nobody" }, 404],
  ["BadRequestError", {}, { temperature: 9 }, 400],
  ["PermissionDeniedError", { apiKey: process.env.READER_API_KEY }, {}, 403],
  ["RateLimitError", { apiKey: process.env.FULL_API_KEY }, { model: process.env.FULL_POOL }, 429],
];
for (const [name, options, more, status] of refusals) {
  for (const stream of [false, true]) {
    test(`${name}${stream ? " of a stream" : ""}`, async () => {
      const asking = client.withOptions(options).chat.completions.create({ ...say("Hello"), ...more, stream });
      await assert.rejects(asking, (error) => {
        assert.ok(error instanceof OpenAI[name], `${error.constructor.name}: ${error.message}`);
        assert.equal(error.status, status);
        assert.ok(error.code);
        return true;
      });
    });
  }
}

test("a stream that is left in the middle ends there, and its task goes on", async () => {
  const stream = await client.chat.completions.create({ ...say("Speak at length."), stream: true });
  let heard = 0;
  for await (const chunk of stream) {
    if (chunk.choices[0].delta.content && ++heard === 2) stream.controller.abort();
  }
  assert.ok(heard < 100);
  const aborting = new AbortController();
  const asking = client.chat.completions.create(say("Speak at length."), { signal: aborting.signal });
  setTimeout(() => aborting.abort(), 50);
  await assert.rejects(asking, OpenAI.APIUserAbortError);
  assert.equal((await client.chat.completions.create(say("Speak of the sea."))).choices[0].message.content, VERSE);
});
