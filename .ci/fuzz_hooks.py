"""Who the fuzzer is: a signatory of a customer, a person of ops, a platform, each on its own surface.

It logs in again, with step-up, every four minutes and whenever an answer says that its session has ended
(the fuzzer finds the route that ends it). FUZZ_ACCESS names the file in which the demo keeps its logins.
"""

import json
import os
import re
import subprocess
import urllib.request

import schemathesis

BASE = os.environ["FUZZ_BASE"]
with open(os.environ["FUZZ_ACCESS"], encoding="utf-8") as file:
    ACCESS = json.load(file)
PERSONS = {"/api/v1": os.environ["FUZZ_INSTITUTION"], "/api/admin/v1": os.environ["FUZZ_OPS"]}


def post(path, body, token=None):
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(BASE + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def code(email):
    """A code of the person's second factor that was not used yet; it may take half a minute."""
    command = [os.environ["FUZZ_MANDATE"], "totp", "--logins", os.environ["FUZZ_ACCESS"], email]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def surface(path):
    return re.match(r"(/api/admin/v1|/api/v1|/gate/v1)?", path).group()


@schemathesis.auth(refresh_interval=240, cache_by_key=lambda case, context: surface(context.operation.path))
class Caller:
    def get(self, case, context):
        place = surface(context.operation.path)
        if place == "/gate/v1":
            return next(key["key"] for key in ACCESS["keys"] if key["platform"] == os.environ["FUZZ_PLATFORM"])
        if place == "":
            return None
        email, password = PERSONS[place], ACCESS["password"]
        login = {"email": email, "password": password}
        if place == "/api/admin/v1":
            login["code"] = code(email)
        session = post(f"{place}/sessions", login)
        post(f"{place}/sessions/{session['id']}/step-ups", {"password": password, "code": code(email)}, session["token"])
        return session["token"]

    def set(self, case, token, context):
        if token is not None:
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}
