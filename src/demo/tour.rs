//! The tour: `curl` lines that work when pasted, from a refused export to a permitted one and back.
//! It needs nothing but a POSIX shell, `curl` and `sed`; codes of the second factor come from this
//! program itself, since the demo's persons have no authenticator.

use super::access::Access;

/// The export that the tour asks for, before and after it is instructed.
const EXPORT: &str = r#"{"customer":"site-1001-its","platform":"itslearning","channel":"organisation-api","purpose":"statutory-reporting",
  "data_categories":["identity","enrolment"],"subjects":[{"kind":"unit","unit":"S03"}],
  "recipient":{"legal_entity":"Utdanningsregisteret","country":"NO","role":"school_authority"},
  "volume":{"rows":1200},"requested_by":{"kind":"job","ref":"nightly-report"}}"#;

/// The instruction that allows it.
const INSTRUCTION: &str = r#"{"kind":"export","platforms":["itslearning"],"channels":["organisation-api"],"purposes":["statutory-reporting"],
  "data_categories":["identity","enrolment"],"subjects":[{"kind":"whole"}],
  "recipients":[{"legal_entity":"Utdanningsregisteret","country":"NO","role":"school_authority"}],
  "volume":{"per_export":{"rows":5000}},
  "text":"Report enrolment of all our schools to Utdanningsregisteret, as the Education Act requires of us."}"#;

/// The tour as a shell script for a server at `base`. `totp` is the command that prints a code of the
/// second factor of the person whose address is put behind it.
#[must_use]
pub fn tour(base: &str, totp: &str, access: &Access) -> String {
    let key = access.keys.iter().find(|k| k.platform == "itslearning").map_or("", |k| k.key.as_str());
    let signatory = access.logins.iter().find(|l| l.customer.is_some()).map_or("", |l| l.email.as_str());
    let password = &access.password;
    format!(
        r#"BASE={base}
KEY={key}
RUN=$(date +%s)-$$
field() {{ sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p'; }}
post() {{ path=$1; token=$2; data=$3; shift 3; curl -sS -X POST "$BASE$path" -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$@" -d "$data"; }}
ASK='{EXPORT}'

echo "== 1. A platform asks; nobody has instructed it: refused, with reasons"
post /gate/v1/exports "$KEY" "$ASK" -H "Idempotency-Key: ask-1-$RUN"; echo

echo "== 2. The customer's signatory logs in and drafts an instruction"
SESSION=$(curl -sS -X POST "$BASE/api/v1/sessions" -H 'Content-Type: application/json' -d '{{"email":"{signatory}","password":"{password}"}}')
TOKEN=$(printf %s "$SESSION" | field token); SESSION_ID=$(printf %s "$SESSION" | sed -n 's/.*"id":"\(ses_[0-9a-f]*\)".*/\1/p')
DRAFT=$(post /api/v1/instructions "$TOKEN" '{INSTRUCTION}' -D -)
INSTRUCTION=$(printf %s "$DRAFT" | sed -n 's/.*"id":"\(ins_[0-9a-f]*\)".*/\1/p'); ETAG=$(printf %s "$DRAFT" | tr -d '\r' | sed -n 's/^[Ee][Tt]ag: //p')
echo "drafted $INSTRUCTION"

echo "== 3. Step-up with password and second factor, and the signature: from now on it is a written instruction"
CODE=$({totp} {signatory})
post "/api/v1/sessions/$SESSION_ID/step-ups" "$TOKEN" "{{\"password\":\"{password}\",\"code\":\"$CODE\"}}"; echo
post "/api/v1/instructions/$INSTRUCTION/signatures" "$TOKEN" '{{"version":1}}' -H "If-Match: $ETAG" -H "Idempotency-Key: sign-$RUN"; echo

echo "== 4. The platform asks again: a permit"
PERMITTED=$(post /gate/v1/exports "$KEY" "$ASK" -H "Idempotency-Key: ask-2-$RUN"); printf '%s\n' "$PERMITTED"
EXPORT=$(printf %s "$PERMITTED" | sed -n 's/.*"id":"\(exp_[0-9a-f]*\)".*/\1/p'); PERMIT=$(printf %s "$PERMITTED" | field permit)

echo "== 5. It redeems the permit, once, asks before each chunk leaves (here one), and reports what it delivered"
post "/gate/v1/exports/$EXPORT/redemptions" "$KEY" "{{\"permit\":\"$PERMIT\"}}" -H "Idempotency-Key: redeem-$RUN"; echo
post "/gate/v1/exports/$EXPORT/chunks" "$KEY" '{{"chunk_no":1,"rows":1187,"last":"enrolment-1187"}}' -H "Idempotency-Key: chunk-1-$RUN"; echo
post "/gate/v1/exports/$EXPORT/completions" "$KEY" '{{"rows":1187,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}' -H "Idempotency-Key: done-$RUN"; echo

echo "== 6. The customer withdraws the instruction; the very next ask is refused again"
post "/api/v1/instructions/$INSTRUCTION/revocations" "$TOKEN" '{{}}' -H "Idempotency-Key: revoke-$RUN"; echo
post /gate/v1/exports "$KEY" "$ASK" -H "Idempotency-Key: ask-3-$RUN"; echo

echo "== 7. Every decision, refusals included, as the customer sees it"
curl -sS "$BASE/api/v1/decisions?limit=100" -H "Authorization: Bearer $TOKEN"; echo
"#
    )
}
