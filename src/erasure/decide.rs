//! What a restore brought back of what was erased: the list outside the database, against what the log
//! says was erased and how far it reaches. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::list::Line;
use crate::base::{Code, Digest, DocumentId};
use crate::evidence::Event;

/// What a customer's log holds.
#[derive(Debug, Clone, Default)]
pub struct Here {
    /// Number of entries, by epoch.
    pub sizes: BTreeMap<u32, u64>,
    /// The erasures that it tells of.
    pub erasures: Vec<Event>,
    /// The documents that were stored.
    pub documents: BTreeSet<DocumentId>,
}

/// What is to be erased again of one customer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Again {
    /// Indices of entries, by ground and epoch.
    pub subjects: BTreeMap<(Code, u32), Vec<u64>>,
    /// Documents, with their hash and the ground.
    pub documents: BTreeMap<DocumentId, (Digest, Code)>,
    /// How many entries and documents the list names that are not here.
    pub absent: u64,
}

impl Again {
    /// How many lists of subjects and documents.
    #[must_use]
    pub fn count(&self) -> u64 {
        (self.subjects.values().map(Vec::len).sum::<usize>() + self.documents.len()) as u64
    }
}

/// Compares the list with what is here. What the log says was erased is gone: the database commits no
/// such entry otherwise.
#[must_use]
pub fn again<'l>(listed: impl IntoIterator<Item = &'l Line>, here: &Here) -> Again {
    let (mut entries_gone, mut documents_gone) = (BTreeSet::new(), BTreeSet::new());
    for event in &here.erasures {
        match event {
            Event::SubjectsErased { entries, .. } => entries_gone.extend(entries.iter().copied()),
            Event::DocumentErased { document, .. } => drop(documents_gone.insert(*document)),
            _ => {}
        }
    }
    let mut again = Again::default();
    for line in listed {
        match &line.event {
            Event::SubjectsErased { entries, ground } => {
                for (epoch, index) in entries.iter().filter(|entry| entries_gone.insert(**entry)) {
                    if here.sizes.get(epoch).is_some_and(|size| index < size) {
                        again.subjects.entry((ground.clone(), *epoch)).or_default().push(*index);
                    } else {
                        again.absent += 1;
                    }
                }
            }
            Event::DocumentErased { document, document_sha256, ground } if documents_gone.insert(*document) => {
                if here.documents.contains(document) {
                    again.documents.insert(*document, (*document_sha256, ground.clone()));
                } else {
                    again.absent += 1;
                }
            }
            _ => {}
        }
    }
    again
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{CustomerId, sha256};
    use uuid::Uuid;

    fn subjects(ground: &str, entries: &[(u32, u64)]) -> Event {
        Event::SubjectsErased { entries: entries.to_vec(), ground: ground.parse().unwrap() }
    }
    fn document(number: u128) -> Event {
        let document = DocumentId::from(Uuid::from_u128(number));
        Event::DocumentErased { document, document_sha256: sha256(&[b"d"]), ground: Code::fixed("retention") }
    }
    fn line(event: Event) -> Line {
        Line { log: CustomerId::from(Uuid::from_u128(1)), epoch: 1, index: 9, event, kinds: BTreeMap::new() }
    }

    #[test]
    fn what_is_listed_and_here_and_not_erased_is_erased_again_once() {
        let listed = [
            line(subjects("retention", &[(1, 2), (1, 3), (2, 0)])),
            line(subjects("order", &[(1, 3), (1, 7), (1, 8)])),
            line(document(1)),
            line(document(1)),
            line(document(2)),
            line(document(3)),
        ];
        let mut here = Here { sizes: BTreeMap::from([(1, 8)]), ..Here::default() };
        here.documents = [1, 2].map(|number| DocumentId::from(Uuid::from_u128(number))).into();
        here.erasures = vec![subjects("retention", &[(1, 2)]), document(2)];
        let found = again(&listed, &here);
        let grounds: Vec<_> =
            found.subjects.iter().map(|((ground, epoch), indices)| (ground.as_str(), *epoch, indices.as_slice())).collect();
        assert_eq!(grounds, [("order", 1, [7].as_slice()), ("retention", 1, [3].as_slice())]);
        assert_eq!(found.documents.len(), 1);
        assert_eq!((found.count(), found.absent), (3, 3), "(2, 0), (1, 8) and the third document are not here");
        // Negative control: without the list nothing is.
        assert_eq!(again(&[], &here), Again::default());
        // All of it is once it was done.
        here.erasures.extend(listed.iter().map(|line| line.event.clone()));
        assert_eq!(again(&listed, &here), Again::default());
    }
}
