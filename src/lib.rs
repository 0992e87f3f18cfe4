//! Mandate: no mandate, no data. This page is the architecture of the project: what it is, its
//! words, how a request walks through it, where things live, and what must always hold.
//!
//! # Bird's eye
//!
//! A company runs school platforms and processes personal data *for* institutions. Mandate is the
//! control plane that makes its promises true: it records what each institution has instructed in
//! writing, stands in the way of every export, and keeps evidence that the institution can check.
//! It is one process (`mandate serve`) on one Postgres database, with four surfaces: institutions
//! (`/api/v1`), the processor's staff (`/api/admin/v1`), platforms (`/gate/v1`), and anyone
//! (`/docs`, `/openapi.json`, `/.well-known/jwks.json`).
//!
//! # Words
//!
//! They are the law's. A *customer* is an institution, a data controller, and a tenant. The
//! *processor* runs the *platforms*; its staff are *ops*. An *agreement* (GDPR Art. 28(3)) is
//! between the two, per platform. An *instruction* (Art. 28(3)(a)) is what an authorised person of
//! the customer has told us in writing; its *document* is the original bytes. An *export* is one
//! hand-out of personal data; a *permit* is the signed capability to make it. An *entry* is one
//! event in an append-only log; a *receipt* says where it stands. No type is called a controller or
//! a processor for what a framework would call so: both words are taken.
//!
//! # One request, from the socket to the log
//!
//! `POST /gate/v1/exports` from a platform:
//!
//! 1. [`http`] finds the route in the table ([`app::table`]); its guard authenticates the key and
//!    refuses whom the route does not name. A task of its own runs the handler to its end, or to
//!    twice the client's deadline, even if the client leaves: a dropped future could return a
//!    connection inside an open transaction. The guard also keeps the conventions that the table
//!    says: idempotency keys, entity tags, lists as CSV, rates.
//! 2. The handler (`export::api`) reads the body: all faults at once, or a typed request.
//! 3. `export::gate` begins: the registry's lock in shared form, the customer's head `FOR UPDATE`,
//!    and only then `now` and the facts. Whoever changes a customer's facts takes the same head
//!    first, so a revocation that was answered before is seen, and one that was not waits.
//! 4. [`export::decide_export`] is pure: request, facts, `now` in; a [`export::Grant`] or every
//!    reason out. A grant can be made nowhere else.
//! 5. The event is appended to the customer's log ([`evidence`]), refusals too; the same pure
//!    `apply` takes it into the facts in memory. Then the rows, the head, one COMMIT.
//! 6. After the commit the permit is signed and answered; a refusal is answered as a problem that
//!    says for each reason what it means and what to do.
//!
//! A refusal is a result and not an error until after the commit: an `Err` would roll back the
//! proof of the refusal. The permit's redemption and each chunk take the same way: a running export
//! asks before each chunk leaves, and stops with the mandate.
//!
//! # Code map
//!
//! | folder | what it is |
//! |---|---|
//! | [`base`] | shared words: ids, time, entropy, text, scopes, faults, errors; no I/O |
//! | [`db`] | pools per role, tenant transactions, migrations, boot guard, the private server |
//! | [`http`] | the route table and its router, guards, problems, bodies, documentation |
//! | [`evidence`] | the logs: events, append, facts and `apply` |
//! | [`registry`] | facts that hold for all customers: code lists, EEA membership, platforms |
//! | [`identity`] | persons, memberships, authority, sessions, second factors, API keys, the first signatory, recovery |
//! | [`customer`] | customers, units, suspensions |
//! | [`document`] | original bytes of what was written |
//! | [`agreement`] | data processing agreements and their parameters |
//! | [`instruction`] | written instructions, their versions, contests; recipients |
//! | [`export`] | the gate: decide, permits and their keys, redemption, chunks, endings, sweep, replay |
//! | [`log`] | the logs as read: proofs, checkpoints, receipts, tiles; the keys of the logs |
//! | [`pack`] | a customer's evidence as one file: its maker and its verifier |
//! | [`fsck`] | the logs checked where they are kept: heads, tiles, commitments, effects both ways; quarantine |
//! | [`erasure`] | what is taken away when its time is over, by a login that the service never has |
//! | [`restore`] | after a restore: epochs, void permits, what is unconfirmed and who confirms it |
//! | [`alarm`] | unusual activity at the gate: counting, alarms |
//! | [`operation`] | slow work: rows, jobs, results; the kinds live in their features |
//! | [`delivery`] | messages in the transaction of the act they tell of, and the worker that sends them |
//! | [`demo`] | the world a newcomer starts with, loaded through the same routes |
//! | [`config`], [`cli`] | configuration in layers; one file per command |
//! | [`app`] | the program of these parts: the only file that knows every feature |
//!
//! A feature is one folder: `mod.rs` (what it is, its routes), `model.rs` and `decide.rs` (pure),
//! `store.rs` (all its SQL), `api.rs` (handlers). A handler calls its store; there is no layer
//! between. `tests/tidy` reads the `use` lines and holds who may know what.
//!
//! # What must always hold
//!
//! - No effect without its entry, no entry without its effect: one transaction. There are two ways
//!   to commit: with an entry (`evidence::finish`), or as housekeeping (`db::Housekeeping`: last
//!   use, sessions, attempts).
//! - Every transaction that writes a customer's facts locks that customer's head first; the
//!   registry before heads, heads in id order. The head's order *is* the order of decisions.
//! - No query without a tenant: transactions begin in [`db`] only and carry one; row level security
//!   is forced; the service never connects as the owner; the boot guard reads the catalogue and
//!   refuses to serve otherwise.
//! - Another customer's id and an absent id give the same bytes.
//! - What was signed or decided never changes: no grant allows it, and what is set once is set once
//!   by trigger. The database refuses by itself a permit, redemption or chunk that is not in force.
//! - A COMMIT without an answer is looked up under the head, never repeated blindly. A request that is
//!   sent again has its effect once: the effect's COMMIT marks the key.
//! - No signature without step-up by password and second factor; two persons of the staff where one
//!   could be stolen, and a newcomer of 72 hours is neither of them.
//! - What staff tries on a customer and is refused is an entry of that customer's log.
//! - A checkpoint lies outside the database before an act that is not the gate's is answered; within ten
//!   seconds for the gate's.
//! - A log that fails a check stands still, and the others go on; a start checks what was added since the last.
//! - Nothing is erased but by an entry that names it, in the entry's transaction, and only what is over.
//! - What is erased stands on a list outside the database before the erasure commits, or it is not erased; after a
//!   restore the eraser, never the service, erases it again.
//! - While a restore is taken in nothing is recorded but the opening of epochs; what was permitted before is void, and
//!   nothing that was pending before can be used.
//! - A process serves the database that it began with, by system identifier and timeline, and no other.
//! - Strangers, neighbours and one stolen token cannot take the places of those who stop an export.
//! - Every answer with an error is a problem. What is no request yet (a malformed line or header, more
//!   than 100 headers, more than 64 KiB of them) hyper answers by itself, with 400 or 431 and no body.
//! - Subjects are references, never names, and stand in columns of their own, apart from records.
//! - No personal data, secret or text of a request in a log line, metric or error.
//!
//! # Where this differs from the first plan, and why
//!
//! - The boundary between `evidence` and `export`: facts and `apply` live in [`evidence`], the
//!   decision and replay in [`export`]. Replay needs both, and `evidence` may know no feature.
//! - `tests/tidy` is a folder: one file would have passed the limit that it holds others to.
//! - Entries keep the root of the tree they complete (32 bytes), so that a repeated answer carries
//!   the receipt it carried first without recomputing a tree.
//! - Eleven reasons of refusal joined the list: `answer_too_old`, `permit_expired`,
//!   `permit_redeemed`, `permit_aborted`, `permit_borrowed`, `permit_altered`,
//!   `permit_key_withdrawn`, and for chunks `permit_not_redeemed`, `export_closed`,
//!   `chunk_repeated`, `volume_exceeds_permit`. A refused redemption or chunk is a decision like any
//!   other and needs a reason that replay can find again.
//! - Events of permit keys stand in the processor's log and in the registry's: decisions rest on
//!   them, and replay has the registry.
//! - The gate writes under READ COMMITTED only: a platform's suspension changes no customer's head,
//!   so that no snapshot isolation could see it. The triggers refuse every other.
//! - A batch of completions is one transaction and entry for each customer, so that it never holds
//!   a thousand heads; its key stands first in the platform's log.
//! - A platform's key takes two ops persons: one who makes keys alone could ask for everything that
//!   standing instructions cover.
//! - Only successes are kept under an idempotency key, sealed under a key derived from it: a refusal
//!   had no effect, and what the server cannot read it cannot leak.
//! - A completion that comes after the sweep is recorded and answered 201: a platform's job must be able
//!   to stop trying, and the customer who was told that nothing was reported must hear otherwise.
//! - The secrets key is exchanged by a command with the owner's login, since no role of the service may
//!   change a secret; which key a secret is under shows by opening it, so that a run can be cut off.
//! - Who can do it alone for the whole institution (lift its stop, accept or end its agreement, manage
//!   its people) has the authority for all its units.
//! - Proofs and notes are our own code: the libraries bind another version of the signature crate. A test
//!   holds them against a second implementation.
//! - A signed receipt is a C2SP `tlog-proof`: path and signed checkpoint, so that no second kind of signed
//!   statement exists. Signed checkpoints have no table: each entry keeps its root, and what shows a restore
//!   is the file outside.
//! - A pack's manifest is signed; permits are no file of their own, since the service keeps no permit text.
//! - After a restore with a shorter registry every customer is unconfirmed at the gate; people are suspended only
//!   where the customer's own log lost entries. A void permit is so by its epoch: no row is changed for it.
//! - Entries that are supplied after a restore are evidence and never state: replay would else decide on what the
//!   gate did not know. What they ended is demanded before the state can be confirmed, not repeated by the service.
//! - Where nothing is kept outside it is not known that nothing is missing: that log is unconfirmed after a restore,
//!   and a database with customers does not begin where one of them has entries and no checkpoint outside.
//! - A log that went on after a restore nobody had noticed is quarantined by the first checkpoint it contradicts. A
//!   start takes that for no restore, since it may be tampering; a declared restore names what was lost beyond the fork.
//! - Where the processor's log or the registry lost entries, the gate is closed until operations confirms who and what
//!   counts (`mandate restore confirm`): no customer can know which key or platform had been stopped.
//! - Callers of an unconfirmed state are refused by default; what is open to them is a mark on the route.
//! - A notice goes without a checkpoint rather than not at all, and says so.
//! - The hash of a request is keyed with its idempotency key, so that nobody without the key can try a guess.
//! - More than subjects is erased: a hash of them whose salt stays, and the hash of a whole request, would let
//!   anybody with a list of names try them. A key that is asked again after that gets 422.
//! - Packs made before an erasure go with it: they hold what is erased. Bytes of documents have days of their
//!   own, counted from when nothing needs them; what was signed waits for deletion orders.
//! - The check of a log's head is planned once for all logs: the planner's own choice was to plan it anew for
//!   every entry, which cost more than the entry.
//! - At a signal new connections are refused at once: whoever is refused can go elsewhere safely.
//! - Rules 1 changed before the first release (restricted groups that are left out, agreements that
//!   never were in force); from the release on a change gets a number of its own.
//! - `recipient_outside_residency` says that no instruction gives a ground for the transfer;
//!   `third_country_not_instructed` says that the instruction gives another one than the request.
//! - The list of restricted selectors in the answer of a *redemption* holds; the permit's is what
//!   was known when it was issued. A restriction that begins in between is thus never missed.
//! - The demo world is loaded through the routes themselves, with a clock of its own, so that no
//!   second way to make a signature or an acceptance exists.

pub mod agreement;
pub mod alarm;
pub mod app;
pub mod base;
pub mod cli;
pub mod config;
pub mod customer;
pub mod db;
pub mod delivery;
pub mod demo;
pub mod document;
pub mod erasure;
pub mod evidence;
pub mod export;
pub mod fsck;
pub mod http;
pub mod identity;
pub mod instruction;
pub mod log;
pub mod operation;
pub mod pack;
pub mod registry;
pub mod restore;
