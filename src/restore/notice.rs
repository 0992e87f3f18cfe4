//! What a customer is told of a restore, at once: which entries of its log are missing, between which
//! times they were made, and what to do.

use super::decide::has_lost;
use crate::base::{Instant, Result, TypedId as _};
use crate::customer::tell_customer;
use crate::db::WriteTx;
use crate::evidence::EndedEpoch;

use super::store::Restore;

const SUBJECT: &str = "Entries of your log are missing: confirm your state";

/// Tells a customer whose state is unconfirmed; `last_at`: the time of the last entry that is here.
pub(super) async fn tell(tx: &mut WriteTx, restore: &Restore, ended: &[EndedEpoch], last_at: Instant) -> Result<()> {
    let now = tx.now();
    let missing = ended.iter().filter(|ended| ended.has_lost()).map(|ended| match ended.missing {
        Some((from, until)) => {
            format!("Entries {from} to {until} of the epoch {} of your log ({} entries) are missing.\n", ended.epoch, until - from + 1)
        }
        None => format!("How many entries of the epoch {} of your log are missing is not known.\n", ended.epoch),
    });
    let what = if has_lost(ended) {
        format!(
            "{}They were made after {last_at} and before {now}. What was signed, withdrawn or changed in them is not known to the service:\n\
             an instruction that you withdrew then may look as if it were in force.\n\n\
             Until your institution has confirmed its state\n\
             - every export is refused (state_unconfirmed), and every permit from before is void;\n\
             - nobody of your institution can act, and its API keys are refused.\n\n\
             What to do, in this order:\n\
             1. Ask the processor to give the account of a person with authority over people back (account recovery): two of\n\
                its staff must agree, your agreement's contact is told, and 72 hours pass.\n\
             2. That person confirms the authority of the others, ends that of whoever must not have it, and revokes keys.\n\
             3. A person with export authority looks through the instructions, withdraws what must not be in force, and\n\
                confirms the state: POST /api/v1/evidence/state-confirmations.\n\n\
             Passwords and second factors are those of the backup: whoever changed one since changes it again.\n\
             If you hold a pack of evidence or a checkpoint from that time, keep it: it shows what is missing.\n",
            missing.collect::<String>()
        )
    } else {
        "Your own log is whole. The registry, which holds what is true for all customers, lost entries. Until a person of your\n\
         institution with export authority confirms your state, every export is refused (state_unconfirmed):\n\
         POST /api/v1/evidence/state-confirmations.\n"
            .to_owned()
    };
    let body = format!("On {now} the processor's database was restored from a backup.\n\n{what}");
    tell_customer(tx, "state_unconfirmed", restore.id.uuid(), SUBJECT, body).await
}
