"""Makes the requests of Schemathesis independent of each other.

Each request gets an Idempotency-Key of its own: a key that was used for another request is refused, as it should be. A
request that may remove its user, or end the user's logins, is sent by a new user.
"""

import os
import re
import uuid

import requests
import schemathesis

BASE, SHARED = os.environ["BASE_URL"], f"Bearer {os.environ['TOKEN']}"
PASSWORD = "correct horse"


def post(path, body):
    answer = requests.post(f"{BASE}/api/v1/auth/{path}", json=body)
    answer.raise_for_status()
    return answer.json()


def token_of_new_user():
    user = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD}
    post("register", user | {"name": "Sample"})
    return post("login", user)["access_token"]


@schemathesis.hook
def before_call(context, case, kwargs):
    headers, body = case.headers or {}, case.body
    key = headers.get("idempotency-key")
    if key is not None and re.fullmatch("[!-~]{1,255}", key):
        headers["idempotency-key"] = uuid.uuid4().hex
    operation = case.operation.definition.raw.get("operationId")
    if operation in ("users_delete", "auth_password") and headers.get("Authorization") == SHARED:
        headers["Authorization"] = f"Bearer {token_of_new_user()}"
        if isinstance(body, dict) and isinstance(body.get("old_password"), str):
            body["old_password"] = PASSWORD
