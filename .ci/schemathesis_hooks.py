"""Gives each request a key of its own: a key that was used for another request is refused, as it should be."""

import re
import uuid

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    key = (case.headers or {}).get("idempotency-key")
    if key is not None and re.fullmatch("[!-~]{1,255}", key):
        case.headers["idempotency-key"] = uuid.uuid4().hex
