//! Tables of what may happen next: every state of a version, every act in every state, and when a
//! new version narrows a contested one.

use super::*;
use crate::base::sha256;
use crate::instruction::history::history;
use crate::instruction::model::{Confirmation, Content, Wording, Written};

fn at(text: &str) -> Instant {
    format!("2026-{text}T00:00:00Z").parse().unwrap()
}

fn scope() -> Scope {
    let code = |text: &'static str| [crate::base::Code::fixed(text)].into();
    Scope {
        platforms: code("itslearning"),
        channels: code("ims-es"),
        purposes: code("archiving"),
        data_categories: [crate::base::Code::fixed("identity"), crate::base::Code::fixed("health")].into(),
        recipients: Vec::new(),
        volume: crate::base::VolumeLimits::default(),
        once: false,
        valid_from_at: None,
        valid_until_at: None,
    }
}

fn unit(name: &str) -> Selector {
    Selector::Unit { unit: name.parse().unwrap() }
}

fn version(from: &str, until: Option<&str>) -> Version {
    Version {
        scope: scope(),
        subjects: vec![unit("S03")],
        document: "doc_0190a0b0c0d0700080000123456789ab".parse().unwrap(),
        document_sha256: sha256(&[b"x"]),
        valid_from: at(from),
        valid_until: until.map(at),
        signed_at: at(from),
        signed_by: "mem_0190a0b0c0d0700080000123456789ab".parse().unwrap(),
        signed: (1, 7),
        used_at: None,
        contests: Vec::new(),
    }
}

const CONTEST: &str = "con_0190a0b0c0d0700080000123456789ab";

fn contested(mut version: Version, confirmed: bool) -> Version {
    let confirmation = Confirmation { document: version.document, at: at("05-02"), by: version.signed_by };
    version.contests.push(Contest {
        id: CONTEST.parse().unwrap(),
        ground: "Art. 5(1)(c)".parse().unwrap(),
        at: at("05-01"),
        by: "ops_0190a0b0c0d0700080000123456789ab".to_owned(),
        confirmation: confirmed.then_some(confirmation),
    });
    version
}

fn instruction(versions: Vec<Version>) -> Instruction {
    Instruction {
        id: "ins_0190a0b0c0d0700080000123456789ab".parse().unwrap(),
        customer: "cus_0190a0b0c0d0700080000123456789ab".parse().unwrap(),
        kind: InstructionKind::Export,
        created_at: at("01-01"),
        draft: None,
        versions: (1..).zip(versions).collect(),
        revoked: None,
    }
}

fn drafted(mut instruction: Instruction, version: u32, scope: Scope, subjects: Vec<Selector>) -> Instruction {
    let content = Content { scope, subjects, written: Written::Text(Wording::new("Do it.").unwrap()) };
    let digest = content.digest(instruction.id, version, instruction.kind);
    instruction.draft = Some(Draft { version, content, digest, prepared_by: "mem_x".to_owned(), changed_at: at("05-01") });
    instruction
}

fn revoked(mut instruction: Instruction) -> Instruction {
    instruction.revoked = Some((at("05-20"), "mem_0190a0b0c0d0700080000123456789ab".parse().unwrap()));
    instruction
}

fn used(mut version: Version, once: bool) -> Version {
    version.used_at = Some(at("03-02"));
    version.scope.once = once;
    version
}

fn code(verdict: Result<impl Sized>) -> &'static str {
    match verdict {
        Ok(_) => "ok",
        Err(Error::Conflict { code, .. }) => code,
        Err(Error::Invalid(faults)) => faults[0].code,
        Err(_) => "other",
    }
}

