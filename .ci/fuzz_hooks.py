"""Who the fuzzer is: a signatory of a customer, a person of ops, a platform, each on its own surface.

FUZZ_ACCESS names the file in which the demo keeps its logins.
"""

import http.client
import json
import os
import re
import subprocess
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
    """The token of a new session, stepped up."""
    email, password = PERSONS[place], ACCESS["password"]
    login = {"email": email, "password": password}
    if place == "/api/admin/v1":
        login["code"] = code(email)
    made = post(f"{place}/sessions", login)
    post(f"{place}/sessions/{made['id']}/step-ups", {"password": password, "code": code(email)}, made["token"])
    return made["token"]


# Once, before the first request: a code works once, and a round is shorter than a step-up holds.
TOKENS = {place: session(place) for place in PERSONS}
TOKENS["/gate/v1"] = next(key["key"] for key in ACCESS["keys"] if key["platform"] == os.environ["FUZZ_PLATFORM"])


@schemathesis.auth(cache_by_key=lambda case, context: surface(context.operation.path))
class Caller:
    def get(self, case, context):
        return TOKENS.get(surface(context.operation.path))

    def set(self, case, token, context):
        if token is not None:
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}
