//! What the schema's comments say is set once, against its triggers.

use crate::support::{Harness, LOGINS, bare, connect_as, connect_as_owner, run, try_rolled_back, try_sql};

/// Columns that may change again although their table's comment speaks of what is set once.
const CHANGES: &[&str] = &[
    "api_key.last_used_on",
    "export.chunk_bytes",
    "export.chunk_files",
    "export.chunk_rows",
    "export.chunks",
    "export.last_chunk_at",
    "export.last_chunk_no",
    "export.stopped_at",
    "export.stopped_index",
    "message.attempts",
    "message.body",
    "second_factor.last_step",
];

/// The comments are the promise: where a table's or a column's says that something is set once, every
/// column that a role may change has a trigger that looks at it. Negative control: without
/// `authority_suspension_set_once`, its two columns are named.
#[tokio::test]
async fn what_a_comment_says_is_set_once_has_its_trigger() {
    run(async |h: &Harness| {
        let unguarded = "SELECT DISTINCT c.relname || '.' || a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                 CROSS JOIN unnest($1::text[]) r
             WHERE n.nspname = 'public' AND has_column_privilege(r, c.oid, a.attnum, 'UPDATE')
               AND (obj_description(c.oid, 'pg_class') ~* '\\yonce\\y' OR col_description(c.oid, a.attnum) ~* '\\yset once\\y')
               AND NOT EXISTS (SELECT 1 FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                   WHERE t.tgrelid = c.oid AND t.tgname LIKE '%set\\_once' AND pg_get_triggerdef(t.oid) || p.prosrc ~* ('\\yold\\.' || a.attname || '\\y'))
             ORDER BY 1";
        let mut owner = connect_as_owner(h).await;
        let logins = LOGINS.map(str::to_owned).to_vec();
        let found: Vec<String> = sqlx::query_scalar(unguarded).bind(&logins).fetch_all(&mut owner).await.unwrap();
        assert_eq!(found, CHANGES, "{found:#?}");
        try_sql(&mut owner, "DROP TRIGGER authority_suspension_set_once ON authority_suspension").await.unwrap();
        let found: Vec<String> = sqlx::query_scalar(unguarded).bind(&logins).fetch_all(&mut owner).await.unwrap();
        assert!(found.contains(&"authority_suspension.confirmed_at".to_owned()) && found.contains(&"authority_suspension.confirmed_by".to_owned()));
        // The step of a code does not fall, whoever would like it to.
        let mut app = connect_as(h, "mandate_app", Some(bare(&h.customer("Nordvik")))).await;
        let said = try_sql(&mut app, "UPDATE second_factor SET last_step = last_step - 1").await.unwrap_err();
        assert!(said.contains("23514 second_factor_step_grows"), "{said}");
        assert_eq!(try_rolled_back(&mut app, "BEGIN", &["UPDATE second_factor SET last_step = last_step + 1"]).await, Ok(()));
    })
    .await;
}
