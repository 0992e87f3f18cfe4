//! Typed ids: a `UUIDv7` with a prefix that says what it names (`ins_…`, `exp_…`).
//! One registry of prefixes, so that an id of one kind can never be taken for another.
//! Secrets are never ids.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// An id with a kind. Text form: `<prefix>_<32 lower-case hexadecimal digits>`.
pub trait TypedId: Copy + From<Uuid> {
    /// The prefix of the text form, without the underscore.
    const PREFIX: &'static str;
    /// The bare UUID.
    fn uuid(self) -> Uuid;
}

/// The text was not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct NotAnId;

fn parse(prefix: &str, text: &str) -> Result<Uuid, NotAnId> {
    let hex = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).ok_or(NotAnId)?;
    let canonical = hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !canonical {
        return Err(NotAnId);
    }
    Uuid::try_parse(hex).map_err(|_| NotAnId)
}

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(Uuid);

            impl TypedId for $name {
                const PREFIX: &'static str = $prefix;
                fn uuid(self) -> Uuid { self.0 }
            }
            impl From<Uuid> for $name {
                fn from(id: Uuid) -> Self { Self(id) }
            }
            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, concat!($prefix, "_{}"), self.0.simple())
                }
            }
            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
            }
            impl FromStr for $name {
                type Err = NotAnId;
                fn from_str(text: &str) -> Result<Self, NotAnId> { parse($prefix, text).map(Self) }
            }
            impl serde::Serialize for $name {
                fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.collect_str(self) }
            }
            impl<'de> serde::Deserialize<'de> for $name {
                fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                    text.parse().map_err(serde::de::Error::custom)
                }
            }
            impl utoipa::PartialSchema for $name {
                fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                    super::text::string_schema(concat!("^", $prefix, "_[0-9a-f]{32}$"), 33 + $prefix.len())
                }
            }
            impl utoipa::ToSchema for $name {}
            impl super::Decode for $name {
                fn decode(value: &serde_json::Value, at: &super::Pointer, faults: &mut super::Faults) -> Option<Self> {
                    super::decode::parsed(value, at, faults, "id", concat!("must be an id of the form ", $prefix, "_…"))
                }
            }
        )*

        /// Calls a macro with every typed id, so that other modules can add traits to all of them.
        macro_rules! for_each_id {
            ($m:ident) => { $($m!($name);)* };
        }
        pub(crate) use for_each_id;
    };
}

typed_ids! {
    /// A customer, which is a tenant and the name of its log.
    CustomerId = "cus";
    /// A person at customers.
    PersonId = "per";
    /// A person's membership of one customer.
    MembershipId = "mem";
    /// A login session, of either surface.
    SessionId = "ses";
    /// An API key, of any surface.
    ApiKeyId = "key";
    /// A person of the processor's staff.
    OpsPersonId = "ops";
    /// The one-time path of a customer's first signatory.
    FirstSignatoryId = "fsg";
    /// An invitation to set a password.
    InvitationId = "inv";
    /// A second factor of a person of either surface.
    SecondFactorId = "fac";
    /// The way back into an account whose password or factor was lost.
    AccountRecoveryId = "rcv";
    /// The way back of a person of the processor's staff.
    OpsRecoveryId = "orc";
    /// An agreement (data processing agreement).
    AgreementId = "agr";
    /// The original bytes of something written.
    DocumentId = "doc";
    /// A written instruction.
    InstructionId = "ins";
    /// An entry of a customer's address book of recipients.
    RecipientId = "rec";
    /// A suspension of a customer or a platform.
    SuspensionId = "sus";
    /// A release of a suspension, proposed or in force.
    ReleaseId = "rel";
    /// A mark of an instruction as appearing to infringe the law.
    ContestId = "con";
    /// One hand-out of personal data.
    ExportId = "exp";
    /// One entry of a log.
    EntryId = "ent";
    /// One message to be sent.
    MessageId = "msg";
    /// An alarm of unusual activity at the gate.
    AlarmId = "alm";
    /// Slow work that somebody asked for.
    OperationId = "opn";
    /// A restore of the database that was taken in.
    RestoreId = "rst";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_another_kind_or_spelling_is_refused() {
        let text = "ins_0190a0b0c0d0700080000123456789ab";
        assert!(text.parse::<InstructionId>().is_ok());
        for wrong in [
            "exp_0190a0b0c0d0700080000123456789ab",
            "ins_0190A0b0c0d0700080000123456789ab",
            "ins_0190a0b0-c0d0-7000-8000-0123456789ab",
            "ins_",
            "",
        ] {
            assert!(wrong.parse::<InstructionId>().is_err(), "{wrong}");
        }
    }
}
