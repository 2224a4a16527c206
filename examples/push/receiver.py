"""A receiver of pushed messages: it verifies who posts, counts the words of the
message and answers with the number, which the sender gets as a reply.

    python3 receiver.py SECRET-FILE

The file holds what amtp setup --push printed: whsec_….
"""

import base64
import hashlib
import hmac
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def say(text):
    print(text, file=sys.stderr, flush=True)


def verify(secret, headers, body):
    """Whether the gateway posted the body, lately."""
    key = base64.b64decode(secret.strip().removeprefix("whsec_"))
    at = headers.get("webhook-timestamp", "")
    if not (at.isascii() and at.isdigit()) or abs(time.time() - int(at)) > 300:
        return False
    signed = f"{headers.get('webhook-id', '')}.{at}.".encode() + body
    want = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(s.encode(), want.encode()) for s in given)


class Receiver(BaseHTTPRequestHandler):
    seen = set()  # webhook-id; a real receiver remembers it where it keeps its work

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            with open(sys.argv[1]) as f:
                secret = f.read()
        except OSError:
            return self.answer(503, {"error": "not now"})  # it is pushed again
        if not verify(secret, self.headers, body):
            say("refused: the signature does not fit")
            return self.answer(401, {"error": "not from the gateway"})
        message = json.loads(body)
        if self.headers["webhook-id"] in self.seen:
            say(f"again: {message['message_id']}")
        self.seen.add(self.headers["webhook-id"])
        payload = message.get("payload")  # whatever its sender put there, or nothing
        text = payload.get("text") if isinstance(payload, dict) else None
        words = len(text.split()) if isinstance(text, str) else 0
        say(f"got {message['message_id']} ({message['trust']}): {words} words")
        self.answer(200, {"status": "accepted", "response": {"words": words}})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
say(f"receives at http://127.0.0.1:{server.server_port}/")
server.serve_forever()