#[test]
fn the_state_of_a_version_follows_from_what_happened_and_the_time() {
    let now = at("06-01");
    for (instruction, states, whole) in [
        (instruction(vec![]), vec![], "draft"),
        (instruction(vec![version("03-01", None)]), vec!["in_force"], "in_force"),
        (instruction(vec![version("06-01", None)]), vec!["in_force"], "in_force"),
        (instruction(vec![version("06-02", None)]), vec!["not_yet_valid"], "not_yet_valid"),
        (instruction(vec![version("03-01", Some("06-01"))]), vec!["expired"], "expired"),
        (instruction(vec![version("03-01", Some("06-02"))]), vec!["in_force"], "in_force"),
        (instruction(vec![version("03-01", None), version("05-01", None)]), vec!["superseded", "in_force"], "in_force"),
        (instruction(vec![version("03-01", None), version("07-01", None)]), vec!["in_force", "not_yet_valid"], "in_force"),
        // A newer version supersedes even when it is over itself: the older one does not come back.
        (instruction(vec![version("03-01", None), version("04-01", Some("05-01"))]), vec!["superseded", "expired"], "expired"),
        (instruction(vec![used(version("03-01", None), true)]), vec!["exhausted"], "exhausted"),
        (instruction(vec![used(version("03-01", None), false)]), vec!["in_force"], "in_force"),
        (instruction(vec![contested(version("03-01", None), false)]), vec!["contested"], "contested"),
        (instruction(vec![contested(version("07-01", None), false)]), vec!["contested"], "contested"),
        (instruction(vec![contested(version("03-01", None), true)]), vec!["in_force"], "in_force"),
        (instruction(vec![contested(version("03-01", Some("05-15")), false)]), vec!["expired"], "expired"),
        (revoked(instruction(vec![version("03-01", None), version("07-01", None)])), vec!["revoked", "revoked"], "revoked"),
    ] {
        let found: Vec<_> = instruction.versions.keys().map(|number| instruction.version_state(*number, now).word()).collect();
        assert_eq!((found, instruction.state(now).word()), (states, whole));
    }
}

#[test]
fn each_act_is_possible_in_its_states_only() {
    let now = at("06-01");
    let live = || instruction(vec![version("03-01", None)]);
    let new_draft = || drafted(instruction(vec![]), 1, scope(), vec![unit("S03")]);
    for (instruction, change, start, revoke, contest) in [
        (new_draft(), "ok", "draft-exists", "not-signed", "unknown_version"),
        (live(), "no-draft", "ok", "ok", "ok"),
        (drafted(live(), 2, scope(), vec![]), "ok", "draft-exists", "ok", "ok"),
        (revoked(drafted(live(), 2, scope(), vec![])), "already-revoked", "already-revoked", "already-revoked", "instruction-over"),
        (instruction(vec![version("03-01", Some("05-01"))]), "no-draft", "ok", "ok", "instruction-over"),
        (instruction(vec![version("07-01", None)]), "no-draft", "ok", "ok", "ok"),
        (instruction(vec![contested(version("03-01", None), false)]), "no-draft", "ok", "ok", "already-contested"),
        (instruction(vec![contested(version("03-01", None), true)]), "no-draft", "ok", "ok", "ok"),
    ] {
        let found = (
            code(may_change(&instruction)),
            code(may_start(&instruction)),
            code(may_revoke(&instruction)),
            code(may_contest(&instruction, 1, now)),
        );
        assert_eq!(found, (change, start, revoke, contest));
    }
    assert_eq!(may_start(&live()).unwrap(), 2);
}

#[test]
fn a_signature_needs_the_draft_that_was_seen_and_time_left() {
    let now = at("06-01");
    let window = |from: Option<&str>, until: Option<&str>| Scope { valid_from_at: from.map(at), valid_until_at: until.map(at), ..scope() };
    let draft = |scope| drafted(instruction(vec![]), 1, scope, vec![unit("S03")]);
    for (scope, version, expected) in [
        (window(None, None), 1, Ok((at("06-01"), None))),
        (window(Some("01-01"), Some("07-01")), 1, Ok((at("06-01"), Some(at("07-01"))))),
        (window(Some("06-15"), None), 1, Ok((at("06-15"), None))),
        (window(None, None), 2, Err("version-differs")),
        (window(None, Some("06-01")), 1, Err("window-over")),
    ] {
        let instruction = draft(scope);
        let found = may_sign(&instruction, version, now);
        match expected {
            Ok(window) => assert_eq!(found.map(|(_, from, until)| (from, until)).unwrap(), window),
            Err(word) => assert_eq!(code(found), word),
        }
    }
}

