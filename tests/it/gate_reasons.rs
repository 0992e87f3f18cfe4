//! Every reason of a refusal that can be reached: alone, and together with others.
//! Negative control: the base export is permitted, so what a case changes is what refuses it.

use chrono::Duration;
use serde_json::json;

use crate::support::{ADMIN, Client, Harness, KARI, PRIVACY, SECURITY, export, instruction, run, with};

async fn nordvik(h: &Harness) -> (Client, Client) {
    (h.person(KARI).await, h.platform("itslearning"))
}

#[track_caller]
fn only(answer: &crate::support::Answer, reason: &str) {
    assert_eq!(answer.status, 403);
    assert_eq!(answer.reasons(), [reason], "{}", answer.json());
    let receipt = &answer.json()["receipt"];
    assert!(receipt["leaf_hash"].is_string(), "a refusal carries its receipt");
    assert!(!answer.text("/reasons/0/advice").is_empty(), "a refusal says what to do");
}

#[tokio::test]
async fn export_without_instruction_is_refused_and_with_one_permitted() {
    run(async |h: &Harness| {
        let (kari, platform) = nordvik(h).await;
        only(&h.ask(&platform, "k1", &export()).await, "no_written_instruction");
        h.signed(&kari, &instruction()).await;
        let answer = h.ask(&platform, "k2", &export()).await.expect(201);
        assert!(answer.text("/permit").split('.').count() == 3);
        let seen = kari.get("/api/v1/decisions").await.expect(200);
        let outcomes: Vec<_> = seen.json()["data"].as_array().unwrap().iter().map(|d| d["event"].as_str().unwrap().to_owned()).collect();
        assert_eq!(outcomes, ["export.refused", "export.permitted"]);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_differs_in_one_thing_is_refused_for_that_thing() {
    run(async |h: &Harness| {
        let (kari, platform) = nordvik(h).await;
        let limited = json!({"volume": {"per_export": {"rows": 100}}, "subjects": [{"kind": "unit", "unit": "S03"}]});
        h.signed(&kari, &with(instruction(), limited)).await;
        let base = with(export(), json!({"volume": {"rows": 100}}));
        h.ask(&platform, "base", &base).await.expect(201);
        let recipient = |country: &str, more: serde_json::Value| {
            let mut value = json!({"legal_entity": "Utdanningsregisteret", "country": country, "role": "school_authority"});
            value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"recipient": value})
        };
        let cases = [
            ("unknown_code", json!({"purpose": "selling-stuff"})),
            ("unknown_code", json!({"channel": "migration"})),
            ("unknown_code", json!({"data_categories": ["identity", "shoe-size"]})),
            ("purpose_prohibited", json!({"purpose": "advertising"})),
            ("purpose_not_instructed", json!({"purpose": "support"})),
            ("category_not_instructed", json!({"data_categories": ["identity", "contact"]})),
            ("special_category_not_named", json!({"data_categories": ["identity", "health"]})),
            ("subjects_out_of_scope", json!({"subjects": [{"kind": "unit", "unit": "S04"}]})),
            ("channel_not_instructed", json!({"channel": "ims-es"})),
            (
                "recipient_not_named",
                json!({"recipient": {"legal_entity": "Nordvik arkivtjeneste IKS", "country": "NO", "role": "archive"}}),
            ),
            ("volume_exceeds_instruction", json!({"volume": {"rows": 101}})),
            ("volume_exceeds_instruction", json!({"volume": {"files": 1}})),
            ("sub_processor_not_authorised", recipient("NO", json!({"engagement": "eng-1"}))),
        ];
        for (i, (reason, change)) in cases.into_iter().enumerate() {
            only(&h.ask(&platform, &format!("k{i}"), &with(base.clone(), change)).await, reason);
        }
        let everything = json!({"data_categories": ["religion", "contact", "nonsense"], "channel": "ims-es", "volume": {"rows": 1000},
            "subjects": [{"kind": "whole"}], "recipient": {"legal_entity": "X", "country": "US", "role": "vendor"}});
        let answer = h.ask(&platform, "many", &with(base, everything)).await.expect(403);
        assert_eq!(
            answer.reasons(),
            [
                "category_not_in_agreement",
                "category_not_instructed",
                "special_category_not_named",
                "subjects_out_of_scope",
                "channel_not_instructed",
                "recipient_not_named",
                "recipient_outside_residency",
                "volume_exceeds_instruction",
                "unknown_code"
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn agreements_decide_what_can_be_instructed_at_all() {
    run(async |h: &Harness| {
        let (kari, platform) = nordvik(h).await;
        // Nobody's customer.
        only(&h.ask(&platform, "a", &with(export(), json!({"customer": "site-9999-its"}))).await, "agreement_missing");
        // A customer without an agreement for this platform.
        let fronter =
            with(instruction(), json!({"platforms": ["fronter", "itslearning"], "channels": ["report-archive", "organisation-api"]}));
        h.signed(&kari, &fronter).await;
        let nordvik = h.customer("Nordvik");
        let on_fronter = json!({"customer": nordvik, "platform": "fronter", "channel": "report-archive"});
        only(&h.ask(&h.platform("fronter"), "b", &with(export(), on_fronter)).await, "platform_not_covered");
        // A purpose, and a category, that the agreement does not name.
        let wide = json!({"purposes": ["research"], "data_categories": ["identity", "class-log"], "platforms": ["itslearning"]});
        h.signed(&kari, &with(instruction(), wide)).await;
        let research = json!({"purpose": "research", "data_categories": ["identity"]});
        only(&h.ask(&platform, "c", &with(export(), research)).await, "purpose_not_in_agreement");
        let both = json!({"purpose": "research", "data_categories": ["class-log"]});
        let answer = h.ask(&platform, "d", &with(export(), both)).await;
        assert_eq!(answer.reasons(), ["purpose_not_in_agreement", "category_not_in_agreement"]);
        let class_log = json!({"purposes": ["statutory-reporting"], "data_categories": ["class-log"]});
        h.signed(&kari, &with(instruction(), class_log)).await;
        only(&h.ask(&platform, "e", &with(export(), json!({"data_categories": ["class-log"]}))).await, "category_not_in_agreement");
    })
    .await;
}

#[tokio::test]
async fn after_the_end_of_the_agreement_only_the_return_of_data_is_possible() {
    run(async |h: &Harness| {
        // Västerö's agreement ended on 2026-11-22.
        let ebba = h.person("ebba.lindqvist@vastero.example").await;
        let fronter = h.platform("fronter");
        let base = json!({"platforms": ["fronter"], "channels": ["report-archive"], "data_categories": ["identity"],
            "recipients": [{"legal_entity": "Västerö kommun", "country": "SE", "role": "customer"}], "purposes": ["support", "return-at-end"]});
        h.signed(&ebba, &with(instruction(), base)).await;
        let ask = json!({"customer": "site-5005-fro", "platform": "fronter", "channel": "report-archive", "purpose": "support", "data_categories": ["identity"],
            "subjects": [{"kind": "whole"}], "recipient": {"legal_entity": "Västerö kommun", "country": "SE", "role": "customer"}});
        only(&h.ask(&fronter, "a", &with(export(), ask.clone())).await, "agreement_not_in_force");
        let returning = with(with(export(), ask), json!({"purpose": "return-at-end"}));
        h.ask(&fronter, "b", &returning).await.expect(201);
        // A suspension by ops never stops the return; the customer's own stops everything.
        let security = h.person(SECURITY).await;
        let path = format!("/api/admin/v1/customers/{}/suspensions", h.customer("Västerö"));
        security.post(&path, &json!({"ground": "stolen account"})).await.expect(201);
        h.ask(&fronter, "c", &returning).await.expect(201);
        ebba.post("/api/v1/suspensions", &json!({"ground": "we are looking into it"})).await.expect(201);
        only(&h.ask(&fronter, "d", &returning).await, "customer_suspended");
    })
    .await;
}

#[tokio::test]
async fn suspensions_stop_a_customer_and_a_platform() {
    run(async |h: &Harness| {
        let (kari, platform) = nordvik(h).await;
        h.signed(&kari, &instruction()).await;
        let made = kari.post("/api/v1/suspensions", &json!({"ground": "incident"})).await.expect(201).text("/id");
        only(&h.ask(&platform, "a", &export()).await, "customer_suspended");
        kari.post(&format!("/api/v1/suspensions/{made}/releases"), &json!({})).await.expect(201);
        h.ask(&platform, "b", &export()).await.expect(201);
        let security = h.person(SECURITY).await;
        let path = "/api/admin/v1/platforms/itslearning/suspensions";
        let made = security.post(path, &json!({"ground": "key stolen"})).await.expect(201).text("/id");
        only(&h.ask(&platform, "c", &export()).await, "platform_suspended");
        let release = format!("{path}/{made}/releases");
        security.post(&release, &json!({})).await.expect(201);
        only(&h.ask(&platform, "d", &export()).await, "platform_suspended");
        security.post(&release, &json!({})).await.expect(409);
        h.person(ADMIN).await.post(&release, &json!({})).await.expect(201);
        h.ask(&platform, "e", &export()).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn the_life_of_an_instruction_is_the_life_of_its_exports() {
    run(async |h: &Harness| {
        let (kari, platform) = nordvik(h).await;
        let window = json!({"valid_from_at": "2026-11-24T09:00:00Z", "valid_until_at": "2026-11-24T10:00:00Z"});
        let id = h.signed(&kari, &with(instruction(), window)).await;
        only(&h.ask(&platform, "a", &export()).await, "instruction_not_yet_valid");
        h.advance(Duration::hours(1));
        h.ask(&platform, "b", &export()).await.expect(201);
        h.advance(Duration::hours(1));
        only(&h.ask(&platform, "c", &export()).await, "instruction_expired");
        let kari = h.person(KARI).await;
        kari.post(&format!("/api/v1/instructions/{id}/revocations"), &json!({})).await.expect(201);
        let answer = h.ask(&platform, "d", &export()).await;
        assert_eq!(answer.reasons(), ["instruction_expired", "instruction_revoked"]);
        let again = h.signed(&kari, &instruction()).await;
        h.ask(&platform, "e", &export()).await.expect(201);
        kari.post(&format!("/api/v1/instructions/{again}/revocations"), &json!({})).await.expect(201);
        let answer = h.ask(&platform, "f", &with(export(), json!({"customer": h.customer("Nordvik")}))).await;
        assert_eq!(answer.reasons(), ["instruction_expired", "instruction_revoked", "instruction_revoked"]);
    })
    .await;
}

#[tokio::test]
async fn revoked_contested_and_superseded_instructions_permit_nothing() {
    run(async |h: &Harness| {
        let (kari, platform) = nordvik(h).await;
        let id = h.signed(&kari, &instruction()).await;
        let path = format!("/api/v1/instructions/{id}");
        let privacy = h.person(PRIVACY).await;
        let contests = format!("/api/admin/v1/customers/{}/instructions/{id}/contests", h.customer("Nordvik"));
        let contest =
            privacy.post(&contests, &json!({"version": 1, "ground": "GDPR Art. 6"})).await.expect(201).text("/versions/0/contests/0/id");
        only(&h.ask(&platform, "a", &export()).await, "instruction_contested");
        let body = json!({"contest": contest, "text": "We have looked at it and confirm it."});
        kari.post(&format!("{path}/confirmations"), &body).await.expect(201);
        h.ask(&platform, "b", &export()).await.expect(201);
        // A new version for another purpose and recipient supersedes the first.
        let other = with(
            instruction(),
            json!({"purposes": ["archiving"],
            "recipients": [{"legal_entity": "Nordvik arkivtjeneste IKS", "country": "NO", "role": "archive"}]}),
        );
        kari.post(&format!("{path}/versions"), &other).await.expect(201);
        h.sign(&kari, &id, 2).await.expect(201);
        only(&h.ask(&platform, "c", &export()).await, "instruction_superseded");
        let fresh = h.signed(&kari, &instruction()).await;
        h.ask(&platform, "d", &export()).await.expect(201);
        kari.post(&format!("/api/v1/instructions/{fresh}/revocations"), &json!({})).await.expect(201);
        let answer = h.ask(&platform, "e", &export()).await;
        assert_eq!(answer.reasons(), ["instruction_revoked", "instruction_superseded"]);
    })
    .await;
}

#[tokio::test]
async fn a_revoked_instruction_is_the_only_reason_when_nothing_else_is_wrong() {
    run(async |h: &Harness| {
        let (kari, platform) = nordvik(h).await;
        let id = h.signed(&kari, &instruction()).await;
        kari.post(&format!("/api/v1/instructions/{id}/revocations"), &json!({})).await.expect(201);
        only(&h.ask(&platform, "a", &export()).await, "instruction_revoked");
    })
    .await;
}

#[tokio::test]
async fn a_one_time_instruction_is_held_by_a_permit_and_exhausted_by_its_redemption() {
    run(async |h: &Harness| {
        let (kari, platform) = nordvik(h).await;
        h.signed(&kari, &with(instruction(), json!({"once": true}))).await;
        h.ask(&platform, "a", &export()).await.expect(201);
        only(&h.ask(&platform, "b", &export()).await, "instruction_exhausted");
        h.advance(Duration::seconds(300));
        let permitted = h.ask(&platform, "c", &export()).await.expect(201);
        h.redeem(&platform, "r", &permitted.text("/id"), &permitted.text("/permit")).await.expect(201);
        h.advance(Duration::seconds(301));
        only(&h.ask(&platform, "d", &export()).await, "instruction_exhausted");
    })
    .await;
}

#[tokio::test]
async fn restricted_subjects_are_excepted_inside_a_wider_selector_and_refused_by_themselves() {
    run(async |h: &Harness| {
        let (kari, platform) = nordvik(h).await;
        h.signed(&kari, &instruction()).await;
        let pupil = json!({"kind": "subject", "ref": "p-77", "unit": "S03"});
        let restriction =
            json!({"kind": "restriction", "platforms": ["itslearning"], "subjects": [pupil], "text": "Art. 18: accuracy contested."});
        h.signed(&kari, &restriction).await;
        let answer = h.ask(&platform, "a", &export()).await.expect(201);
        assert_eq!(answer.json()["except"], json!([pupil]));
        only(&h.ask(&platform, "b", &with(export(), json!({"subjects": [pupil]}))).await, "restriction_in_force");
        let with_other = json!({"subjects": [pupil], "channel": "ims-es"});
        let answer = h.ask(&platform, "c", &with(export(), with_other)).await;
        assert_eq!(answer.reasons(), ["channel_not_instructed", "restriction_in_force"]);
        // More than 1,000 exceptions are refused.
        let many: Vec<_> = (0..1001).map(|i| json!({"kind": "subject", "ref": format!("q-{i}"), "unit": "S03"})).collect();
        let restriction = json!({"kind": "restriction", "platforms": ["itslearning"], "subjects": many, "text": "Art. 18."});
        h.signed(&kari, &restriction).await;
        assert_eq!(h.ask(&platform, "d", &export()).await.reasons().first().map(String::as_str), Some("restriction_in_force"));
    })
    .await;
}

#[tokio::test]
async fn a_recipient_outside_the_eea_needs_the_customers_own_ground() {
    run(async |h: &Harness| {
        let jurgen = h.person("j.voss@elbtal.example").await;
        let platform = h.platform("itslearning");
        let vendor = |ground: Option<&str>| {
            let mut value = json!({"legal_entity": "Reading Stats Inc.", "country": "US", "role": "vendor"});
            if let Some(ground) = ground {
                value["transfer_ground"] = json!(ground);
            }
            value
        };
        let base = json!({"purposes": ["support"], "data_categories": ["identity"], "recipients": [vendor(None)]});
        h.signed(&jurgen, &with(instruction(), base)).await;
        let ask = |ground| {
            with(
                export(),
                json!({"customer": "site-3003-its", "purpose": "support", "data_categories": ["identity"],
                "subjects": [{"kind": "whole"}], "recipient": vendor(ground)}),
            )
        };
        only(&h.ask(&platform, "a", &ask(None)).await, "recipient_outside_residency");
        only(&h.ask(&platform, "b", &ask(Some("SCC"))).await, "recipient_outside_residency");
        let grounded = json!({"purposes": ["support"], "data_categories": ["identity"], "recipients": [vendor(Some("SCC"))]});
        h.signed(&jurgen, &with(instruction(), grounded)).await;
        h.ask(&platform, "c", &ask(Some("SCC"))).await.expect(201);
        let answer = h.ask(&platform, "d", &ask(Some("DPF"))).await;
        assert_eq!(answer.reasons(), ["recipient_outside_residency", "third_country_not_instructed"]);
    })
    .await;
}

#[tokio::test]
async fn another_ground_than_the_instructed_one_is_the_only_reason() {
    run(async |h: &Harness| {
        let jurgen = h.person("j.voss@elbtal.example").await;
        let vendor = |ground: &str| json!({"legal_entity": "Reading Stats Inc.", "country": "US", "role": "vendor", "transfer_ground": ground});
        let base = json!({"purposes": ["support"], "data_categories": ["identity"], "recipients": [vendor("SCC")]});
        h.signed(&jurgen, &with(instruction(), base)).await;
        let ask = json!({"customer": "site-3003-its", "purpose": "support", "data_categories": ["identity"], "recipient": vendor("DPF"), "subjects": [{"kind": "whole"}]});
        only(&h.ask(&h.platform("itslearning"), "a", &with(export(), ask)).await, "third_country_not_instructed");
    })
    .await;
}

#[tokio::test]
async fn a_dry_run_answers_the_same_issues_nothing_and_is_recorded_as_what_it_is() {
    run(async |h: &Harness| {
        let (kari, platform) = nordvik(h).await;
        let dry = with(export(), json!({"dry_run": true}));
        only(&h.ask(&platform, "a", &dry).await, "no_written_instruction");
        h.signed(&kari, &with(instruction(), json!({"once": true}))).await;
        let answer = h.ask(&platform, "b", &dry).await.expect(200);
        assert_eq!((answer.text("/outcome"), answer.json().get("permit")), ("allowed".to_owned(), None));
        h.ask(&platform, "c", &export()).await.expect(201);
        let tried = kari.get("/api/v1/decisions?dry_run=true").await.expect(200);
        assert_eq!(tried.json()["data"].as_array().unwrap().len(), 2);
        let none = kari.get("/api/v1/decisions?reason=no_written_instruction&dry_run=false").await.expect(200);
        assert_eq!(none.json()["data"], json!([]));
    })
    .await;
}
