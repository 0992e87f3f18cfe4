//! What was logged at error level in this process: no test may leave anything there. And how many
//! statements this thread sent to the database, by sqlx's own account of them.

use std::cell::Cell;
use std::sync::{Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

static LOGGED: OnceLock<Mutex<Vec<String>>> = OnceLock::new();

thread_local! {
    static STATEMENTS: Cell<u64> = const { Cell::new(0) };
}

/// Statements so far on this thread, on which a test and its requests run.
pub fn statements() -> u64 {
    STATEMENTS.get()
}

struct Collect;

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl<S: Subscriber> Layer<S> for Collect {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            STATEMENTS.set(STATEMENTS.get() + 1);
        }
        if *event.metadata().level() == Level::ERROR {
            let mut text = Text(String::new());
            event.record(&mut text);
            errors().lock().unwrap().push(text.0);
        }
    }
}

pub fn errors() -> &'static Mutex<Vec<String>> {
    LOGGED.get_or_init(Mutex::default)
}

pub fn collect() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Collect));
    });
}
