/**
 * Verifies an export permit of Mandate offline (docs/permits.md): Node 20 or later, no packages.
 *
 *     const claims = verify(token, keySet, issuer, "itslearning", Date.now() / 1000);
 *
 * It proves where a permit comes from. It never lets a byte leave: ask the gate before each chunk.
 */
import { createPublicKey, verify as verifySignature, type KeyObject } from "node:crypto";

export type Fault =
  | "form" | "header" | "unknown_key" | "signature" | "payload"
  | "lifetime" | "issuer" | "audience" | "not_yet_valid" | "expired";

/** The first fault, in the words of docs/permits.md. */
export class Refused extends Error {
  readonly fault: Fault;
  constructor(fault: Fault) {
    super(fault);
    this.fault = fault;
  }
}

export type Claims = Record<string, any> & { iss: string; aud: string; jti: string; iat: number; nbf: number; exp: number };

const HEADER = /^\{"alg":"ES256","kid":"([A-Za-z0-9_-]{43})","typ":"export-permit\+jwt"\}$/;

/** The claims of a permit that `issuer` issued to `audience` and that holds at `now`, in seconds. */
export function verify(token: string, keySet: unknown, issuer: string, audience: string, now: number): Claims {
  const parts = token.split(".");
  if (parts.length !== 3) throw new Refused("form");
  const [header, payload, signature] = parts.map(decode);
  // Latin-1 gives each byte a letter of its own: other bytes cannot look like these.
  const kid = HEADER.exec(header.toString("latin1"))?.[1];
  if (kid === undefined || header.includes(10)) throw new Refused("header");
  const key = publicKey(keySet, kid);
  const signed = Buffer.from(`${parts[0]}.${parts[1]}`, "ascii");
  if (signature.length !== 64 || !verifySignature("sha256", signed, { key, dsaEncoding: "ieee-p1363" }, signature)) {
    throw new Refused("signature");
  }
  const claims = read(payload);
  if (!(claims.iat <= claims.nbf && claims.nbf < claims.exp && claims.exp <= claims.iat + 300)) throw new Refused("lifetime");
  if (claims.iss !== issuer) throw new Refused("issuer");
  if (claims.aud !== audience) throw new Refused("audience");
  if (now < claims.nbf) throw new Refused("not_yet_valid");
  if (now >= claims.exp) throw new Refused("expired");
  return claims;
}

/** Base64url without padding, in its one spelling: what is read must write the same text. */
function decode(text: string): Buffer {
  const data = Buffer.from(text, "base64url");
  if (data.toString("base64url") !== text) throw new Refused("form");
  return data;
}

/** The key of this name, if it is a P-256 key for signatures; all others are left aside. */
function publicKey(keySet: any, kid: string): KeyObject {
  const keys: any[] = Array.isArray(keySet?.keys) ? [...keySet.keys].reverse() : [];
  for (const jwk of keys) {
    const fits = jwk?.kty === "EC" && jwk.crv === "P-256" && (jwk.use ?? "sig") === "sig" && (jwk.alg ?? "ES256") === "ES256";
    if (!fits || jwk.kid !== kid) continue;
    try {
      if (decode(jwk.x).length !== 32 || decode(jwk.y).length !== 32) continue;
      return createPublicKey({ key: { kty: "EC", crv: "P-256", x: jwk.x, y: jwk.y }, format: "jwk" });
    } catch {
      continue;
    }
  }
  throw new Refused("unknown_key");
}

/** The claims, if the bytes are their canonical JSON (RFC 8785) and have the profile's shape. */
function read(payload: Buffer): Claims {
  let claims: unknown;
  try {
    claims = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload));
  } catch {
    throw new Refused("payload");
  }
  // A member twice, blanks, another order or spelling: the bytes differ.
  if (!PERMIT(claims) || !Buffer.from(canonical(claims), "utf8").equals(payload)) throw new Refused("payload");
  return claims as Claims;
}

function canonical(value: any): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const members = Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`);
  return `{${members.join(",")}}`;
}

type Check = (value: any) => boolean;
const text: Check = (value) => typeof value === "string" && value !== "" && !/[\p{Cc}\p{Cs}]/u.test(value);
const whole: Check = (value) => Number.isSafeInteger(value) && value >= 0;
const digest: Check = (value) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
const id = (kind: string): Check => (value) => typeof value === "string" && new RegExp(`^${kind}_[0-9a-f]{32}$`).test(value);
const every = (check: Check): Check => (value) => Array.isArray(value) && value.every(check);
const groups: Check = (value) => every(text)(value) && value.length > 0 && value.every((v: string, i: number) => i === 0 || value[i - 1] < v);

function members(required: Record<string, Check>, optional: Record<string, Check> = {}): Check {
  const known = new Map(Object.entries({ ...required, ...optional }));
  return (value) => {
    if (value === null || typeof value !== "object" || Array.isArray(value)) return false;
    const names = Object.keys(value);
    return Object.keys(required).every((name) => names.includes(name)) && names.every((name) => known.get(name)?.(value[name]) === true);
  };
}

const SELECTORS = new Map<unknown, Check>([
  ["whole", members({ kind: text })],
  ["unit", members({ kind: text, unit: text })],
  ["group", members({ kind: text, unit: text, group: text })],
  ["subject", members({ kind: text, ref: text }, { unit: text, groups })],
]);
const selector: Check = (value) => SELECTORS.get(value?.kind)?.(value) === true;
const recipient = members({ legal_entity: text, country: text, role: text }, { transfer_ground: text });
const PERMIT = members({
  iss: text,
  aud: text,
  jti: id("exp"),
  iat: whole,
  nbf: whole,
  exp: whole,
  customer: id("cus"),
  instruction: members({ id: id("ins"), version: whole, document_sha256: digest }),
  agreement: members({ id: id("agr"), version: whole }),
  scope: members({ channel: text, purpose: text, data_categories: every(text), recipient }),
  volume: members({}, { rows: whole, files: whole, bytes: whole }),
  selectors: members({ count: whole, salt: digest, sha256: digest }),
  except: every(selector),
  log: members({ origin: text, index: whole, leaf_hash: digest, size: whole, root: digest }),
});
