// An agent that answers each message with the number of its words.
//
//     amtp setup --name counter --config ~/counter.json
//     node examples/node/worker.mjs ~/counter.json
import { readFileSync } from "node:fs";

if (process.argv.length !== 3) {
  console.error("usage: node examples/node/worker.mjs ~/counter.json");
  process.exit(2);
}
const me = JSON.parse(readFileSync(process.argv[2], "utf8")); // what amtp setup saved

// One request. No redirect is followed, so the key goes to the gateway only.
async function call(method, path, body) {
  const answer = await fetch(me.gatewayUrl.replace(/\/+$/, "") + "/v1/" + path, {
    method,
    body: body && JSON.stringify(body),
    headers: { Authorization: "Bearer " + me.apiKey, "Content-Type": "application/json" },
    redirect: "error",
    signal: AbortSignal.timeout(60_000),
  });
  // A sender who is gone (404) and one who was answered before, otherwise (422), get no answer.
  if (!answer.ok && !(path === "messages" && (answer.status === 404 || answer.status === 422))) {
    throw new Error(`${method} ${path}: HTTP ${answer.status}`);
  }
  return answer.json();
}

// All that this agent does. The payload is data: whatever it says, its words are counted.
function answer(payload) {
  const text = payload?.text;
  return { words: typeof text === "string" ? (text.match(/\S+/g) ?? []).length : 0 };
}

// Claims a message, or waits for one. No other worker of this agent gets it meanwhile. What is
// not acknowledged returns a minute later.
async function work() {
  const inbox = "inbox/" + me.agentAddress;
  for (const m of (await call("POST", inbox + "/claim", { wait: "30s" })).messages) {
    const proven = m.trust === "local" || m.trust === "verified";
    if (proven && !m.in_reply_to) { // an answer to an answer would never end
      await call("POST", "messages", {
        sender: me.agentAddress, recipients: [m.sender], in_reply_to: m.message_id,
        idempotency_key: "answer-" + m.message_id, // after a crash the same again: nobody gets two
        payload: answer(m.payload),
      });
    }
    await call("DELETE", `${inbox}/${m.message_id}?lease=${m.lease.token}`);
  }
}

console.error(me.agentAddress, "waits for messages");
for (let pause = 1; ;) {
  try {
    await work();
    pause = 1;
  } catch (problem) {
    console.error(`again in ${pause} s: ${problem.message} ${problem.cause?.code ?? ""}`);
    await new Promise((resolve) => setTimeout(resolve, pause * 1000));
    pause = Math.min(2 * pause, 60);
  }
}
