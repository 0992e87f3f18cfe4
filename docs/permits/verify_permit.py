"""Verifies an export permit of Mandate offline (docs/permits.md): Python 3.9 and `cryptography`.

    from verify_permit import verify
    claims = verify(token, key_set, issuer, "itslearning", time.time())

It proves where a permit comes from. It never lets a byte leave: ask the gate before each chunk.
`python3 verify_permit.py tests/vectors/permits.json` judges the published test vectors.
"""

import base64
import json
import re
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

HEADER = re.compile(rb'\{"alg":"ES256","kid":"([A-Za-z0-9_-]{43})","typ":"export-permit\+jwt"\}')


class Refused(Exception):
    """The first fault, in the words of docs/permits.md."""


def verify(token, key_set, issuer, audience, now):
    """The claims of a permit that `issuer` issued to `audience` and that holds at `now`, in seconds."""
    parts = token.split(".")
    if len(parts) != 3:
        raise Refused("form")
    header, payload, signature = (decode(part) for part in parts)
    kid = HEADER.fullmatch(header)
    if kid is None:
        raise Refused("header")
    key = public_key(key_set, kid[1].decode())
    if len(signature) != 64:
        raise Refused("signature")
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    try:
        signed = ".".join(parts[:2]).encode()
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Refused("signature") from None
    claims = read(payload)
    if not claims["iat"] <= claims["nbf"] < claims["exp"] <= claims["iat"] + 300:
        raise Refused("lifetime")
    if claims["iss"] != issuer:
        raise Refused("issuer")
    if claims["aud"] != audience:
        raise Refused("audience")
    if now < claims["nbf"]:
        raise Refused("not_yet_valid")
    if now >= claims["exp"]:
        raise Refused("expired")
    return claims


def decode(text):
    """Base64url without padding, in its one spelling: what is read must write the same text."""
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text, re.ASCII) or len(text) % 4 == 1:
        raise Refused("form")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise Refused("form")
    return data


def public_key(key_set, kid):
    """The key of this name, if it is a P-256 key for signatures; all others are left aside."""
    keys = key_set.get("keys")
    for jwk in reversed(keys) if isinstance(keys, list) else ():
        fits = isinstance(jwk, dict) and jwk.get("kty") == "EC" and jwk.get("crv") == "P-256"
        fits = fits and jwk.get("use", "sig") == "sig" and jwk.get("alg", "ES256") == "ES256"
        if not fits or jwk.get("kid") != kid:
            continue
        try:
            x, y = decode(jwk["x"]), decode(jwk["y"])
            if len(x) == len(y) == 32:
                return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + x + y)
        except (KeyError, TypeError, ValueError, Refused):
            continue
    raise Refused("unknown_key")


def read(payload):
    """The claims, if the bytes are their canonical JSON (RFC 8785) and have the profile's shape."""
    try:
        claims = json.loads(payload.decode("utf-8"), parse_float=refuse, parse_constant=refuse)
        canonical = json.dumps(claims, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        # A member twice, blanks, another order or spelling: the bytes differ.
        fits = canonical.encode("utf-8") == payload and PERMIT(claims)
    except (ValueError, RecursionError):
        fits = False
    if not fits:
        raise Refused("payload")
    return claims


def refuse(number):
    raise ValueError(number)


def text(value):
    return isinstance(value, str) and value != "" and not re.search(r"[\x00-\x1f\x7f-\x9f]", value)


def whole(value):
    return type(value) is int and 0 <= value < 2**53


def pattern(expression):
    return lambda value: isinstance(value, str) and re.fullmatch(expression, value, re.ASCII) is not None


def identifier(kind):
    return pattern(kind + "_[0-9a-f]{32}")


def members(required, optional=None):
    known = {**required, **(optional or {})}

    def check(value):
        if not isinstance(value, dict) or not required.keys() <= value.keys() <= known.keys():
            return False
        return all(known[name](member) for name, member in value.items())

    return check


def every(check):
    return lambda value: isinstance(value, list) and all(check(item) for item in value)


def groups(value):
    return every(text)(value) and value != [] and value == sorted(set(value))


def selector(value):
    kind = value.get("kind") if isinstance(value, dict) else None
    return isinstance(kind, str) and kind in SELECTORS and SELECTORS[kind](value)


digest = pattern("[0-9a-f]{64}")
SELECTORS = {
    "whole": members({"kind": text}),
    "unit": members({"kind": text, "unit": text}),
    "group": members({"kind": text, "unit": text, "group": text}),
    "subject": members({"kind": text, "ref": text}, {"unit": text, "groups": groups}),
}
RECIPIENT = members({"legal_entity": text, "country": text, "role": text}, {"transfer_ground": text})
PERMIT = members({
    "iss": text,
    "aud": text,
    "jti": identifier("exp"),
    "iat": whole,
    "nbf": whole,
    "exp": whole,
    "customer": identifier("cus"),
    "instruction": members({"id": identifier("ins"), "version": whole, "document_sha256": digest}),
    "agreement": members({"id": identifier("agr"), "version": whole}),
    "scope": members({"channel": text, "purpose": text, "data_categories": every(text), "recipient": RECIPIENT}),
    "volume": members({}, {"rows": whole, "files": whole, "bytes": whole}),
    "selectors": members({"count": whole, "salt": digest, "sha256": digest}),
    "except": every(selector),
    "log": members({"origin": text, "index": whole, "leaf_hash": digest, "size": whole, "root": digest}),
})


def judge(file):
    """Judges every vector of the file; gives a line for each that comes out otherwise."""
    wrong = []
    for vector in file["valid"] + file["invalid"]:
        given = {name: vector.get(name, file[name]) for name in ("key_set", "issuer", "audience", "now")}
        try:
            verify(vector["token"], given["key_set"], given["issuer"], given["audience"], given["now"])
            found = None
        except Refused as refused:
            found = str(refused)
        if found != vector.get("fault"):
            wrong.append(f"{vector['name']}: {found or 'taken'}, not {vector.get('fault', 'valid')}")
    return wrong


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as opened:
        vectors = json.load(opened)
    faults = judge(vectors)
    print("\n".join(faults) or f"{len(vectors['valid'])} valid and {len(vectors['invalid'])} invalid permits judged right")
    sys.exit(bool(faults))
