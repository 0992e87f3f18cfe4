//! Time: instants in UTC milliseconds, and the only place that reads the machine's clock.
//! A decision never reads a clock; it gets `now` as a value, taken after the log's head is
//! locked (see `db`), so that time in a log never runs backwards.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Duration, SecondsFormat, Utc};

/// A point in time, UTC, whole milliseconds. Text form: RFC 3339 with three decimals and `Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(DateTime<Utc>);

impl Instant {
    /// Cuts a time down to whole milliseconds.
    #[must_use]
    pub fn new(time: DateTime<Utc>) -> Self {
        Self(DateTime::from_timestamp_millis(time.timestamp_millis()).unwrap_or(time))
    }
    /// From milliseconds since 1970-01-01T00:00:00Z; `None` outside the calendar.
    #[must_use]
    pub fn from_millis(millis: i64) -> Option<Self> {
        DateTime::from_timestamp_millis(millis).map(Self)
    }
    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0.timestamp_millis()
    }
    /// Seconds since 1970-01-01T00:00:00Z, rounded down (JWT `NumericDate`).
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.timestamp()
    }
    /// The same as a chrono value.
    #[must_use]
    pub fn utc(self) -> DateTime<Utc> {
        self.0
    }
    /// This instant and `duration` more.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self::new(self.0 + duration)
    }
    /// The civil date at this instant in a zone.
    #[must_use]
    pub fn date_in(self, zone: chrono_tz::Tz) -> chrono::NaiveDate {
        self.0.with_timezone(&zone).date_naive()
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}
impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Instant {
    type Err = chrono::ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        DateTime::parse_from_rfc3339(text).map(|t| Self::new(t.with_timezone(&Utc)))
    }
}
impl serde::Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> serde::Deserialize<'de> for Instant {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
impl utoipa::PartialSchema for Instant {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        super::text::format_schema(utoipa::openapi::KnownFormat::DateTime)
    }
}
impl utoipa::ToSchema for Instant {}

/// Tells the time of the machine, or of a test.
pub trait Clock: Send + Sync + 'static {
    /// The present time.
    fn now(&self) -> Instant;
    /// True if `now` is the machine's own time, which must agree with the database's.
    fn is_system(&self) -> bool;
    /// Takes over the offset that a private database stores for trying things out.
    fn set_offset_millis(&self, offset: i64);
}

/// The machine's clock, plus the offset that a private database may store.
#[derive(Debug, Default)]
pub struct SystemClock {
    offset_millis: AtomicI64,
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
        let now = Utc::now();
        Instant::new(now + Duration::milliseconds(self.offset_millis.load(Ordering::Relaxed)))
    }
    fn is_system(&self) -> bool {
        self.offset_millis.load(Ordering::Relaxed) == 0
    }
    fn set_offset_millis(&self, offset: i64) {
        self.offset_millis.store(offset, Ordering::Relaxed);
    }
}

/// A clock that stands still until it is moved: for tests, and for the loader of the demo world.
#[derive(Debug)]
pub struct FixedClock {
    millis: AtomicI64,
}

impl FixedClock {
    /// Stands at `start`.
    #[must_use]
    pub fn new(start: Instant) -> Self {
        Self { millis: AtomicI64::new(start.millis()) }
    }
    /// Moves forward by `duration`.
    pub fn advance(&self, duration: Duration) {
        self.millis.fetch_add(duration.num_milliseconds(), Ordering::SeqCst);
    }
    /// Stands at `instant` from now on.
    pub fn set(&self, instant: Instant) {
        self.millis.store(instant.millis(), Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Instant {
        Instant::from_millis(self.millis.load(Ordering::SeqCst)).unwrap_or(Instant(DateTime::UNIX_EPOCH))
    }
    fn is_system(&self) -> bool {
        false
    }
    fn set_offset_millis(&self, _offset: i64) {}
}