#[test]
fn while_a_version_is_contested_only_a_narrower_one_can_be_signed() {
    let now = at("06-01");
    let volume =
        |rows| crate::base::VolumeLimits { per_export: Some(Volume { rows: Some(rows), ..Volume::default() }), ..Default::default() };
    let one = Scope { data_categories: [crate::base::Code::fixed("identity")].into(), ..scope() };
    let pupil = |unit: Option<&str>| Selector::Subject {
        reference: "p1".parse().unwrap(),
        unit: unit.map(|u| u.parse().unwrap()),
        groups: [].into(),
    };
    for (name, scope, subjects, narrower) in [
        ("the same", scope(), vec![unit("S03")], false),
        ("a later start", Scope { valid_from_at: Some(at("07-01")), ..scope() }, vec![unit("S03")], false),
        ("fewer categories", one.clone(), vec![unit("S03")], true),
        ("fewer categories, more subjects", one.clone(), vec![Selector::Whole], false),
        (
            "fewer categories, another purpose",
            Scope { purposes: [crate::base::Code::fixed("support")].into(), ..one },
            vec![unit("S03")],
            false,
        ),
        ("one pupil of the unit", scope(), vec![pupil(Some("S03"))], true),
        ("one pupil of no unit", scope(), vec![pupil(None)], false),
        ("an end", Scope { valid_until_at: Some(at("07-01")), ..scope() }, vec![unit("S03")], true),
        ("a limit", Scope { volume: volume(5), ..scope() }, vec![unit("S03")], true),
        ("one export", Scope { once: true, ..scope() }, vec![unit("S03")], true),
    ] {
        let open = drafted(instruction(vec![contested(version("03-01", None), false)]), 2, scope.clone(), subjects.clone());
        assert_eq!(code(may_sign(&open, 2, now)), if narrower { "ok" } else { "contested-not-narrowed" }, "{name}");
        let answered = drafted(instruction(vec![contested(version("03-01", None), true)]), 2, scope, subjects);
        assert_eq!(code(may_sign(&answered, 2, now)), "ok", "{name}");
    }
}

#[test]
fn a_subject_in_one_unit_does_not_cover_the_same_subject_in_none() {
    let subject = |unit: Option<&str>, groups: &[&str]| Selector::Subject {
        reference: "p1".parse().unwrap(),
        unit: unit.map(|u| u.parse().unwrap()),
        groups: groups.iter().map(|g| g.parse().unwrap()).collect(),
    };
    let group = Selector::Group { unit: "S03".parse().unwrap(), group: "7B".parse().unwrap() };
    let mut all = vec![Selector::Whole, unit("S03"), unit("S04"), group, subject(None, &[])];
    all.extend([subject(Some("S03"), &[]), subject(Some("S03"), &["7B"]), subject(Some("S04"), &["7B"])]);
    for old in &all {
        for asked in &all {
            let (wide, persons) = ([old].into(), person(old).into_iter().collect());
            assert_eq!(covered(asked, &wide, &persons), old.covers(asked), "{old:?} {asked:?}");
        }
    }
    // Negative control: with the reference alone looked up, these two were equal.
    assert!(!subject(Some("S03"), &[]).covers(&subject(None, &[])));
}

