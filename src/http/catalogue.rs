//! The catalogue of problems: every `type` that an error can have, what it means and what to do.
//! Each has a page under `/docs/problems/`. A kind of error without an entry does not compile.

use crate::base::Error;

/// One kind of problem.
#[derive(Debug, Clone, Copy)]
pub struct Problem {
    /// The last part of its `type`.
    pub slug: &'static str,
    /// The status it comes with.
    pub status: u16,
    /// Its name, the same for every occurrence.
    pub title: &'static str,
    /// What it means and what to do.
    pub text: &'static str,
}

macro_rules! problems {
    ($($name:ident, $status:literal, $slug:literal, $title:literal, $text:literal;)*) => {
        $(const $name: Problem = Problem { slug: $slug, status: $status, title: $title, text: $text };)*
        /// Every kind of problem, by status.
        pub const PROBLEMS: &[Problem] = &[$($name,)*];
    };
}

problems! {
    MALFORMED, 400, "malformed-body", "The body cannot be read",
        "The bytes are not one JSON value: wrong syntax, not UTF-8, an object with the same key twice, a NUL character, or nesting deeper than 128 levels. Only the first fault is told. Correct the body; sending the same bytes again fails again.";
    BAD_PARAMETERS, 400, "bad-parameters", "Parameters or headers are wrong",
        "A query parameter is unknown, stands twice or has a wrong value, or a header is missing or wrong. Every fault is in errors, with the name of the parameter or header as its pointer. Unknown parameters are refused so that a misspelt filter cannot silently show everything.";
    UNAUTHENTICATED, 401, "unauthenticated", "No valid credential",
        "There is no credential, it is unknown, expired or revoked, it belongs to another surface, or more than one was sent. Send exactly one header of the form Authorization: Bearer and a token. Why a credential was refused is not told.";
    FORBIDDEN, 403, "forbidden", "Not allowed",
        "The credential is valid, but its role or kind may not do this. The route's description lists the roles, and says whether a session is demanded instead of an API key. Ask an administrator for the role.";
    STEP_UP, 403, "step-up-required", "Step-up required",
        "This needs the password and a code of the second factor, entered within the last five minutes. Create a step-up for the session, then send the request again.";
    SECOND_FACTOR, 403, "second-factor-required", "A second factor must be enrolled first",
        "Ops persons, and everyone who has authority to instruct, have a second factor (TOTP, RFC 6238). Until one is enrolled a session can do nothing else: begin it with POST /api/v1/sessions/{session_id}/second-factors (/api/admin/v1 for ops), add the secret to an authenticator, and confirm it with the password and a first code.";
    MEMBER_UNCONFIRMED, 403, "member-unconfirmed", "The member must be confirmed first",
        "A restore of the service's data lost entries of the institution's log: a membership that was ended in them looks as if it went on. Until a person of the institution with authority over people confirms the member, the session opens the own account only: sessions, password, second factor, a recovery of the own account, and the state of the log.";
    REFUSED, 403, "export-refused", "The export is refused",
        "The gate decided that no valid mandate covers this export. reasons lists every reason. The refusal is recorded and receipt proves it. No byte may leave. Asking again with the same idempotency key repeats this answer; after the reasons have been removed, ask with a new key.";
    NOT_FOUND, 404, "not-found", "Not found",
        "There is nothing under this address that the credential may see. What does not exist and what belongs to another customer are answered with the same bytes.";
    METHOD, 405, "method-not-allowed", "Method not allowed",
        "The address exists, the method does not. The Allow header lists the methods. What is evidence cannot be deleted: withdrawal is a new record.";
    NOT_ACCEPTABLE, 406, "not-acceptable", "No accepted form",
        "The Accept header names no form that the route can answer in. Lists are given as application/json and as text/csv. Errors are application/problem+json whatever is accepted.";
    CONFLICT, 409, "conflict", "The present state does not allow this",
        "Something already exists, has already ended, or is not yet in the state that this needs. code says which, for programs; detail says what to do about it. Read the resource again before another try.";
    OUTCOME, 409, "outcome-recorded", "The outcome is recorded, its answer is lost",
        "A request with this Idempotency-Key took effect, but the service ended before it could keep the answer. It was not done again. receipts names the entries it made: read the resource to see the outcome. Sending it with a new key would do it a second time.";
    STALE, 412, "precondition-failed", "The copy is stale",
        "The resource has changed since the copy whose entity tag is in If-Match was read. Read it again, look at what changed, and decide anew.";
    TOO_LARGE, 413, "body-too-large", "The body is too large",
        "The body has more bytes than the route takes. JSON bodies may have 1 MiB, documents 25 MiB. Split what can be split.";
    MEDIA_TYPE, 415, "unsupported-media-type", "The media type is not accepted",
        "Content-Type is missing, stands twice or names a type that the route does not read. Routes that take JSON read application/json in UTF-8. No route reads a body with a Content-Encoding: send it as it is.";
    INVALID, 422, "invalid-body", "The body's content is wrong",
        "The body is one JSON value, but fields are missing, unknown, of the wrong type or outside their rule. Every fault is in errors, with a JSON pointer (RFC 6901) to its place.";
    PRECONDITION, 428, "precondition-required", "If-Match is required",
        "This change needs the entity tag of the copy it is based on. Read the resource, and send its ETag as If-Match.";
    TOO_MANY, 429, "too-many-requests", "Too many requests",
        "The limit for this key, session or address is used up. Wait for the seconds in Retry-After.";
    HEADERS, 431, "headers-too-large", "The headers are too large",
        "The request's line and headers have more bytes than are read. Send shorter headers, or fewer; what is long belongs into the body. Far past the limit, or with more than 100 headers, the answer has this status and no body.";
    INTERNAL, 500, "internal", "Internal error",
        "A fault of the service. It is in the service's log under request_id; quote it when reporting. Whether a change took effect is unknown: send it again with the same idempotency key. At the gate, no answer means that nothing may leave.";
    UNAVAILABLE, 503, "unavailable", "Unavailable for the moment",
        "The service cannot answer now. Wait for the seconds in Retry-After and send the request again with the same idempotency key. At the gate, no answer means that nothing may leave.";
    OUTCOME_UNKNOWN, 503, "outcome-unknown", "Whether it took effect is not known",
        "The request may have taken effect and may not have: the database, or the time to wait for it, was lost before its answer. Wait for the seconds in Retry-After and send the request again with the same idempotency key; it takes effect once. Without a key, read the resource first. At the gate, no answer means that nothing may leave.";
    CHECKPOINT_NOT_KEPT, 503, "checkpoint-not-kept", "It took effect, its checkpoint is not kept yet",
        "The request took effect and is recorded. Before it is answered, the checkpoint of its log is kept outside the database, so that nobody can take the record back; that did not succeed. Wait for the seconds in Retry-After and send the request again with the same idempotency key: the checkpoint is tried again, and the answer is the one of the first time. Without a key, read the resource.";
    QUARANTINED, 503, "log-quarantined", "The log failed a check",
        "What is recorded in the log was found not to be what was recorded in it. Nothing is read from it or added to it until operations has examined it and a check has found it whole; operations was alarmed. Other institutions go on, unless it is the log that holds for all: then everything can be read and nothing be recorded. At the gate, no answer means that nothing may leave.";
    PROCESSOR_UNCONFIRMED, 503, "processor-unconfirmed", "Operations must confirm its state first",
        "A restore of the service's data lost entries of the processor's log or of the registry: a key that was revoked in them, a person of the staff whose access was ended, or a stop of a platform looks as if it had not been. Until operations has looked through them and confirmed what counts, no key of a platform or of the admin surface is accepted, and the staff can only read, stop, end, revoke and withdraw. At the gate, no answer means that nothing may leave.";
}

