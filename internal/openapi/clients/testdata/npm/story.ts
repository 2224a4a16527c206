// Two agents and a client that openapi-typescript made: node story.js URL NAME
import createClient from "openapi-fetch";
import type { components, paths } from "./amtp.js";

declare const process: { argv: string[] };

const [url, name] = process.argv.slice(2) as [string, string];
const [ann, bob] = [`ann-${name}`, `bob-${name}`];

type Refusal = components["schemas"]["Refusal"];

/** client returns the client of an agent with that key, or of nobody. */
function client(key?: string) {
  return createClient<paths>({ baseUrl: url, headers: key === undefined ? {} : { Authorization: `Bearer ${key}` } });
}

/** must returns what an answer brought, or ends the story. */
function must<T>(step: string, answer: { data?: T; error?: Refusal; response: Response }): T {
  if (answer.data === undefined) {
    throw new Error(`${step}: ${answer.response.status} ${answer.error?.error.code} ${answer.error?.error.message}`);
  }
  return answer.data;
}

/** refused tells of an answer that had to be a refusal. */
function refused(step: string, answer: { error?: Refusal; response: Response }) {
  if (answer.error === undefined) throw new Error(`${step} was not refused`);
  const { code, message, timestamp, request_id } = answer.error.error;
  const whole = message !== "" && !Number.isNaN(Date.parse(timestamp)) && request_id !== "";
  console.log(`${step}: ${answer.response.status} ${code}, whole: ${whole}`);
}

async function setup(agent: string, capabilities: string[]) {
  const made = must("setup", await client().POST("/v1/admin/agents", { body: { address: agent, delivery_mode: "pull", capabilities } }));
  console.log(`setup: ${made.address} by ${made.delivery_mode}`);
  return client(made.api_key);
}

const asAnn = await setup(ann, []);
const asBob = await setup(bob, [`quotes-${name}`]);
const [from, to] = [`${ann}@localhost`, `${bob}@localhost`];

const sent = must(
  "send",
  await asAnn.POST("/v1/messages", {
    body: { sender: from, recipients: [to], subject: "Prices", payload: { text: "What do 500 bolts cost?" }, idempotency_key: `prices-${name}` },
  }),
);
console.log(`send: ${sent.status} to ${sent.recipients[0]?.address}`);
const path = { id: sent.message_id };

const status = must("status", await asAnn.GET("/v1/messages/{id}/status", { params: { path } }));
console.log(`status: ${status.status}, next retry ${status.next_retry}`);

const mine = must("list", await asAnn.GET("/v1/messages", { params: { query: { sent: true, status: "delivered" } } }));
console.log(`list: ${mine.messages.length} sent by ${mine.messages[0]?.sender}`);

const inbox = must("inbox", await asBob.GET("/v1/inbox/{recipient}", { params: { path: { recipient: to } } }));
const letter = inbox.messages[0];
console.log(`inbox: ${inbox.count}, ${letter?.status}, ${letter?.trust}, ${JSON.stringify(letter?.payload)}`);

const one = { path: { recipient: to, id: sent.message_id } };
console.log(`read: ${must("read", await asBob.POST("/v1/inbox/{recipient}/{id}/read", { params: one })).status}`);
console.log(`ack: ${must("ack", await asBob.DELETE("/v1/inbox/{recipient}/{id}", { params: one })).status}`);

const after = must("status", await asAnn.GET("/v1/messages/{id}/status", { params: { path } }));
console.log(`status: read ${after.recipients[0]?.read}, acknowledged ${after.recipients[0]?.acknowledged}`);

const found = must(
  "discover",
  await asAnn.GET("/v1/discovery/agents", { params: { query: { capability: `quotes-${name}`, active_only: true, delivery_mode: "pull" } } }),
);
console.log(`discover: ${found.agent_count}, ${found.agents[0]?.address}`);

refused("unknown recipient", await asAnn.POST("/v1/messages", { body: { sender: from, recipients: [`no-${to}`], payload: {} } }));
refused("another's inbox", await asAnn.GET("/v1/inbox/{recipient}", { params: { path: { recipient: to } } }));
refused("no path", await asAnn.GET("/v1/messages/{id}", { params: { path: { id: "/" } } }));
