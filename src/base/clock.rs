//! Time: instants in UTC milliseconds, and the only place that reads the machine's clock.
//! A decision never reads a clock; it gets `now` as a value, taken after the log's head is
//! locked (see `db`), so that time in a log never runs backwards.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Datelike as _, Duration, SecondsFormat, Utc};

use super::BadText;

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
    type Err = BadText;
    /// Reads RFC 3339; in UTC the year must have four digits, or what is written could not be read.
    fn from_str(text: &str) -> Result<Self, BadText> {
        let read = DateTime::parse_from_rfc3339(text).map_err(|_| BadText("must be an instant in RFC 3339"))?.with_timezone(&Utc);
        if (1..=9999).contains(&read.year()) { Ok(Self::new(read)) } else { Err(BadText("must lie in the years 1 to 9999 in UTC")) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_instant_that_could_not_be_read_again_is_not_read() {
        for wrong in
            ["9999-12-31T23:59:59-12:00", "0000-01-01T00:00:00+12:00", "0000-12-31T23:59:59Z", "+10000-01-01T00:00:00Z", "2026-11-24"]
        {
            assert!(wrong.parse::<Instant>().is_err(), "{wrong}");
        }
        assert_eq!("9999-12-31T23:59:59.9999Z".parse::<Instant>().unwrap().to_string(), "9999-12-31T23:59:59.999Z");
    }

    proptest! {
        /// Negative control: without the bound on the year, an offset carries 9999-12-31 over the edge.
        #[test]
        fn what_is_read_can_be_read_again(year in 0_i32..10_000, month in 1_u32..13, hour in 0_u32..24, offset in -14_i32..15) {
            let text = format!("{year:04}-{month:02}-28T{hour:02}:59:59.5{}{:02}:00", if offset < 0 { '-' } else { '+' }, offset.abs());
            if let Ok(read) = text.parse::<Instant>() {
                prop_assert_eq!(read.to_string().parse::<Instant>().unwrap(), read);
            }
        }
    }
}
