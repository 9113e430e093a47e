// BullMQ on Node: a hundred jobs at once, results by QueueEvents, few finished jobs kept. ioredis pipelines by itself
// where it is told to, but then this is slower. `HOME producer URL PART…` or `HOME worker URL`;
// HOME has its node_modules. The same parts and events as driving.py.

import { createRequire } from "node:module";
import { performance } from "node:perf_hooks";

const CONCURRENCY = 100;
const WARM_UP_MS = 1000;
const WARM_UP_MS_MAX = 10000;
const PAUSE_MS = 5;
const ENQUEUED_AT_ONCE = 1000;
const NAME = "bench";
const KEPT = 5000; // finished jobs: one that were gone could not be waited for
const EVENTS = 100000; // of the stream that tells of results: of the 10,000 that are kept by default, a slow reader misses some
const TIMEOUT_MS = 60000;
const CONTENT = "The limit of a provider is shared by all who hold its key. ".repeat(15);

const [home, role, url, ...parts] = process.argv.slice(2);
const require = createRequire(`${home}/`);
const { Queue, QueueEvents, Worker } = require("bullmq");
const { Redis } = require("ioredis");
const connect = () => new Redis(url, { maxRetriesPerRequest: null });
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

const makeRequest = (number) => ({
  id: number,
  model: "gpt-4o",
  max_tokens: 64,
  messages: [{ role: "user", content: CONTENT }],
});

const answer = (request) => ({
  id: request.id,
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", content: CONTENT }, finish_reason: "stop" }],
  usage: { prompt_tokens: 220, completion_tokens: 64, total_tokens: 284 },
});

function report(part, took, ms) {
  took.sort((one, other) => one - other);
  const at = (share) => took[Math.min(took.length - 1, Math.floor(took.length * share))];
  say({ part, round_trips: took.length, seconds: ms / 1000, p50_ms: at(0.5), p99_ms: at(0.99) });
}

async function produce() {
  const queue = new Queue(NAME, { connection: connect(), streams: { events: { maxLen: EVENTS } } });
  const events = new QueueEvents(NAME, { connection: connect(), lastEventId: "0-0" }); // else it misses what ends before its first read
  events.setMaxListeners(0);
  await events.waitUntilReady();
  let next = 0;

  const enqueue = (number) => queue.add("answer", makeRequest(number), { removeOnComplete: { count: KEPT }, removeOnFail: true });

  async function once() {
    const number = next++;
    const began = performance.now();
    const job = await enqueue(number);
    const reply = await job.waitUntilFinished(events, TIMEOUT_MS);
    if (reply.id !== number || reply.choices[0].message.content.length !== CONTENT.length) {
      throw new Error(`request ${number} got the answer of ${reply.id}`);
    }
    return performance.now() - began;
  }

  async function closed(part, outstanding, seconds) {
    let took = [];
    let stopped = false;
    const goOn = async () => {
      while (!stopped) took.push(await once());
    };
    const loops = Array.from({ length: outstanding }, goOn);
    const giveUpAt = performance.now() + WARM_UP_MS_MAX;
    await pause(WARM_UP_MS);
    while (took.length < outstanding && performance.now() < giveUpAt) await pause(PAUSE_MS);
    took = [];
    say({ begin: part });
    const began = performance.now();
    await pause(seconds * 1000);
    report(part, took.slice(), performance.now() - began);
    stopped = true;
    await Promise.all(loops);
  }

  async function idle(part, count) {
    for (let at = 0; at < 20; at++) await once();
    say({ begin: part });
    const began = performance.now();
    const took = [];
    for (let at = 0; at < count; at++) {
      await pause(PAUSE_MS);
      took.push(await once());
    }
    report(part, took, performance.now() - began);
  }

  async function enqueueAll(part, count) {
    await enqueue(next++);
    const last = next + count;
    const goOn = async () => {
      while (next < last) await enqueue(next++);
    };
    say({ begin: part });
    const began = performance.now();
    await Promise.all(Array.from({ length: ENQUEUED_AT_ONCE }, goOn));
    say({ part, requests: count, seconds: (performance.now() - began) / 1000 });
  }

  for (const part of parts) {
    const [kind, ...numbers] = part.split(":");
    if (kind === "closed") await closed(part, Number(numbers[0]), Number(numbers[1]));
    else if (kind === "idle") await idle(part, Number(numbers[0]));
    else await enqueueAll(part, Number(numbers[0]));
  }
  await events.close();
  await queue.close();
  process.exit(0);
}

async function serve() {
  const worker = new Worker(NAME, async (job) => answer(job.data), { connection: connect(), concurrency: CONCURRENCY });
  await worker.waitUntilReady();
  process.stdout.write("ready\n");
}

await (role === "producer" ? produce() : serve());
