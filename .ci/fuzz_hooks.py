"""Who the fuzzer is: a signatory of a customer, a person of ops, a platform, each on its own surface.

FUZZ_ACCESS names the file in which the demo keeps its logins.
"""

import http.client
import json
import os
import re
import subprocess
import threading
import time
import urllib.parse

import schemathesis

BASE = os.environ["FUZZ_BASE"]
with open(os.environ["FUZZ_ACCESS"], encoding="utf-8") as file:
    ACCESS = json.load(file)
PERSONS = {"/api/v1": os.environ["FUZZ_INSTITUTION"], "/api/admin/v1": os.environ["FUZZ_OPS"]}


def post(path, body, token=None):
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    # Not from the address of the fuzzer, which the service slows down for its wrong passwords.
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(BASE).netloc, timeout=30, source_address=("127.0.0.2", 0))
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 201:
        raise RuntimeError(f"{path}: {answer.status} {text[:300]}")
    return json.loads(text)


def code(email):
    """A code of the person's second factor that was not used yet; it may take half a minute."""
    command = [os.environ["FUZZ_MANDATE"], "totp", "--logins", os.environ["FUZZ_ACCESS"], email]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def surface(path):
    return re.match(r"(/api/admin/v1|/api/v1|/gate/v1)?", path).group()


def session(place):
    """The tokens of two new sessions: one stepped up, and one that is not."""
    email, password = PERSONS[place], ACCESS["password"]
    tokens = []
    for _ in range(2):
        login = {"email": email, "password": password}
        if place == "/api/admin/v1":
            login["code"] = code(email)
        made = post(f"{place}/sessions", login)
        tokens.append(made["token"])
    post(f"{place}/sessions/{made['id']}/step-ups", {"password": password, "code": code(email)}, made["token"])
    return tokens[1], tokens[0]


KEYS = {key["platform"]: key["key"] for key in ACCESS["keys"]}
# Before the first request: a code works once, and may be waited for.
TOKENS = {place: session(place) for place in PERSONS}
TOKENS["/gate/v1"] = (KEYS[os.environ["FUZZ_PLATFORM"]],) * 2
MADE = time.monotonic()
RENEWING = threading.Lock()


def renewed():
    """New sessions before the step-up of the old ones ends, and when a request has ended one."""
    global MADE
    with RENEWING:
        if time.monotonic() - MADE > 240:
            TOKENS.update({place: session(place) for place in PERSONS})
            MADE = time.monotonic()


@schemathesis.hook
def after_call(context, case, response):
    """A request that ended the fuzzer's own session must not leave all others after it without one."""
    global MADE
    if response.status_code in (200, 204) and case.method == "DELETE" and "/sessions/" in case.path:
        MADE = 0


@schemathesis.auth(refresh_interval=None)
class Caller:
    def get(self, case, context):
        renewed()
        strong, weak = TOKENS.get(surface(context.operation.path), (None, None))
        # With a step-up the fuzzer would lose its own login: any text is a password.
        return weak if context.operation.path.endswith("/me/passwords") else strong

    def set(self, case, token, context):
        if token is not None:
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}
