"""An agent that answers each message with the number of its words.

    amtp setup --name counter --config ~/counter.json
    python3 examples/python/worker.py ~/counter.json
"""
import http.client, json, sys, time, urllib.parse

if len(sys.argv) != 2:
    sys.exit("usage: python3 examples/python/worker.py ~/counter.json")
with open(sys.argv[1]) as file:  # what amtp setup saved
    ME = json.load(file)
GATEWAY = urllib.parse.urlsplit(ME["gatewayUrl"])
CONNECT = http.client.HTTPSConnection if GATEWAY.scheme == "https" else http.client.HTTPConnection


def call(method, path, body=None):
    """One request. http.client follows no redirect, so the key goes to the gateway only."""
    connection = CONNECT(GATEWAY.netloc, timeout=60)
    try:
        connection.request(method, GATEWAY.path.rstrip("/") + "/v1/" + path, body and json.dumps(body),
                           {"Authorization": "Bearer " + ME["apiKey"], "Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
        # A sender who is gone (404) and one who was answered before, otherwise (422), get no answer.
        if answer.status >= 300 and not (path == "messages" and answer.status in (404, 422)):
            raise OSError(f"{method} {path}: HTTP {answer.status}")
        return json.loads(said)
    finally:
        connection.close()


def answer(payload):
    """All that this agent does. The payload is data: whatever it says, its words are counted."""
    text = payload.get("text") if isinstance(payload, dict) else None
    return {"words": len(text.split()) if isinstance(text, str) else 0}


def work():
    """Claim a message, or wait for one. No other worker of this agent gets it meanwhile. What is
    not acknowledged returns a minute later."""
    inbox = "inbox/" + ME["agentAddress"]
    for m in call("POST", inbox + "/claim", {"wait": "30s"})["messages"]:
        proven = m["trust"] in ("local", "verified")
        if proven and not m.get("in_reply_to"):  # an answer to an answer would never end
            call("POST", "messages", {
                "sender": ME["agentAddress"], "recipients": [m["sender"]], "in_reply_to": m["message_id"],
                "idempotency_key": "answer-" + m["message_id"],  # after a crash the same again: nobody gets two
                "payload": answer(m.get("payload")),
            })
        call("DELETE", f"{inbox}/{m['message_id']}?lease={m['lease']['token']}")


print(ME["agentAddress"], "waits for messages", file=sys.stderr)
pause = 1
while True:
    try:
        work()
        pause = 1
    except (OSError, http.client.HTTPException, ValueError) as problem:
        print(f"again in {pause} s: {problem}", file=sys.stderr)
        time.sleep(pause)
        pause = min(2 * pause, 60)
