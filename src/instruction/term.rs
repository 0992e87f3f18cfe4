//! Terms by which the gate finds signed versions with equality alone: under row level security only
//! leakproof operators reach an index. Writer and reader share these functions.

use serde_json::json;

use crate::base::{Code, InstructionKind, Recipient, Scope, canonical, sha256};

/// The term of every restriction.
pub const RESTRICTION_TERM: &str = "kind:restriction";

/// The term of a purpose.
#[must_use]
pub fn purpose_term(purpose: &Code) -> String {
    format!("purpose:{purpose}")
}

/// The term of a recipient, its transfer ground left aside as in [`Recipient::same`].
#[must_use]
pub fn recipient_term(recipient: &Recipient) -> String {
    let same = json!({"legal_entity": recipient.legal_entity, "country": recipient.country, "role": recipient.role});
    format!("recipient:{}", sha256(&[&canonical(&same)]))
}

/// All terms of a scope, the same for each of its platforms, none twice.
#[must_use]
pub fn terms(kind: InstructionKind, scope: &Scope) -> Vec<String> {
    let mut terms: Vec<String> = scope.purposes.iter().map(purpose_term).chain(scope.recipients.iter().map(recipient_term)).collect();
    if kind == InstructionKind::Restriction {
        terms.push(RESTRICTION_TERM.to_owned());
    }
    terms.sort_unstable();
    terms.dedup();
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_that_are_the_same_have_one_term_and_others_do_not() {
        let recipient = |entity: &str, ground: Option<&str>| Recipient {
            legal_entity: entity.parse().unwrap(),
            country: Code::fixed("NO"),
            role: Code::fixed("archive"),
            transfer_ground: ground.map(|g| g.parse().unwrap()),
        };
        let (plain, grounded, other) = (recipient("A", None), recipient("A", Some("Art. 46")), recipient("B", None));
        assert!(plain.same(&grounded) && !plain.same(&other));
        assert_eq!(recipient_term(&plain), recipient_term(&grounded));
        assert_ne!(recipient_term(&plain), recipient_term(&other));
        assert_eq!(recipient_term(&plain).len(), "recipient:".len() + 64);
    }
}
