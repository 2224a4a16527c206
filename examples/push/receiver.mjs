// A receiver of pushed messages: it verifies who posts, counts the words of the
// message and answers with the number, which the sender gets as a reply.
//
//   node receiver.mjs SECRET-FILE
//
// The file holds what amtp setup --push printed: whsec_….

import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

// Whether the gateway posted the body, lately.
function verify(secret, headers, body) {
  const key = Buffer.from(secret.trim().replace(/^whsec_/, ""), "base64");
  const at = headers["webhook-timestamp"] ?? "";
  if (!/^\d+$/.test(at) || Math.abs(Date.now() / 1000 - Number(at)) > 300) return false;
  const mac = createHmac("sha256", key).update(`${headers["webhook-id"]}.${at}.`).update(body);
  const want = Buffer.from("v1," + mac.digest("base64"));
  return (headers["webhook-signature"] ?? "").split(" ").some((s) => {
    const given = Buffer.from(s);
    return given.length === want.length && timingSafeEqual(given, want);
  });
}

const seen = new Set(); // webhook-id; a real receiver remembers it where it keeps its work

function receive(headers, body) {
  let secret;
  try {
    secret = readFileSync(process.argv[2], "utf8");
  } catch {
    return [503, { error: "not now" }]; // it is pushed again
  }
  if (!verify(secret, headers, body)) {
    console.error("refused: the signature does not fit");
    return [401, { error: "not from the gateway" }];
  }
  const message = JSON.parse(body);
  if (seen.has(headers["webhook-id"])) console.error(`again: ${message.message_id}`);
  seen.add(headers["webhook-id"]);
  const text = message.payload?.text; // whatever its sender put there, or nothing
  const words = typeof text === "string" ? text.split(/\s+/).filter(Boolean).length : 0;
  console.error(`got ${message.message_id} (${message.trust}): ${words} words`);
  return [200, { status: "accepted", response: { words } }];
}

const server = createServer(async (request, response) => {
  const parts = [];
  let status, value;
  try {
    for await (const part of request) parts.push(part);
    [status, value] = receive(request.headers, Buffer.concat(parts));
  } catch (problem) { // one request, such as one that broke off, is no reason to stop
    console.error(`a request failed: ${problem.message}`);
    [status, value] = [500, { error: "not now" }]; // it is pushed again
  }
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
});
server.listen(0, "127.0.0.1", () => console.error(`receives at http://127.0.0.1:${server.address().port}/`));
