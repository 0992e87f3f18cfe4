//! Who is watched and what is counted. The human behind a request is a pseudonymous reference, and
//! stands here only as a digest with its platform. Pure.

use uuid::Uuid;

use crate::base::{ApiKeyId, Code, Digest, Instant, sha256};

crate::words! {
    /// What kind of subject is watched.
    pub enum SubjectKind {
        /// A platform's key.
        Key = "key",
        /// A scheduled job, by its reference.
        Job = "job",
        /// A person of the staff or a user, by its reference.
        Person = "person",
    }
}

crate::words! {
    /// How far above normal.
    pub enum Level {
        /// More than normal.
        Unusual = "unusual",
        /// More than ten times normal.
        Extreme = "extreme",
    }
}

/// Who is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Subject {
    /// A key.
    Key(ApiKeyId),
    /// A job's reference.
    Job(Digest),
    /// A person's reference.
    Person(Digest),
}

impl Subject {
    /// The subject behind a reference, which means something on its platform only.
    pub fn behind(by: Requester<'_>, platform: &Code) -> Self {
        let parts: [&[u8]; 6] =
            [b"mandate requested_by v1\n", platform.as_str().as_bytes(), b"\n", by.kind.as_bytes(), b"\n", by.reference.as_bytes()];
        let digest = sha256(&parts);
        if by.kind == "job" { Self::Job(digest) } else { Self::Person(digest) }
    }

    /// What stands for all references of this kind and platform that are too many to tell apart.
    pub fn others(self, platform: &Code) -> Self {
        let digest = sha256(&[b"mandate requested_by v1 others\n", platform.as_str().as_bytes()]);
        match self {
            Self::Key(_) => self,
            Self::Job(_) => Self::Job(digest),
            Self::Person(_) => Self::Person(digest),
        }
    }

    pub const fn kind(self) -> SubjectKind {
        match self {
            Self::Key(_) => SubjectKind::Key,
            Self::Job(_) => SubjectKind::Job,
            Self::Person(_) => SubjectKind::Person,
        }
    }

    /// How it stands in tables, entries and answers.
    pub fn text(self) -> String {
        match self {
            Self::Key(key) => key.to_string(),
            Self::Job(digest) | Self::Person(digest) => digest.to_string(),
        }
    }
}

/// Who stood behind a request, as the platform says.
#[derive(Debug, Clone, Copy)]
pub struct Requester<'a> {
    /// staff, user or job.
    pub kind: &'a str,
    /// The pseudonymous reference.
    pub reference: &'a str,
}

/// One request at the gate, as it is counted.
#[derive(Debug, Clone, Copy)]
pub struct Touch<'a> {
    /// The key that asked.
    pub key: ApiKeyId,
    /// Its platform.
    pub platform: &'a Code,
    /// Who stood behind it, where the request says so.
    pub requested_by: Option<Requester<'a>>,
    /// The customer, or [`Touch::nobody`].
    pub customer: Uuid,
    /// Records that were asked for, at most.
    pub rows: u64,
}

impl Touch<'_> {
    /// What stands for a name that no customer has: a guess is a touch as well.
    #[must_use]
    pub fn nobody(name: &str) -> Uuid {
        let digest = sha256(&[b"mandate nobody v1\n", name.as_bytes()]);
        let mut half = [0; 16];
        half.copy_from_slice(&digest.0[..16]);
        Uuid::from_bytes(half)
    }
}

/// What was counted within the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Different customers.
    pub customers: u64,
    /// Records.
    pub rows: u64,
}

/// What is normal in an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Normal {
    /// Different customers.
    pub customers: u64,
    /// Records.
    pub rows: u64,
}

/// A subject that is above normal.
#[derive(Debug, Clone)]
pub(super) struct Suspect {
    pub subject: Subject,
    pub platform: Code,
    pub counts: Counts,
    pub normal: Normal,
    pub level: Level,
    pub since_at: Instant,
}
