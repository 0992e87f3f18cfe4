//! What was logged at error level in this process: no test may leave anything there. And which
//! statements this thread sent to the database, by sqlx's own account of them.

use std::cell::RefCell;
use std::sync::{Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

static LOGGED: OnceLock<Mutex<Vec<String>>> = OnceLock::new();

thread_local! {
    static STATEMENTS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// The statements since the last call, on this thread, on which a test and its requests run. Left out
/// is the rollback with which a connection goes back to its pool, since that happens when it may.
pub fn statements() -> Vec<String> {
    STATEMENTS.replace(Some(Vec::new())).unwrap_or_default()
}

struct Collect;

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

/// The beginning of a statement.
#[derive(Default)]
struct Summary(String);

impl Visit for Summary {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "summary" {
            self.0 = format!("{value:?}");
        }
    }
}

impl<S: Subscriber> Layer<S> for Collect {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            let mut text = Summary::default();
            event.record(&mut text);
            STATEMENTS.with_borrow_mut(|kept| kept.as_mut().filter(|_| !text.0.contains("ROLLBACK")).map(|kept| kept.push(text.0)));
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
