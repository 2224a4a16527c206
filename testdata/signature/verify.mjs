// A second implementation of AMTP's domain signatures, for the vectors in this
// folder. It shares nothing with the gateway: its own JSON parser, its own
// canonical form (RFC 8785), Node's cryptography.
//
//	node verify.mjs                 check the vectors; prints {checked}, or ends with 1 and says where it disagrees
//	node verify.mjs make            sign and break messages of its own; prints vectors, those of second.json
//	node verify.mjs canonical FILE  print what a signature of the message in FILE covers
import { constants, createHash, createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from "node:crypto";
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

const isBase64 = (s) => /^[A-Za-z0-9+/]+={0,2}$/.test(s) && Buffer.from(s, "base64").toString("base64") === s;
const isBase64url = (s) => /^[A-Za-z0-9_-]+$/.test(s) && Buffer.from(s, "base64url").toString("base64url") === s;

// What comes before the point in every DER SubjectPublicKeyInfo of P-256.
const p256 = "3059301306072a8648ce3d020106082a8648ce3d03010703420004";

const algorithms = {
  ES256: {
    fits: (k, der) => k.asymmetricKeyType === "ec" && der.toString("hex").startsWith(p256),
    verify: (k, text, value) => value.length === 64 && verify("sha256", text, { key: k, dsaEncoding: "ieee-p1363" }, value),
    sign: (k, text) => sign("sha256", text, { key: k, dsaEncoding: "ieee-p1363" }),
  },
  RS256: {
    fits: (k) => {
      const { modulusLength: bits, publicExponent: e } = k.asymmetricKeyDetails;
      return k.asymmetricKeyType === "rsa" && bits >= 2048 && bits <= 8192 && e >= 3n && e < 1n << 31n && e % 2n === 1n;
    },
    verify: (k, text, value) => verify("sha256", text, { key: k, padding: constants.RSA_PKCS1_PADDING }, value),
    sign: (k, text) => sign("sha256", text, { key: k, padding: constants.RSA_PKCS1_PADDING }),
  },
};

// keyOf reads one TXT string: a key, null for a string of something else, or
// Stop for a record that cannot be used.
function keyOf(txt) {
  const parameters = txt.split(";").map((s) => s.trim()).filter((s) => s.includes("="));
  if (!parameters.includes("v=amtpkey1")) return null;
  const found = new Map(parameters.map((s) => [s.slice(0, s.indexOf("=")), s.slice(s.indexOf("=") + 1)]));
  const algorithm = found.get("alg"), p = found.get("p");
  if (found.size !== parameters.length || txt.length > 2048) throw new Stop("key-invalid");
  if (!Object.hasOwn(algorithms, algorithm ?? "") || !isBase64(p ?? "")) throw new Stop("key-invalid");
  const der = Buffer.from(p, "base64");
  let key;
  try {
    key = createPublicKey({ key: der, format: "der", type: "spki" });
  } catch {
    throw new Stop("key-invalid");
  }
  if (!key.export({ format: "der", type: "spki" }).equals(der) || !algorithms[algorithm].fits(key, der)) throw new Stop("key-invalid");
  return { algorithm, key };
}

// choose returns the only valid record.
function choose(txts) {
  const valid = [];
  let broken = false;
  for (const txt of txts) {
    try {
      const key = keyOf(txt);
      if (key) valid.push(key);
    } catch (e) {
      if (!(e instanceof Stop)) throw e;
      broken = true;
    }
  }
  if (valid.length > 1) throw new Stop("key-ambiguous");
  if (valid.length === 0) throw new Stop(broken ? "key-invalid" : "key-missing");
  return valid[0];
}

// --- Messages -------------------------------------------------------------

const isText = (v) => typeof v === "string" && v !== "";
const isSelector = (s) => /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(s) && !s.includes("\n");

// read refuses what is no message, as far as the vectors need it.
function read(body) {
  const message = parse(body);
  if (!(message instanceof Map)) throw new Refused("no object");
  if (!isText(message.get("sender")) || !message.get("recipients")?.length) throw new Refused("no sender or no recipients");
  if (isText(message.get("version")) && message.get("version") !== "1.0") throw new Refused("another version");
  for (const name of message.keys()) if (name.toLowerCase() === "sender_verification") throw new Refused("a word of the gateway's");
  const signature = message.get("signature") ?? null;
  if (signature !== null && !(signature instanceof Map)) throw new Refused("the signature is no object");
  return { message, signature };
}

function check({ message, signature }, dns, now) {
  if (signature === null) throw new Stop("unsigned");
  const [algorithm, keyid, value] = ["algorithm", "keyid", "value"].map((n) => signature.get(n));
  if (signature.size !== 3 || ![algorithm, keyid, value].every((v) => typeof v === "string")) throw new Stop("malformed");
  const domain = message.get("sender").split("@")[1].toLowerCase();
  const name = `${keyid}._amtpkey.${domain}`;
  if (!isSelector(keyid) || name.length > 253) throw new Stop("malformed");
  if (!Object.hasOwn(algorithms, algorithm)) throw new Stop("unsupported-algorithm");
  if (value.length > 1366 || !isBase64url(value)) throw new Stop("malformed");
  if (!["version", "message_id", "idempotency_key", "timestamp"].every((n) => isText(message.get(n)))) throw new Stop("incomplete");
  const age = Date.parse(now) - Date.parse(message.get("timestamp"));
  if (age > 8 * 24 * 3600_000) throw new Stop("expired");
  if (age < -10 * 60_000) throw new Stop("not-yet-valid");
  const record = choose(dns[name] ?? []);
  if (record.algorithm !== algorithm) throw new Stop("algorithm-mismatch");
  const text = canonicalOf(message);
  if (!algorithms[algorithm].verify(record.key, Buffer.from(text), Buffer.from(value, "base64url"))) throw new Stop("bad-signature");
  return text;
}

function canonicalOf(message) {
  return canonical(new Map([...message].filter(([name]) => name !== "signature")));
}

// resultOf is the result that a reason comes to, in the protocol's words.
function resultOf(reason) {
  if (reason === "") return "verified";
  if (reason === "unsigned") return "unsigned";
  return reason === "key-missing" || reason === "key-unavailable" ? "key_unavailable" : "invalid";
}

function judge(v) {
  try {
    return { result: "verified", reason: "", text: check(read(v.body), v.dns, v.now) };
  } catch (e) {
    if (e instanceof Refused) return { result: "refused", reason: "" };
    if (e instanceof Stop) return { result: resultOf(e.message), reason: e.message };
    throw e;
  }
}

const sha256 = (text) => createHash("sha256").update(text ?? "").digest("hex");

// disagreements are the lines about where we find something else than a vector says.
function disagreements(file, list) {
  const lines = [];
  for (const v of list) {
    const got = judge(v);
    const expect = (what, have, want) => have === want || lines.push(`${file}, ${v.name}: ${what} is ${have}, want ${want}`);
    expect("result", got.result, v.result);
    expect("reason", got.reason, v.reason);
    if (v.canonical) {
      expect("canonical form", got.text, v.canonical);
      expect("sha256", sha256(got.text), v.sha256);
    }
  }
  return lines;
}

// --- Vectors of our own ---------------------------------------------------

function make() {
  const keys = load("keys.json");
  const privateKey = (name) => createPrivateKey({ key: Buffer.from(keys[name].pkcs8, "base64"), format: "der", type: "pkcs8" });
  const at = "node1._amtpkey.node.example", now = "2026-11-22T17:00:05Z";
  const list = [];

  // letter has every member that the protocol knows, and one that it does not.
  const letter = () => ({
    version: "1.0", message_id: "from-node:1", idempotency_key: "c2f1a7c2-0000-4000-8000-000000000001", timestamp: "2026-11-22T17:00:00.000Z",
    sender: "node@node.example", recipients: ["go@receiver.test"], subject: "Ünïcode 1", schema: "agntcy:commerce.order.v1", headers: { priority: "high" },
    payload: { euro: "€", total: 10498.5, list: [1.5, 1e21, 0, null], nested: { "\ufb33": 1, "\u{1f600}": 2 } },
    in_reply_to: "before:1", response_type: "workflow_response", workflow_id: "workflow-1", coordination: { type: "parallel" },
    attachments: [{ filename: "f.txt", content_type: "text/plain", size: 3, hash: "sha256:9f86d081", url: "https://node.example/f.txt" }],
    "x-unknown": { b: [], a: false },
  });
  const covered = (message) => Buffer.from(canonicalOf(parse(JSON.stringify({ ...message, signature: undefined }))));
  const valueOf = (key, message) => algorithms[keys[key].algorithm].sign(privateKey(key), covered(message)).toString("base64url");
  const signed = (key, message = letter(), keyid = "node1") => ({
    ...message, signature: { algorithm: keys[key].algorithm, keyid, value: valueOf(key, message) },
  });

  // add writes a vector down. The message is an object, or the text of one.
  function add(name, message, reason, { dns = {}, result = resultOf(reason), when = now } = {}) {
    const v = { name, body: typeof message === "string" ? message : JSON.stringify(message), dns, now: when, result, reason };
    if (result === "verified") {
      const text = canonicalOf(parse(v.body));
      Object.assign(v, { canonical: text, sha256: sha256(text) });
    }
    list.push(v);
  }

  for (const key of ["es256", "rs256"]) cases(key);
  shapes();
  records();
  confusion();
  return list;

  // cases are one message that verifies, and what can be done to it.
  function cases(key) {
    const { algorithm, record } = keys[key];
    const dns = { [at]: [record] }, other = key === "es256" ? "es256-other" : "rs256-3072";
    const good = signed(key), text = JSON.stringify(good);
    const own = (name, message, reason, more = {}) => add(`${algorithm}: ${name}`, message, reason, { dns, ...more });
    const refused = { result: "refused" };

    own("a message", good, "");
    own("written by another hand", `\r\n${JSON.stringify(Object.fromEntries(Object.entries(good).reverse()), null, 2)}\t`.replace("10498.5", "1.04985e+04"), "");
    own("with nothing but what must be there", signed(key, only("version", "message_id", "idempotency_key", "timestamp", "sender", "recipients")), "");

    const changed = {
      message_id: "from-node:2", idempotency_key: "c2f1a7c2-0000-4000-8000-000000000002", timestamp: "2026-11-22T17:00:00.001Z", sender: "other@node.example",
      recipients: ["go@receiver.test", "eve@receiver.test"], subject: "Ünïcode 2", schema: "agntcy:commerce.order.v2", headers: { priority: "low" },
      payload: { ...letter().payload, total: 10498.51 }, in_reply_to: "before:2", response_type: "workflow_error", workflow_id: "workflow-2",
      coordination: { type: "sequential" }, attachments: [{ ...letter().attachments[0], hash: "sha256:9f86d082" }], "x-unknown": { b: [], a: true },
    };
    for (const name of Object.keys(letter())) {
      if (name !== "version") own(`${name} changed`, { ...good, [name]: changed[name] }, "bad-signature");
    }
    own("version changed", { ...good, version: "2.0" }, "", refused);
    own("sender in another domain", { ...good, sender: "node@other.example" }, "key-missing");
    own("a member added", { ...good, added: 1 }, "bad-signature");
    own("null added", { ...good, "x-null": null }, "bad-signature");

    for (const name of Object.keys(letter())) {
      const critical = ["version", "message_id", "idempotency_key", "timestamp"].includes(name);
      if (["sender", "recipients"].includes(name)) own(`${name} removed`, { ...good, [name]: undefined }, "", refused);
      else own(`${name} removed`, { ...good, [name]: undefined }, critical ? "incomplete" : "bad-signature");
      if (critical) own(`${name} never there`, signed(key, { ...letter(), [name]: undefined }), "incomplete");
    }

    for (const name of ["message_id", "payload", "x-unknown"]) {
      const again = JSON.stringify(letter()[name]);
      own(`${name} twice`, text.replace(`"${name}":`, `"${name}":${again},"${name}":`), "", refused);
    }
    own("sender twice, another one behind", text.replace(/}$/, ',"sender":"eve@node.example"}'), "", refused);
    own("sender twice, once by escapes", text.replace('"sender"', '"s\\u0065nder":"eve@node.example","sender"'), "", refused);
    own("a name in the payload twice", text.replace('"total"', '"total":1,"total"'), "", refused);
    own("a name in the headers twice", text.replace('"priority"', '"priority":"low","priority"'), "", refused);
    own("signature twice", text.replace('"signature"', '"signature":{},"signature"'), "", refused);
    for (const name of ["algorithm", "keyid", "value"]) {
      own(`${name} twice`, text.replace(`"${name}"`, `"${name}":"x","${name}"`), "", refused);
    }
    own("the gateway's own word about the sender", signed(key, { ...letter(), sender_verification: { result: "verified" } }), "", refused);

    const put = (name, change, reason) => own(name, { ...good, signature: { ...good.signature, ...change } }, reason);
    put("a fourth member", { note: "x" }, "malformed");
    put("a fourth member that is null", { note: null }, "malformed");
    for (const name of ["algorithm", "keyid", "value"]) {
      put(`no ${name}`, { [name]: undefined }, "malformed");
      put(`no ${name}, another member in its place`, { [name]: undefined, note: "x" }, "malformed");
      put(`null for ${name}`, { [name]: null }, "malformed");
      put(`a number for ${name}`, { [name]: 1 }, "malformed");
      put(`an array for ${name}`, { [name]: [good.signature[name]] }, "malformed");
      put(`an object for ${name}`, { [name]: { [name]: good.signature[name] } }, "malformed");
      put(`${name} in upper case`, { [name]: undefined, [name.toUpperCase()]: good.signature[name] }, "malformed");
    }

    const mixed = withBothMarks(key), value = good.signature.value, bytes = Buffer.from(value, "base64url");
    const marked = (name, v) => own(name, { ...mixed, signature: { ...mixed.signature, value: v } }, "malformed");
    own("value with both marks of base64url", mixed, "");
    marked("value in the standard alphabet", mixed.signature.value.replaceAll("-", "+").replaceAll("_", "/"));
    marked("value in the standard alphabet, padded", Buffer.from(mixed.signature.value, "base64url").toString("base64"));
    put("value padded", { value: `${value}${"=".repeat((4 - (value.length % 4)) % 4)}` }, "malformed");
    put("value with a line break behind it", { value: `${value}\n` }, "malformed");
    put("value with a line break inside", { value: `${value.slice(0, 64)}\r\n${value.slice(64)}` }, "malformed");
    put("value with a space in front", { value: ` ${value}` }, "malformed");
    put("value with stray bits", { value: value.slice(0, -1) + String.fromCharCode(value.charCodeAt(value.length - 1) + 1) }, "malformed");
    put("value empty", { value: "" }, "malformed");
    put("value in hexadecimal", { value: bytes.toString("hex") }, "bad-signature");
    put("value of 1366 characters", { value: "A".repeat(1366) }, "bad-signature");
    put("value of 1367 characters", { value: "A".repeat(1367) }, "malformed");
    const raw = (name, b, reason = "bad-signature") => put(name, { value: b.toString("base64url") }, reason);
    raw("value without its last byte", bytes.subarray(0, -1));
    raw("value with a zero behind it", Buffer.concat([bytes, Buffer.alloc(1)]));
    raw("value with a zero in front", Buffer.concat([Buffer.alloc(1), bytes]));
    raw("value of zeros", Buffer.alloc(bytes.length));
    raw("value with one bit turned", Buffer.concat([bytes.subarray(0, -1), Buffer.from([bytes.at(-1) ^ 1])]));
    if (key === "es256") numbers(bytes, raw);
    else raw("PSS", sign("sha256", covered(letter()), { key: privateKey(key), padding: constants.RSA_PKCS1_PSS_PADDING }));
    put("the signature of another key", { value: valueOf(other, letter()) }, "bad-signature");
    own("another key is published", good, "bad-signature", { dns: { [at]: [keys[other].record] } });
    own("nothing is published", good, "key-missing", { dns: {} });
    own("published twice", good, "key-ambiguous", { dns: { [at]: [record, record] } });
    own("two keys are published", good, "key-ambiguous", { dns: { [at]: [record, keys[other].record] } });
    own("a broken record beside it", good, "", { dns: { [at]: ["v=amtpkey1;alg=", record, "v=spf1 -all"] } });
    own("too old", good, "expired", { when: "2026-11-30T17:00:00.001Z" });
    own("too far ahead", good, "not-yet-valid", { when: "2026-11-22T16:49:59.999Z" });
  }

  function only(...names) {
    return Object.fromEntries(names.map((n) => [n, letter()[n]]));
  }

  // withBothMarks signs until the value has - and _.
  function withBothMarks(key) {
    for (let i = 1; ; i++) {
      const message = signed(key, { ...letter(), message_id: `from-node:marks-${i}` });
      if (/-/.test(message.signature.value) && /_/.test(message.signature.value)) return message;
    }
  }

  // numbers are an ES256 signature's r and s, and what they may not be.
  function numbers(bytes, raw) {
    const n = BigInt("0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    const of = (x) => Buffer.from(x.toString(16).padStart(64, "0"), "hex");
    const r = bytes.subarray(0, 32), s = bytes.subarray(32), zero = Buffer.alloc(32);
    const pair = (name, a, b, reason) => raw(name, Buffer.concat([a, b]), reason);
    pair("the other s, n − s", r, of(n - BigInt(`0x${s.toString("hex")}`)), "");
    pair("s before r", s, r);
    pair("r of 0", zero, s);
    pair("s of 0", r, zero);
    pair("r of n", of(n), s);
    pair("s of n", r, of(n));
    pair("s of the largest number", r, Buffer.alloc(32, 255));
    raw("DER", sign("sha256", covered(letter()), { key: privateKey("es256"), dsaEncoding: "der" }));
  }

  // shapes are messages whose signature is missing or has another shape, and selectors.
  function shapes() {
    const dns = { [at]: [keys.es256.record] }, good = signed("es256");
    add("no signature", letter(), "unsigned", { dns });
    add("null for a signature", { ...letter(), signature: null }, "unsigned", { dns });
    add("an empty signature", { ...letter(), signature: {} }, "malformed", { dns });
    add("a signature in a signature", { ...letter(), signature: { signature: good.signature } }, "malformed", { dns });
    for (const [what, v] of [["text", "x"], ["a number", 1], ["true", true], ["an array", [good.signature]]]) {
      add(`${what} for a signature`, { ...letter(), signature: v }, "", { dns, result: "refused" });
    }
    add("a signature in the payload only", { ...letter(), payload: { signature: good.signature } }, "unsigned", { dns });
    add("Signature with a capital", { ...letter(), Signature: good.signature }, "unsigned", { dns });
    add("a number that a double has not", JSON.stringify(good).replace("10498.5", "9007199254740993"), "inexact-number", { dns });

    const published = (keyid) => ({ dns: { [`${keyid}._amtpkey.node.example`]: [keys.es256.record] } });
    for (const keyid of ["k", "7", "node-1", "a--b", "a".repeat(63)]) {
      add(`keyid ${keyid}`, signed("es256", letter(), keyid), "", published(keyid));
    }
    for (const keyid of ["", ".", "node.1", "node1.", "NODE1", "Node1", "-node", "node-", "node_1", "_node", " node1", "node1\n", "n*", "ñ",
      "node.example:node1", "other.example:node1", "a".repeat(64)]) {
      add(`keyid ${JSON.stringify(keyid)}`, signed("es256", letter(), keyid), "malformed", published(keyid));
    }
  }

  // records are one message and what DNS may say.
  function records() {
    const good = signed("es256"), { record } = keys.es256, p = record.split("p=")[1];
    const ec = "v=amtpkey1;alg=ES256;p=";
    const says = (name, reason, ...txts) => add(`DNS: ${name}`, good, reason, { dns: { [at]: txts } });
    says("another order, spaces, unknown parameters", "", `p=${p}; n=x=y ;flag;\talg=ES256;v=amtpkey1;`);
    says("beside strings of others and broken ones", "", "v=spf1 -all", "", ec, record, `v=amtp1;k=ES256;p=${p}`, `${record};x=1;x=2`);
    says("no string of ours", "key-missing", "v=spf1 -all", `v=amtp1;k=ES256;p=${p}`, `alg=ES256;p=${p}`, `V=amtpkey1;alg=ES256;p=${p}`);
    says("broken strings only", "key-invalid", ec, "v=amtpkey1");
    says("equal records", "key-ambiguous", record, record);
    says("the same key in two records", "key-ambiguous", record, `${record};n=1`);
    for (const [name, txt] of Object.entries({
      "v twice": `v=amtpkey1;${record}`, "alg twice": `${record};alg=ES256`, "p twice": `${record};p=${p}`, "an unknown parameter twice": `${record};n=1;n=2`,
      "no alg": `v=amtpkey1;p=${p}`, "alg in lower case": `v=amtpkey1;alg=es256;p=${p}`, "ALG in upper case": `v=amtpkey1;ALG=ES256;p=${p}`,
      "no p": "v=amtpkey1;alg=ES256", "an empty p": ec, "p without padding": ec + p.replace(/=+$/, ""), "p with a space": `${ec}${p.slice(0, 60)} ${p.slice(60)}`,
      "p in base64url": ec + p.replaceAll("+", "-").replaceAll("/", "_"), "p with stray bits": `${ec}${p.slice(0, -3)}${String.fromCharCode(p.charCodeAt(p.length - 3) + 1)}==`,
      "p with a byte behind the key": ec + Buffer.concat([Buffer.from(p, "base64"), Buffer.alloc(1)]).toString("base64"),
      "p as PEM": `${ec}-----BEGIN PUBLIC KEY-----${p}-----END PUBLIC KEY-----`, "p of the point alone": ec + Buffer.from(p, "base64").subarray(26).toString("base64"),
      "p of a point in the short form": ec + shortPoint(p), "more than 2048 bytes": `${record};n=${"x".repeat(2048)}`,
    })) says(name, "key-invalid", txt);
  }

  // shortPoint writes a key on P-256 with x and the sign of y only.
  function shortPoint(p) {
    const der = Buffer.from(p, "base64"), head = Buffer.from("3039301306072a8648ce3d020106082a8648ce3d030107032200", "hex");
    return Buffer.concat([head, Buffer.from([2 + (der.at(-1) & 1)]), der.subarray(27, 59)]).toString("base64");
  }

  // confusion mixes up keys and algorithms.
  function confusion() {
    const spki = (key) => key.export({ format: "der", type: "spki" }).toString("base64");
    const record = (algorithm, key) => `v=amtpkey1;alg=${algorithm};p=${spki(key)}`;
    const wear = (algorithm, value) => ({ ...letter(), signature: { algorithm, keyid: "node1", value: value.toString("base64url") } });
    const mix = (name, message, reason, txt) => add(`confusion: ${name}`, message, reason, { dns: { [at]: [txt] } });
    const es = keys.es256.record, rs = keys.rs256.record, publicKey = (txt) => Buffer.from(txt.split("p=")[1], "base64");
    const text = covered(letter());

    mix("an ES256 signature that says RS256", wear("RS256", Buffer.from(valueOf("es256", letter()), "base64url")), "algorithm-mismatch", es);
    mix("an ES256 signature that says RS256, and so does the record", wear("RS256", Buffer.from(valueOf("es256", letter()), "base64url")), "key-invalid",
      es.replace("ES256", "RS256"));
    mix("an RS256 signature that says ES256", wear("ES256", Buffer.from(valueOf("rs256", letter()), "base64url")), "algorithm-mismatch", rs);
    mix("an RS256 signature that says ES256, and so does the record", wear("ES256", Buffer.from(valueOf("rs256", letter()), "base64url")), "key-invalid",
      rs.replace("RS256", "ES256"));
    for (const [name, secret] of [["ES256", publicKey(es)], ["RS256", publicKey(rs)]]) {
      const mac = createHmac("sha256", secret).update(text).digest();
      mix(`HMAC with the public key for ${name} as its secret`, wear("HS256", mac), "unsupported-algorithm", name === "ES256" ? es : rs);
    }
    mix("no algorithm at all", wear("none", Buffer.from("AAAA", "base64")), "unsupported-algorithm", es);
    mix("algorithm in lower case", wear("es256", Buffer.from(valueOf("es256", letter()), "base64url")), "unsupported-algorithm", es);
    for (const bits of [1024, 2040]) {
      const weak = generateKeyPairSync("rsa", { modulusLength: bits });
      mix(`RSA of ${bits} bits`, wear("RS256", sign("sha256", text, weak.privateKey)), "key-invalid", record("RS256", weak.publicKey));
    }
    const strange = generateKeyPairSync("rsa-pss", { modulusLength: 2048 });
    mix("an RSA key for PSS only", wear("RS256", sign("sha256", text, strange.privateKey)), "key-invalid", record("RS256", strange.publicKey));
    for (const namedCurve of ["P-384", "secp256k1"]) {
      const pair = generateKeyPairSync("ec", { namedCurve });
      const value = sign("sha256", text, { key: pair.privateKey, dsaEncoding: "ieee-p1363" });
      mix(`a key on ${namedCurve}`, wear("ES256", value), "key-invalid", record("ES256", pair.publicKey));
    }
    const ed = generateKeyPairSync("ed25519");
    mix("EdDSA", wear("EdDSA", sign(null, text, ed.privateKey)), "unsupported-algorithm", record("EdDSA", ed.publicKey));
    mix("EdDSA that says ES256", wear("ES256", sign(null, text, ed.privateKey)), "key-invalid", record("ES256", ed.publicKey));
  }
}

// --- Commands -------------------------------------------------------------

// textOf reads a file of UTF-8 as it is.
const textOf = (file) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(readFileSync(file));

const [command, file] = process.argv.slice(2);
if (command === "canonical") {
  process.stdout.write(canonicalOf(parse(textOf(file))));
} else if (command === "make") {
  process.stdout.write(JSON.stringify(make()));
} else if (command === undefined) {
  let checked = 0;
  const wrong = [];
  for (const name of ["es256.json", "rs256.json", "records.json", "failing.json", "second.json"]) {
    const list = load(name);
    wrong.push(...disagreements(name, list));
    checked += list.length;
  }
  wrong.push(...disagreements("make", make()));
  if (wrong.length > 0) {
    console.error(wrong.join("\n"));
    process.exitCode = 1;
  } else {
    console.log(JSON.stringify({ checked }));
  }
} else {
  console.error(`${command} is no command: canonical, make, or none`);
  process.exitCode = 2;
}
