// A second implementation of AMTP's signatures, for the vectors in this folder.
// It shares nothing with the gateway: its own JSON parser, its own canonical
// form (RFC 8785), Node's cryptography. Run it: node verify.mjs
// It prints {checked, signed}: how many vectors it agrees with, and a message
// that it signed with each key. It exits with 1 and says why when it disagrees.
import { createHash, createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { readFileSync } from "node:fs";

const load = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url), "utf8"));

// --- JSON -----------------------------------------------------------------
// Objects become Maps, numbers {literal}, so that neither double names nor
// digits get lost.

class Refused extends Error {}
class Stop extends Error {}

function parse(text) {
  let at = 0;
  const fail = (why) => { throw new Refused(`${why} at ${at}`); };
  const space = () => { while (" \t\r\n".includes(text[at] ?? "x")) at++; };
  const take = (s) => (text.startsWith(s, at) ? ((at += s.length), true) : false);
  const need = (s) => take(s) || fail(`no ${s}`);

  function value() {
    space();
    const c = text[at];
    let out;
    if (c === "{") out = object();
    else if (c === "[") out = array();
    else if (c === '"') out = string();
    else if (take("true")) out = true;
    else if (take("false")) out = false;
    else if (take("null")) out = null;
    else out = number();
    space();
    return out;
  }
  function object() {
    const members = new Map();
    need("{");
    space();
    if (take("}")) return members;
    do {
      space();
      const name = string();
      if (members.has(name)) fail(`${name} stands twice`);
      space();
      need(":");
      members.set(name, value());
    } while (take(","));
    need("}");
    return members;
  }
  function array() {
    const list = [];
    need("[");
    space();
    if (take("]")) return list;
    do list.push(value()); while (take(","));
    need("]");
    return list;
  }
  function string() {
    const found = /^"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/.exec(text.slice(at));
    if (!found) fail("no string");
    at += found[0].length;
    const s = JSON.parse(found[0]);
    if (/\p{Surrogate}/u.test(s)) fail("half a surrogate pair");
    return s;
  }
  function number() {
    const found = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/.exec(text.slice(at));
    if (!found) fail("no value");
    at += found[0].length;
    return { literal: found[0] };
  }

  const out = value();
  if (at !== text.length) fail("something behind the document");
  return out;
}

// --- Canonical form -------------------------------------------------------

// decimal is the exact value of a literal: sign, digits without zeros at either
// end, power of ten.
function decimal(literal) {
  const [, minus, whole, fraction = "", exponent = "0"] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(literal);
  const digits = (whole + fraction).replace(/^0+/, "");
  const short = digits.replace(/0+$/, "");
  if (short === "") return "0";
  return `${minus}${short}e${Number(exponent) - fraction.length + digits.length - short.length}`;
}

function canonical(v) {
  if (v === null || typeof v === "boolean" || typeof v === "string") return JSON.stringify(v);
  if (Array.isArray(v)) return `[${v.map(canonical).join(",")}]`;
  if (v instanceof Map) {
    // Strings of JavaScript compare by their UTF-16 units, as RFC 8785 asks.
    const names = [...v.keys()].sort((a, b) => (a < b ? -1 : 1));
    return `{${names.map((n) => `${JSON.stringify(n)}:${canonical(v.get(n))}`).join(",")}}`;
  }
  const n = Number(v.literal);
  const out = String(Object.is(n, -0) ? 0 : n);
  if (!Number.isFinite(n) || decimal(out) !== decimal(v.literal)) throw new Stop("inexact-number");
  return out;
}

// --- Keys -----------------------------------------------------------------

const isBase64 = (s) => /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(s) && Buffer.from(s, "base64").toString("base64") === s;

function tagsOf(txt) {
  let t = txt.trim();
  if (t.length > 1 && t.startsWith('"') && t.endsWith('"')) t = t.slice(1, -1);
  const tags = new Map();
  let ours = false, twice = false;
  for (const segment of t.split(";")) {
    const cut = segment.indexOf("=");
    const name = segment.slice(0, Math.max(cut, 0)).trim().toLowerCase();
    if (cut < 0 || !["v", "k", "p"].includes(name)) continue;
    const value = segment.slice(cut + 1).trim();
    if (name === "v" && value.toLowerCase() === "amtp1") ours = true;
    if (tags.has(name)) twice = true;
    tags.set(name, value);
  }
  if (!ours) return null;
  if (twice || t.length > 2048) throw new Stop("key-invalid");
  return tags;
}

const algorithms = {
  ES256: {
    fits: (k) => k.asymmetricKeyType === "ec" && k.asymmetricKeyDetails.namedCurve === "prime256v1",
    verify: (k, text, value) => value.length === 64 && verify("sha256", text, { key: k, dsaEncoding: "ieee-p1363" }, value),
    sign: (k, text) => sign("sha256", text, { key: k, dsaEncoding: "ieee-p1363" }),
  },
  RS256: {
    fits: (k) => k.asymmetricKeyType === "rsa" && k.asymmetricKeyDetails.modulusLength >= 2048 && k.asymmetricKeyDetails.modulusLength <= 8192,
    verify: (k, text, value) => verify("sha256", text, k, value),
    sign: (k, text) => sign("sha256", text, k),
  },
  EdDSA: {
    fits: (k) => k.asymmetricKeyType === "ed25519",
    verify: (k, text, value) => verify(null, text, k, value),
    sign: (k, text) => sign(null, text, k),
  },
};

