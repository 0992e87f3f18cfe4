//! The one error of the service, in the words of its answers. `http::problem` turns it into
//! `application/problem+json` (RFC 9457). No variant carries text of a request, SQL or a path
//! to the client; causes go to the log.

/// What a function of this crate answers when it can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Fault {
    /// Where: a JSON pointer into the body, or the name of a query parameter or header.
    pub pointer: String,
    /// What kind of fault, for programs.
    pub code: &'static str,
    /// The rule that was broken, for people.
    pub detail: String,
}

/// What a problem says besides the fixed members: a gate's refusal, an outcome on record.
#[derive(Debug, Clone)]
pub struct RefusedAnswer {
    /// Members added to the problem: `reasons`, `decision`, `receipt`, `advice`; or `receipts`.
    pub members: serde_json::Map<String, serde_json::Value>,
}

/// Why a request got no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 400: the bytes are not one JSON value. The first fault, in fixed words.
    #[error("malformed body")]
    Malformed(&'static str),
    /// 400: unknown or wrong query parameters or headers, all of them.
    #[error("bad parameters")]
    BadParameters(Vec<Fault>),
    /// 422: shape or values, all faults at once.
    #[error("invalid body")]
    Invalid(Vec<Fault>),
    /// 401: no credential, a wrong one, or one of another surface.
    #[error("unauthenticated")]
    Unauthenticated,
    /// 403: the caller may not do this. The cause goes to the log only.
    #[error("forbidden: {0}")]
    Forbidden(&'static str),
    /// 403: the caller could do this after step-up (password and factor within the last five minutes).
    #[error("step-up required")]
    StepUpRequired,
    /// 403: the caller must enrol a second factor first.
    #[error("second factor required")]
    SecondFactorRequired,
    /// 403: a restore lost entries of the customer's log, and nobody has confirmed this member since.
    #[error("member unconfirmed")]
    MemberUnconfirmed,
    /// 403: the gate refused; the refusal is committed before this exists.
    #[error("refused")]
    Refused(Box<RefusedAnswer>),
    /// 404: absent, or another customer's: the same bytes for both.
    #[error("not found")]
    NotFound,
    /// 405: the path exists, the method does not.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// 406: no form that the route can answer in is accepted.
    #[error("not acceptable")]
    NotAcceptable(&'static str),
    /// 409: this request took effect before, and its answer is lost.
    #[error("outcome recorded")]
    OutcomeRecorded(Box<RefusedAnswer>),
    /// 409: the present state does not allow this.
    #[error("conflict: {code}")]
    Conflict {
        /// What kind of conflict, for programs.
        code: &'static str,
        /// What to do about it, for people.
        detail: &'static str,
    },
    /// 412: the copy that the caller saw is not the present one.
    #[error("precondition failed")]
    PreconditionFailed,
    /// 413: the body is larger than the route takes (bytes).
    #[error("body too large")]
    TooLarge(u64),
    /// 415: the media type is not one the route takes.
    #[error("unsupported media type")]
    UnsupportedMediaType(&'static str),
    /// 415: the body is encoded (compressed), which no route reads.
    #[error("unsupported content encoding")]
    EncodedBody,
    /// 428: `If-Match` is missing.
    #[error("precondition required")]
    PreconditionRequired,
    /// 429: too many requests; seconds until the next try.
    #[error("too many requests")]
    TooMany(u64),
    /// 431: the request's line and headers are larger than any route takes (bytes).
    #[error("headers too large")]
    HeadersTooLarge(usize),
    /// 503: not now; seconds until the next try, and the cause for the log.
    #[error("unavailable: {cause}")]
    Unavailable {
        /// Seconds for `Retry-After`.
        retry_after: u64,
        /// Why, for the log.
        cause: &'static str,
    },
    /// 503: the request may have taken effect and may not have; the answer to it was lost.
    #[error("outcome unknown")]
    OutcomeUnknown,
    /// 503: the request took effect, and its checkpoint could not be kept outside the database.
    #[error("checkpoint not kept")]
    CheckpointNotKept,
    /// 503: the log failed a check, and nothing is recorded in it until it was examined.
    #[error("a log is in quarantine")]
    Quarantined {
        /// True when it is the registry, and so nobody can record anything.
        registry: bool,
    },
    /// 503: a restore lost entries of the processor's log or of the registry, and operations has not
    /// confirmed what counts since.
    #[error("processor unconfirmed")]
    ProcessorUnconfirmed,
    /// 500: a fault of ours. The source goes to the log only.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// A fault of ours, with its source.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }
    /// One fault of the body's shape or values.
    pub fn invalid(field: &str, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![Fault { pointer: format!("/{field}"), code, detail: detail.into() }])
    }
    /// A state that does not allow this.
    #[must_use]
    pub const fn conflict(code: &'static str, detail: &'static str) -> Self {
        Self::Conflict { code, detail }
    }
}
