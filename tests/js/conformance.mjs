// Calls every endpoint of the batch API with OpenAI's unmodified JavaScript SDK. Arguments: base URL and key.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import OpenAI, {
  APIError,
  AuthenticationError,
  BadRequestError,
  ConflictError,
  InvalidWebhookSignatureError,
  NotFoundError,
  toFile,
} from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const ENDPOINT = "/v1/chat/completions";
const line = (id, content, model = "echo") =>
  JSON.stringify({ custom_id: id, method: "POST", url: ENDPOINT, body: { model, messages: [{ role: "user", content }] } });
const upload = async (...lines) =>
  client.files.create({ file: await toFile(Buffer.from(lines.join("\n")), "requests.jsonl"), purpose: "batch" });
const create = (file, more = {}) =>
  client.batches.create({ input_file_id: file.id, endpoint: ENDPOINT, completion_window: "24h", ...more });

async function until(batch, isSo) {
  for (let tries = 0; tries < 600; tries++) {
    batch = await client.batches.retrieve(batch.id);
    if (isSo(batch.status)) return batch;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the batch is still ${batch.status}`);
}
const isEnded = (status) => ["completed", "failed", "expired", "cancelled"].includes(status);

async function rejects(promise, type) {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof type && error instanceof APIError, `${error}`);
    assert.ok(error.requestID && error.type, "typed, with a request id");
    return true;
  });
}

// From upload to download.
const file = await upload(line("a", "abc"), line("b", "def", "other"));
assert.equal((await client.files.waitForProcessing(file.id, { pollInterval: 10 })).status, "processed");
assert.equal((await client.files.retrieve(file.id)).bytes, file.bytes);
let batch = await create(file, { metadata: { run: "7" }, priority: "interactive" });
assert.equal(batch.status, "validating");
batch = await until(batch, isEnded);
assert.equal(batch.status, "completed");
assert.deepEqual(batch.request_counts, { total: 2, completed: 2, failed: 0 });
assert.deepEqual(batch.metadata, { run: "7" });
assert.equal(batch.error_file_id, null);
const rows = (await (await client.files.content(batch.output_file_id)).text()).trim().split("\n").map(JSON.parse);
const answers = Object.fromEntries(rows.map((row) => [row.custom_id, row.response.body.choices[0].message.content]));
assert.deepEqual(answers, { a: "cba", b: "fed" });

// A file with bad lines, and requests that must be refused.
const failed = await until(await create(await upload("{", line("a", "x"), line("a", "y"))), isEnded);
assert.deepEqual(failed.errors.data.map((error) => [error.line, error.code]), [
  [1, "invalid_json_line"],
  [3, "duplicate_custom_id"],
]);
await rejects(create({ id: "file-nothing" }), BadRequestError);
await rejects(client.batches.retrieve("batch_nothing"), NotFoundError);
await rejects(client.batches.cancel(batch.id), ConflictError);
await rejects(new OpenAI({ baseURL, apiKey: "lw-nobody", maxRetries: 0 }).batches.retrieve(batch.id), AuthenticationError);

// Paging over more than two pages, with the SDK's own cursor.
const made = [];
for (let number = 0; number < 5; number++) made.unshift((await create(file)).id);
const listed = [];
for await (const each of client.batches.list({ limit: 2 })) listed.push(each.id);
assert.deepEqual(listed, [...made, failed.id, batch.id]);
const files = [];
for await (const each of client.files.list({ limit: 2, purpose: "batch" })) files.push(each.id);
assert.equal(files.length, 2);

// Lost answers: the SDK sends the request again, and only one batch more exists.
let losses = 2;
const losing = new OpenAI({
  baseURL,
  apiKey,
  fetch: async (url, init) => {
    const answer = await fetch(url, init);
    if (init.method === "POST" && `${url}`.endsWith("/batches") && losses-- > 0) throw new TypeError("the answer was lost");
    return answer;
  },
});
const other = await upload(line("z", "zzz"));
await losing.batches.create({ input_file_id: other.id, endpoint: ENDPOINT, completion_window: "24h" });
let count = 0;
for await (const _ of client.batches.list({ limit: 100 })) count++;
assert.equal(count, listed.length + 1);

// A batch is cancelled while it runs: each of its requests occurs once in one of its files.
const requests = Array.from({ length: 3000 }, (_, number) => line(`n${number}`, "x".repeat(1 + (number % 50))));
const many = await client.files.create({
  file: await toFile(Buffer.from(requests.join("\n")), "many.jsonl"),
  purpose: "batch",
  expires_after: { anchor: "created_at", seconds: 3600 },
});
assert.equal(many.expires_at, many.created_at + 3600);
let cancelled = await until(await create(many), (status) => status !== "validating");
cancelled = await until(await client.batches.cancel(cancelled.id), isEnded);
assert.equal(cancelled.status, "cancelled");
const left = [];
for (const id of [cancelled.output_file_id, cancelled.error_file_id])
  if (id !== null) left.push(...(await (await client.files.content(id)).text()).trim().split("\n").map(JSON.parse));
assert.deepEqual(left.map((row) => row.custom_id).sort(), requests.map((_, number) => `n${number}`).sort());
assert.equal(cancelled.request_counts.total, requests.length);

// The SDK verifies and types the event of a batch's end.
const receiver = createServer().listen(0, "127.0.0.1");
await once(receiver, "listening");
const secret = `whsec_${randomBytes(32).toString("base64")}`;
const webhook = { url: `http://127.0.0.1:${receiver.address().port}/hook`, secret };
const [announced, [request, response]] = await Promise.all([create(other, { webhook }), once(receiver, "request")]);
const body = await text(request);
response.end();
receiver.close();
const event = await client.webhooks.unwrap(body, request.headers, secret);
assert.deepEqual([event.type, event.data.id], ["batch.completed", announced.id]);
await assert.rejects(
  client.webhooks.unwrap(body.replace(announced.id, "batch_forged"), request.headers, secret),
  InvalidWebhookSignatureError,
);

// Synchronous endpoints, models and deletion.
const chat = await client.chat.completions.create({ model: "echo", messages: [{ role: "user", content: "abc" }] });
assert.equal(chat.choices[0].message.content, "cba");
assert.equal((await client.models.retrieve("echo")).owned_by, "echo");
assert.equal((await client.files.delete(file.id)).deleted, true);
await rejects(client.files.retrieve(file.id), NotFoundError);
console.log("conforms");
