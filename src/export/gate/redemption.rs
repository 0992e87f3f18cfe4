//! A permit is used: once, by its own platform, unchanged, in time, and on fresh facts.

use super::{Answer, Asked, Batch};
use crate::base::{Error, ExportId, Result};
use crate::evidence::{Event, StoredEntry};
use crate::export::decide::{Decision, Presented, decide_redemption};
use crate::export::store;
use crate::export::verify::SignedPermit;

impl Batch {
    /// `first`: the entry that answered this key before.
    pub(super) async fn redemption(
        &mut self,
        asked: &Asked,
        id: ExportId,
        presented: Option<&SignedPermit>,
        first: Option<&StoredEntry>,
    ) -> Result<Answer> {
        let export = self.facts.exports.get(&id).cloned().ok_or(Error::NotFound)?;
        let issued = store::permit(self.tx.conn(), self.customer, id).await?;
        // What was issued may be erased; then the permit's signature alone says that it is ours.
        let intact = presented.is_some_and(|presented| issued.is_none_or(|issued| issued == presented.claims));
        let kid = presented.map(|p| p.kid.clone());
        let mut request = export.request.clone();
        request.subjects = store::kept(export.subjects.as_ref());
        let by = &asked.caller.platform;
        let permit = Presented { export: id, by, intact, kid: kid.as_deref(), first_at: first.map(|s| s.at) };
        let considered = decide_redemption(&permit, &request, self.view(), self.tx.now());
        let decision = self.record(asked, &request, &considered, first);
        match (considered.decision, first) {
            (Decision::Allow(grant), None) => {
                let event = Event::ExportRedeemed { export: id, presented_by: by.clone(), kid, decision };
                let receipt = self.append(asked, id, event, None, true).await?;
                let now = self.tx.now();
                store::running::redeem(self.tx.conn(), self.customer, &export, now).await?;
                Ok(Answer::Redeemed { export: Box::new(export), except: grant.except().to_vec(), receipt, again: false })
            }
            (Decision::Allow(grant), Some(first)) => {
                let receipt = first.receipt(&self.customer.to_string());
                Ok(Answer::Redeemed { export: Box::new(export), except: grant.except().to_vec(), receipt, again: true })
            }
            (Decision::Refuse(refusal), first) => {
                let event = Event::RedemptionRefused { export: id, presented_by: by.clone(), intact, kid, decision };
                let receipt = self.append(asked, id, event, None, first.is_none()).await?;
                Ok(Answer::Refused { refusal, receipt, again: false })
            }
        }
    }
}
