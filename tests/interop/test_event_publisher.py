#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The example event_publisher relays what happens to a document; a subscriber's lines are compared byte for
byte. Environment: EVENT_PUBLISHER and PUBSUB, the programs."""
import json
import os
import subprocess
import sys
import tempfile
import urllib.request

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "brokers", "broker.py")
PUBLISHER, PUBSUB = os.environ["EVENT_PUBLISHER"], os.environ["PUBSUB"]
TOPIC = "/v1/subutest"
FIELDS = {"name": "James Bond", "type": "Demo", "region": "Bangalore"}


def ask(method, url, body=None):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["rev"]


def wait_for(pipe, text):
    for line in pipe:
        if text in line:
            return
    sys.exit(f"never said: {text}")


def expect(subscriber, message):
    line = subscriber.stdout.readline()
    want = json.dumps({"model": "accounts", "message": message}, separators=(",", ":")) + "\n"
    if line != want:
        sys.exit(f"wanted {want}got    {line}")
    print(line, end="", flush=True)


def run(folder, url):
    broker = f"local:{folder}/log"
    subscriber = subprocess.Popen([PUBSUB, "sub", "-v", "-b", broker, "-c", "3", "-W", "60s", "-F", "%v\\n",
                                   TOPIC], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(subscriber.stderr, "subscribed")
    publisher = subprocess.Popen([PUBLISHER, url, "accounts", broker], stderr=subprocess.PIPE, text=True)
    try:
        wait_for(publisher.stderr, "accounts: active")
        document = f"{url}/accounts/bond"
        # The feed tells only the latest revision, so each is awaited before the next is written.
        rev = ask("PUT", document, FIELDS)
        expect(subscriber, {"_id": "bond", "_rev": rev, **FIELDS})
        rev = ask("PUT", document, {**FIELDS, "_rev": rev, "region": "London"})
        expect(subscriber, {"_id": "bond", "_rev": rev, **FIELDS, "region": "London"})
        rev = ask("DELETE", f"{document}?rev={rev}")
        expect(subscriber, {"_id": "bond", "_rev": rev, "_deleted": True})
    finally:
        publisher.terminate()
        subscriber.terminate()
    code = publisher.wait(30)
    if code != 0 or subscriber.wait(30) not in (0, 143, -15):
        sys.exit(f"the publisher ended with {code}, the subscriber with {subscriber.returncode}")


def main():
    started = subprocess.run([sys.executable, "-B", TOOL, "start", "couchdb3", "--set", "database=accounts",
                              "--owner", str(os.getpid()), "--remove"], stdout=subprocess.PIPE, check=True)
    with tempfile.TemporaryDirectory() as folder:
        run(folder, json.loads(started.stdout)["url"])


main()