#[test]
fn lifting_a_restriction_needs_every_unit_in_which_it_holds() {
    let now = at("06-01");
    let of = |subjects: Vec<Selector>, from, until| Version { subjects, ..version(from, until) };
    let restriction = |versions| Instruction { kind: InstructionKind::Restriction, ..instruction(versions) };
    let units = |names: &[&str]| Needs::Units(names.iter().map(|name| name.parse().unwrap()).collect());
    let first = || of(vec![unit("S01")], "03-01", None);
    for (instruction, lift, sign) in [
        (restriction(vec![]), units(&[]), units(&["S03"])),
        (restriction(vec![first()]), units(&["S01"]), units(&["S01", "S03"])),
        (restriction(vec![of(vec![Selector::Whole], "03-01", None)]), Needs::AllUnits, Needs::AllUnits),
        // What is over holds nowhere; what is contested, or has not begun, counts.
        (restriction(vec![of(vec![Selector::Whole], "03-01", Some("06-01"))]), units(&[]), units(&["S03"])),
        (
            restriction(vec![of(vec![Selector::Whole], "03-01", None), of(vec![unit("S02")], "05-01", None)]),
            units(&["S02"]),
            units(&["S02", "S03"]),
        ),
        (restriction(vec![first(), of(vec![unit("S02")], "07-01", None)]), units(&["S01", "S02"]), units(&["S01", "S02", "S03"])),
        (restriction(vec![contested(first(), false)]), units(&["S01"]), units(&["S01", "S03"])),
        // Negative control: another kind is narrowed by whom its new subjects belong to.
        (instruction(vec![first()]), units(&["S01"]), units(&["S03"])),
    ] {
        assert_eq!((needs_to_lift(&instruction, now), needs_to_sign(&instruction, &[unit("S03")], now)), (lift, sign));
    }
}

#[test]
fn a_contest_is_confirmed_once_while_its_version_stands() {
    let now = at("06-01");
    let id = CONTEST.parse().unwrap();
    let open = || contested(version("03-01", None), false);
    for (instruction, verdict) in [
        (instruction(vec![open()]), "ok"),
        (instruction(vec![version("03-01", None)]), "unknown_contest"),
        (instruction(vec![contested(version("03-01", None), true)]), "already-confirmed"),
        (instruction(vec![open(), version("04-01", None)]), "instruction-over"),
        (revoked(instruction(vec![open()])), "already-revoked"),
    ] {
        assert_eq!(code(may_confirm(&instruction, id, now)), verdict);
    }
}

#[test]
fn authority_for_the_kind_is_enough_to_stop_once_it_has_begun() {
    let held = [Authority { kind: AuthorityKind::Export, units: Some(["S03".parse().unwrap()].into()), begins_at: at("03-01") }];
    for (kind, now, may) in
        [(AuthorityKind::Export, "03-01", true), (AuthorityKind::Export, "02-01", false), (AuthorityKind::Deletion, "03-01", false)]
    {
        assert_eq!(may_stop(&held, kind, at(now)), may, "{kind} {now}");
    }
}

#[test]
fn history_tells_what_happened_in_order_and_nothing_that_has_not() {
    let first = contested(version("03-01", Some("12-01")), true);
    let told = |instruction: &Instruction, now| -> Vec<String> {
        let lines = history(instruction, at(now));
        lines.iter().map(|l| format!("{} {}", l.happening, l.version.unwrap_or_default())).collect()
    };
    let both = instruction(vec![first, version("05-10", None)]);
    assert_eq!(told(&both, "06-01"), ["drafted 0", "signed 1", "contested 1", "confirmed 1", "signed 2", "superseded 1"]);
    assert_eq!(told(&revoked(both), "12-31").last().unwrap(), "revoked 0");
    let once = instruction(vec![used(version("03-01", Some("04-01")), true)]);
    assert_eq!(told(&once, "06-01"), ["drafted 0", "signed 1", "exhausted 1", "expired 1"]);
    assert_eq!(history(&once, at("06-01"))[1].entry.unwrap().index, 7);
}