function keyOf(txt) {
  const tags = tagsOf(txt);
  if (!tags) return null;
  const algorithm = Object.keys(algorithms).find((a) => a.toLowerCase() === tags.get("k")?.toLowerCase());
  const p = tags.get("p")?.replace(/[ \t]/g, "");
  if (!algorithm || p === undefined) throw new Stop("key-invalid");
  if (p === "") return { algorithm, id: `${algorithm};` };
  let key;
  try {
    if (!isBase64(p)) throw new Error("not base64");
    key = createPublicKey({ key: Buffer.from(p, "base64"), format: "der", type: "spki" });
  } catch {
    throw new Stop("key-invalid");
  }
  if (!algorithms[algorithm].fits(key)) throw new Stop("key-invalid");
  return { algorithm, key, id: `${algorithm};${p}` };
}

function choose(txts) {
  const found = [];
  for (const txt of txts) {
    try {
      const key = keyOf(txt);
      if (key) found.push(key);
    } catch (e) {
      if (!(e instanceof Stop)) throw e;
      found.push({ id: `invalid ${found.length}` });
    }
  }
  if (found.length === 0) throw new Stop("key-missing");
  if (found.some((k) => k.id !== found[0].id)) throw new Stop("key-ambiguous");
  if (!found[0].algorithm) throw new Stop("key-invalid");
  return found[0];
}

// --- Messages -------------------------------------------------------------

const isText = (v) => typeof v === "string" && v !== "";
const isName = (s, max) => s.length <= max && s.split(".").every((l) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(l));

function check(message, dns, now) {
  const signature = message.get("signature") ?? null;
  if (signature === null) throw new Stop("unsigned");
  if (!(signature instanceof Map)) throw new Refused("the signature is no object");
  const [algorithm, keyid, value] = ["algorithm", "keyid", "value"].map((n) => signature.get(n) ?? "");
  if (![algorithm, keyid, value].every((v) => typeof v === "string")) throw new Stop("malformed");
  const domain = message.get("sender").split("@")[1].toLowerCase();
  const colon = keyid.indexOf(":");
  const selector = keyid.slice(colon + 1).toLowerCase();
  if (!isName(selector, 253 - domain.length - 10)) throw new Stop("malformed");
  if (colon >= 0 && keyid.slice(0, colon).toLowerCase() !== domain) throw new Stop("foreign-domain");
  if (!Object.hasOwn(algorithms, algorithm)) throw new Stop("unsupported-algorithm");
  if (value === "" || value.length > 1368 || !isBase64(value)) throw new Stop("malformed");
  const whole =
    ["version", "message_id", "idempotency_key", "timestamp", "sender"].every((n) => isText(message.get(n))) &&
    message.get("recipients").length > 0 && message.has("payload");
  if (!whole) throw new Stop("incomplete");
  const age = Date.parse(now) - Date.parse(message.get("timestamp"));
  if (age > 8 * 24 * 3600_000) throw new Stop("expired");
  if (age < -10 * 60_000) throw new Stop("not-yet-valid");
  const record = choose(dns[`${selector}._amtpkey.${domain}`] ?? []);
  if (!record.key) throw new Stop("key-revoked");
  if (record.algorithm !== algorithm) throw new Stop("algorithm-mismatch");
  const text = canonicalOf(message);
  if (!algorithms[algorithm].verify(record.key, Buffer.from(text), Buffer.from(value, "base64"))) throw new Stop("bad-signature");
  return text;
}

function canonicalOf(message) {
  return canonical(new Map([...message].filter(([name]) => name !== "signature")));
}

function judge(v) {
  try {
    return { reason: "", text: check(parse(v.body), v.dns, v.now) };
  } catch (e) {
    if (e instanceof Refused) return { refused: true, reason: "" };
    if (e instanceof Stop) return { reason: e.message };
    throw e;
  }
}

// --- The vectors ----------------------------------------------------------

let checked = 0;
const wrong = [];
for (const file of ["es256.json", "rs256.json", "eddsa.json", "records.json", "failing.json"]) {
  for (const v of load(file)) {
    const got = judge(v);
    const expect = (what, have, want) => have === want || wrong.push(`${file}, ${v.name}: ${what} is ${have}, want ${want}`);
    expect("refused", got.refused ?? false, v.result === "refused");
    expect("reason", got.reason, v.reason);
    if (v.canonical) {
      expect("canonical form", got.text, v.canonical);
      expect("sha256", createHash("sha256").update(got.text ?? "").digest("hex"), v.sha256);
    }
    checked++;
  }
}

const signed = [];
for (const [name, k] of Object.entries(load("keys.json"))) {
  const key = createPrivateKey({ key: Buffer.from(k.pkcs8, "base64"), format: "der", type: "pkcs8" });
  const now = "2026-11-22T17:00:00.000Z";
  const message = {
    version: "1.0", message_id: "from-node", idempotency_key: name, timestamp: now, sender: "node@example.com", recipients: ["go@receiver.test"],
    payload: { euro: "€", list: [1.5, 1e21, -0, null], nested: { "\ufb33": 1, "\u{1f600}": 2 } },
  };
  const value = algorithms[k.algorithm].sign(key, Buffer.from(canonicalOf(parse(JSON.stringify(message)))));
  message.signature = { algorithm: k.algorithm, keyid: "key1", value: value.toString("base64") };
  signed.push({ name, body: JSON.stringify(message), dns: { "key1._amtpkey.example.com": [k.record] }, now, result: "pass", reason: "" });
}

if (wrong.length > 0) {
  console.error(wrong.join("\n"));
  process.exit(1);
}
console.log(JSON.stringify({ checked, signed }));