/// The entry of an error.
#[must_use]
pub const fn entry(error: &Error) -> &'static Problem {
    match error {
        Error::Malformed(_) => &MALFORMED,
        Error::BadParameters(_) => &BAD_PARAMETERS,
        Error::Unauthenticated => &UNAUTHENTICATED,
        Error::Forbidden(_) => &FORBIDDEN,
        Error::StepUpRequired => &STEP_UP,
        Error::SecondFactorRequired => &SECOND_FACTOR,
        Error::MemberUnconfirmed => &MEMBER_UNCONFIRMED,
        Error::Refused(_) => &REFUSED,
        Error::NotFound => &NOT_FOUND,
        Error::MethodNotAllowed => &METHOD,
        Error::NotAcceptable(_) => &NOT_ACCEPTABLE,
        Error::OutcomeRecorded(_) => &OUTCOME,
        Error::Conflict { .. } => &CONFLICT,
        Error::PreconditionFailed => &STALE,
        Error::TooLarge(_) => &TOO_LARGE,
        Error::UnsupportedMediaType(_) | Error::EncodedBody => &MEDIA_TYPE,
        Error::Invalid(_) => &INVALID,
        Error::PreconditionRequired => &PRECONDITION,
        Error::TooMany(_) => &TOO_MANY,
        Error::HeadersTooLarge(_) => &HEADERS,
        Error::Internal(_) => &INTERNAL,
        Error::Unavailable { .. } => &UNAVAILABLE,
        Error::OutcomeUnknown => &OUTCOME_UNKNOWN,
        Error::CheckpointNotKept => &CHECKPOINT_NOT_KEPT,
        Error::Quarantined { .. } => &QUARANTINED,
        Error::ProcessorUnconfirmed => &PROCESSOR_UNCONFIRMED,
    }
}

/// The entry with this slug.
#[must_use]
pub fn by_slug(slug: &str) -> Option<&'static Problem> {
    PROBLEMS.iter().find(|problem| problem.slug == slug)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn slugs_are_unique_and_sorted_by_status() {
        let slugs: BTreeSet<_> = PROBLEMS.iter().map(|problem| problem.slug).collect();
        assert_eq!(slugs.len(), PROBLEMS.len());
        assert!(PROBLEMS.is_sorted_by_key(|problem| problem.status));
        assert!(slugs.iter().all(|slug| slug.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }
}
