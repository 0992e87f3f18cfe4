//! All SQL of who acts.

mod authority;
mod credential;
mod customer;
mod first_signatory;
mod invitation;
mod key;
mod member;
mod ops_person;
mod ops_recovery;
mod recovery;
mod sealing;
mod second_factor;
mod session;
mod slowdown;

pub use authority::{Signatory, anyone_with_authority, held, ops_stepped_up, signatory};
pub(super) use authority::{anyone_stepped_up, end_authority, fresh_step_up, insert_authority, people_elsewhere};
pub(super) use credential::{
    Binding, Credential, accepted_memberships_of, credential_of_email, credential_of_member, credential_of_ops_email,
    credential_of_ops_person, memberships_of,
};
pub(super) use customer::{contacts_for_ops, own_customer, unknown_units};
pub(super) use first_signatory::{
    FirstSignatory, agreement_contact, approve_first_signatory, customer_name, first_signatories, first_signatory, insert_first_signatory,
    notified, withdraw_first_signatory,
};
pub(super) use invitation::{Invitee, accept, insert_invitation, open_invitation, person_for_invitation};
pub(super) use key::{
    ApiKey, FoundKey, KeyHolder, NewKey, NormalOfKey, approve_key, insert_key, key, key_by_text, keys, live_keys, maker_of_key,
    platform_exists, revoke_key, state_unconfirmed, used_key,
};
pub(super) use member::{Enroller, Member, end_membership, insert_membership, member, members, to_be_told};
pub use ops_person::two_persons;
pub(super) use ops_person::{
    OpsPerson, admit, demand_confirmed, end_ops_person, insert_ops_person, ops_people, ops_person, ops_persons_exist, ops_to_be_told,
    other_staff, others_in_role, staff_to_be_told,
};
pub(super) use ops_recovery::{
    OpsRecoveryView, approve_ops_recovery, insert_ops_recovery, open_ops_recovery, ops_recoveries, ops_recovery, ops_recovery_notified,
    recover_ops_person, withdraw_ops_recovery,
};
pub(super) use recovery::{
    AccountRecoveryView, approve_recovery, authority_suspended, confirm_authority, insert_recovery, open_recovery, person_of_membership,
    recover_person, recoveries, recovery, recovery_notified, suspend_authority, withdraw_recovery,
};
pub use sealing::{Sealing, reseal_secrets, sealed_secrets};
pub use second_factor::last_step_of;
pub(super) use second_factor::{
    FactorInUse, StoredFactor, begin_email_change, begin_factor, begun_factor, change_email, change_password, confirm_factor,
    factor_in_use, renew_codes, use_recovery_code, use_step,
};
pub(super) use session::{
    Holder, Session, insert_session, member_session, ops_session, revoke_session, session, sessions, step_up, used_session,
};
pub(super) use slowdown::{Act, Attempt, attempt, cleared, failed, undone};
