//! What each event says in plain words, for people who read the log: one sentence for each type. A
//! type without a sentence does not compile. Whose data it is about is never said here.

use crate::evidence::Event;

macro_rules! sentences {
    ($($variant:ident { $($field:ident),* } => $text:literal;)*) => {
        /// The sentence of an event.
        #[must_use]
        pub fn summary(event: &Event) -> String {
            match event {
                $(Event::$variant { $($field,)* .. } => format!($text),)*
            }
        }
    };
}

sentences! {
    ReferenceLoaded { list } => "The code list {list} was loaded.";
    PlatformRegistered { platform } => "The platform {platform} was registered.";
    PlatformSuspended { platform } => "Every export from {platform} was stopped by the processor.";
    PlatformReleaseProposed { suspension } => "One person of the processor's staff proposed to end the stop {suspension}; a second must agree.";
    PlatformReleased { suspension } => "The stop {suspension} of a platform was ended by a second person of the processor's staff.";
    OpsPersonProposed { ops_person } => "{ops_person} was proposed as a person of the processor's staff.";
    OpsPersonAddedAlone { ops_person } => "{ops_person} was added to the processor's staff by the only person there was.";
    OpsPersonAdded { ops_person, role } => "{ops_person} was added to the processor's staff as {role}.";
    OpsPersonEnded { ops_person } => "The access of {ops_person} ended.";
    OpsPersonFactorChanged { ops_person } => "{ops_person} enrolled a second factor.";
    OpsPersonPasswordChanged { ops_person } => "{ops_person} changed the password.";
    OpsPersonEmailAsked { ops_person } => "{ops_person} asked for another e-mail address.";
    OpsPersonEmailChanged { ops_person } => "{ops_person} proved another e-mail address, which holds from here on.";
    OpsPersonRecoveryCodesRenewed { ops_person } => "{ops_person} took new recovery codes; the old ones ended.";
    OpsRecoveryProposed { ops_person } => "The return of {ops_person}, who lost the way in, was proposed.";
    OpsRecoveryApproved { ops_recovery } => "The return {ops_recovery} was approved by a second person of the processor's staff.";
    OpsRecoveryNotified { ops_recovery } => "The notice of the return {ops_recovery} was delivered to the person's own address.";
    OpsRecoveryWithdrawn { ops_recovery } => "The return {ops_recovery} was withdrawn.";
    OpsPersonRecovered { ops_person } => "{ops_person} came back with a new password.";
    MessageUndeliverable { message, purpose } => "The message {message} ({purpose}) can never be delivered.";
    OpsPersonRecoveryCodeUsed { ops_person, left } => "{ops_person} used a recovery code; {left} are left.";
    LogQuarantined { log, cause } => "The log {log} failed a check, and nothing is recorded in it until it was examined: {cause}.";
    LogQuarantineEnded { log } => "The log {log} was examined and found whole; it is open again.";
    EpochOpened { ground } => "The data of the service was restored from a backup ({ground}), and the log opened another epoch: everything permitted before is void.";
    EntriesSupplied { epoch, from, until } => "Entries {from} to {until} of the epoch {epoch}, which a restore had lost, were supplied from a pack of evidence.";
    StateConfirmed { epoch, membership } => "{membership} confirmed the state with which the epoch {epoch} began.";
    ProcessorStateConfirmed { epoch } => "Operations confirmed the state with which the epoch {epoch} began.";
    ProcessorKeyCreated { api_key, surface } => "The key {api_key} was made for the {surface} surface.";
    ProcessorKeyRevoked { api_key } => "The key {api_key} was revoked.";
    PermitKeyPublished { kid } => "The public key {kid} for permits was published.";
    PermitKeyActivated { kid } => "The key {kid} signs permits from here on.";
    PermitKeyRetired { kid, needed_until_at } => "The key {kid} signs no more permits; its last ones end at {needed_until_at}.";
    PermitKeyWithdrawn { kid } => "The key {kid} was withdrawn: its permits are refused.";
    LogKeyPublished { kid } => "The public key {kid} of the logs was published.";
    LogKeyActivated { kid } => "The key {kid} signs the checkpoints of the logs from here on.";
    LogKeyWithdrawn { kid } => "The key {kid} of the logs was withdrawn: of what it signed, only what was kept elsewhere before counts.";
    ProcessorKeyApproved { api_key, platform } => "The key {api_key} of {platform} was approved by a second person of the processor's staff.";
    UnusualActivity { platform, customers, rows } => "Unusual activity at {platform}: {customers} customers and {rows} records were asked for.";
    ExternalIdAppeared { customer, external_id } => "{customer} is known to the platform as {external_id}.";
    UnknownRefused {} => "A request for a customer that is not known was refused.";
    CompletionsReceived { count } => "The platform reported {count} exports as complete.";
    CustomerRegistered { kind } => "The institution was registered as {kind}.";
    UnitsAdded {} => "Units were added.";
    CustomerSuspended { suspension, made_by } => "Every export was stopped by {made_by} ({suspension}).";
    CustomerReleaseProposed { suspension } => "The processor proposed to end the stop {suspension}; a second person must agree.";
    CustomerReleased { suspension } => "The stop {suspension} ended.";
    OpsAttemptRefused { operation, status } => "A person of the processor's staff tried {operation} and was refused ({status}).";
    FirstSignatoryProposed { first_signatory } => "A first signatory was proposed by the processor ({first_signatory}).";
    FirstSignatoryApproved { membership } => "The first signatory {membership} was approved by a second person of the processor's staff, and invited.";
    FirstSignatoryNotified { membership, authority_begins_at } => "The agreement's contact was told of the first signatory {membership}, whose authority begins at {authority_begins_at}.";
    FirstSignatoryWithdrawn { first_signatory } => "The first signatory was withdrawn before any authority began ({first_signatory}).";
    FirstSignatoryNoticeVoid { first_signatory } => "A notice about a first signatory came after its withdrawal: no authority follows ({first_signatory}).";
    MembershipBegan { membership, role } => "{membership} became a member as {role}.";
    MembershipEnded { membership } => "The membership of {membership} ended.";
    AuthorityGranted { membership, kind, begins_at } => "{membership} may instruct ({kind}) from {begins_at} on.";
    AuthorityEnded { membership, kind } => "{membership} may no longer instruct ({kind}).";
    PersonFactorChanged { membership } => "{membership} enrolled a second factor.";
    PersonPasswordChanged { membership } => "{membership} changed the password.";
    PersonEmailAsked { membership } => "{membership} asked for another e-mail address.";
    PersonEmailChanged { membership } => "{membership} proved another e-mail address, which holds from here on.";
    PersonRecoveryCodesRenewed { membership } => "{membership} took new recovery codes; the old ones ended.";
    PersonRecoveryCodeUsed { membership, left } => "{membership} used a recovery code; {left} are left.";
    AccountRecoveryProposed { membership } => "The recovery of the account of {membership} was proposed by the processor.";
    AccountRecoveryApproved { account_recovery } => "The recovery {account_recovery} was approved by a second person of the processor's staff.";
    AccountRecoveryNotified { membership } => "The agreement's contact was told of the recovery of the account of {membership}.";
    AccountRecoveryWithdrawn { account_recovery } => "The recovery {account_recovery} was withdrawn.";
    PersonRecovered { membership } => "{membership} came back with a new password.";
    AuthorityConfirmed { membership } => "The authority of {membership} holds again after a recovery.";
    ApiKeyCreated { api_key, role } => "The key {api_key} was made with the role {role}.";
    ApiKeyRevoked { api_key } => "The key {api_key} was revoked.";
    DocumentStored { document, length } => "The document {document} of {length} bytes was stored.";
    AgreementPrepared { agreement, version, platform } => "Version {version} of the agreement {agreement} for {platform} was prepared.";
    AgreementOffered { agreement } => "The agreement {agreement} was offered.";
    AgreementAccepted { agreement, version, membership } => "{membership} accepted version {version} of the agreement {agreement}.";
    AgreementTerminated { agreement, in_force_until_at } => "The agreement {agreement} was terminated; it ends at {in_force_until_at}.";
    InstructionDrafted { instruction, version } => "Version {version} of the instruction {instruction} was drafted; a draft has no force.";
    InstructionSigned { instruction, version, membership } => "{membership} signed version {version} of the instruction {instruction}.";
    InstructionRevoked { instruction, membership } => "{membership} withdrew the instruction {instruction}.";
    InstructionContested { instruction, version } => "The processor said that version {version} of the instruction {instruction} appears to infringe the law (GDPR Art. 28(3)).";
    InstructionConfirmed { instruction, version, membership } => "{membership} confirmed version {version} of the instruction {instruction} in writing.";
    RecipientAdded { recipient, country } => "The recipient {recipient} in {country} was added to the address book.";
    ExportPermitted {} => "The gate permitted an export.";
    ExportRefused {} => "The gate refused an export.";
    ExportTried {} => "A dry run was answered; nothing was permitted.";
    ExportRedeemed { export } => "The permit of the export {export} was redeemed: the export began.";
    RedemptionRefused { export } => "The redemption of the permit of the export {export} was refused.";
    ExportPermittedSingle {} => "The gate permitted and began an export in one call.";
    ChunkAuthorised { export } => "The next part of the export {export} was let go.";
    ChunkRefused { export } => "The next part of the export {export} was held back.";
    ExportCompleted { export } => "The export {export} was reported complete.";
    ExportsCompleted {} => "Exports were reported complete, several at once.";
    ExportAborted { export } => "The export {export} was aborted.";
    ExportSwept { export } => "The export {export} had never ended and was closed by the service.";
    ExportReportedLate { export } => "The export {export} was reported complete after it had been closed.";
    SubjectsErased { ground } => "References to persons were erased from entries of this log, on the ground {ground}.";
    RequestsErased { ground } => "Hashes of requests were erased from entries of this log, on the ground {ground}.";
    DocumentErased { document, ground } => "The bytes of the document {document} were erased, on the ground {ground}; its hash stays.";
}
