//! What each reason of a refusal means and what to do about it: the words a platform shows to the
//! person who pressed the button. Fixed text; it never repeats the request.

use crate::evidence::ReasonCode;
use crate::evidence::ReasonCode as R;

/// Code, what it means, what to do.
const ADVICE: &[(ReasonCode, &str, &str)] = &[
    (
        R::AgreementMissing,
        "There is no data processing agreement with this customer.",
        "Check the customer's id; if it is right, an agreement must be prepared, offered and accepted first.",
    ),
    (
        R::AgreementNotInForce,
        "The agreement for this platform is not in force now.",
        "Have an agreement accepted. After its end only a return of data (purpose return-at-end) on a written instruction is possible.",
    ),
    (R::CustomerSuspended, "Exports of this customer are suspended.", "Wait until the suspension is released by those who may release it."),
    (
        R::PlatformSuspended,
        "Exports of this platform are suspended.",
        "Wait until two persons of the processor have released the platform.",
    ),
    (R::PlatformNotCovered, "The customer has no agreement for this platform.", "Have an agreement for this platform accepted."),
    (
        R::NoWrittenInstruction,
        "The customer has not instructed this in writing.",
        "Ask a person of the customer with export authority to draft and sign an instruction that names platform, channel, purpose, categories, subjects and recipient.",
    ),
    (R::InstructionNotYetValid, "The instruction's window has not begun.", "Ask again when it has."),
    (R::InstructionExpired, "The instruction's window is over.", "Ask the customer to sign a new version."),
    (R::InstructionRevoked, "The customer has withdrawn the instruction.", "Do not export. Only a new signed instruction changes this."),
    (
        R::InstructionContested,
        "The instruction appears to infringe the law and is stopped.",
        "The customer must confirm it in writing, narrow it, or withdraw it.",
    ),
    (
        R::InstructionExhausted,
        "The one-time instruction is used, or held by an open permit.",
        "Redeem the open permit or let it expire; for another export the customer must sign another instruction.",
    ),
    (R::InstructionSuperseded, "A newer version of the instruction holds.", "Ask for what the newer version covers."),
    (
        R::StateUnconfirmed,
        "Data of the service was restored from a backup, and entries of the customer's log are missing: what was withdrawn in them is not known.",
        "Do not export. A person of the customer must confirm the state first; the customer was told how.",
    ),
    (R::PurposeProhibited, "This purpose can never be instructed.", "Do not export for this purpose. Nobody can allow it."),
    (R::PurposeNotInAgreement, "The agreement does not name this purpose.", "The agreement must be amended first."),
    (R::PurposeNotInstructed, "The instruction does not name this purpose.", "Ask the customer to sign a version that names it."),
    (
        R::CategoryNotInAgreement,
        "The agreement does not name one of the data categories.",
        "Leave the category out, or have the agreement amended.",
    ),
    (
        R::CategoryNotInstructed,
        "The instruction does not name one of the data categories.",
        "Leave the category out, or ask the customer to name it.",
    ),
    (
        R::SpecialCategoryNotNamed,
        "A special category of personal data is not named in the instruction.",
        "Leave it out, or ask the customer to name it expressly.",
    ),
    (
        R::SubjectsOutOfScope,
        "The instruction does not cover all the data subjects asked for.",
        "Ask for those it covers, or ask the customer to widen it.",
    ),
    (
        R::ChannelNotInstructed,
        "The instruction does not name this channel.",
        "Use an instructed channel, or ask the customer to name this one.",
    ),
    (
        R::RecipientNotNamed,
        "The instruction does not name this recipient.",
        "Ask the customer to name the recipient: legal entity, country and role.",
    ),
    (
        R::RecipientOutsideResidency,
        "The recipient is in a country outside what the agreement allows.",
        "The customer's own written instruction must name the country and the ground of the transfer.",
    ),
    (
        R::ThirdCountryNotInstructed,
        "The instruction names another ground for this transfer than the request.",
        "State the ground that the customer instructed, or ask the customer to sign a version with the right one.",
    ),
    (
        R::VolumeExceedsInstruction,
        "The volume passes the instruction's limit, or a limited dimension is not stated.",
        "State rows, files and bytes where they are limited, and stay within what is left.",
    ),
    (R::RestrictionInForce, "Processing of this data is restricted.", "Do not export it. The customer can lift its restriction."),
    (
        R::SubProcessorNotAuthorised,
        "The customer has not authorised this sub-processor's engagement.",
        "Do not hand out. The customer must authorise the engagement first.",
    ),
    (R::UnknownCode, "A code in the request is in no code list.", "Correct the code that the cause points at."),
    (R::AnswerTooOld, "This key was answered more than five minutes ago.", "Ask with a new Idempotency-Key."),
    (R::PermitExpired, "The permit has expired.", "Ask for a new permit."),
    (R::PermitRedeemed, "The permit was redeemed before.", "A permit serves once. Ask for a new one."),
    (R::PermitAborted, "The export was aborted.", "Ask for a new permit."),
    (
        R::PermitBorrowed,
        "The permit was issued to another platform.",
        "A permit serves the platform it was issued to. This attempt is recorded.",
    ),
    (
        R::PermitAltered,
        "The permit is not the one that was issued for this export.",
        "Present the permit unchanged. This attempt is recorded.",
    ),
    (
        R::PermitNotRedeemed,
        "No redeemed permit of this platform stands behind the chunk.",
        "Redeem the permit of the export first. This attempt is recorded.",
    ),
    (R::ExportClosed, "The export has ended.", "Nothing more of it may leave. Ask for a new permit for what is left."),
    (
        R::ChunkRepeated,
        "This chunk was authorised before under another key.",
        "Number each chunk once. To have a lost answer again, send the same request with the same Idempotency-Key within five minutes.",
    ),
    (
        R::VolumeExceedsPermit,
        "With this chunk more would leave than the permit allows, or a dimension that the permit states is not stated.",
        "State rows, files and bytes where the permit states them. For more than it allows, ask for another permit.",
    ),
    (
        R::PermitKeyWithdrawn,
        "The key that signed the permit was withdrawn.",
        "Send the request for the permit again with its own Idempotency-Key, or ask for a new permit: another key signs it.",
    ),
    (
        R::PermitVoid,
        "The permit is of a time before data of the service was restored from a backup, and is void.",
        "Stop what runs on it. Ask for a new permit with a new key.",
    ),
];

/// What the reason means, and what to do.
#[must_use]
pub fn advice(code: ReasonCode) -> (&'static str, &'static str) {
    ADVICE.iter().find(|(known, ..)| *known == code).map_or(("", ""), |(_, meaning, what_to_do)| (*meaning, *what_to_do))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Negative control: with a line of the table taken out, its code is named here.
    #[test]
    fn every_reason_says_what_it_means_and_what_to_do() {
        for code in ReasonCode::ALL {
            let (meaning, what_to_do) = advice(*code);
            assert!(meaning.ends_with('.') && what_to_do.ends_with('.'), "{code}");
        }
    }
}
