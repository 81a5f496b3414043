//! Times as Go's `time.Parse` reads them, with its errors, and as the API writes them.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
const MICROS: &str = "2006-01-02T15:04:05.000000Z07:00";

/// Why a text is no time, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ParseError(String);

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads an RFC 3339 time; digits of a second may follow.
///
/// # Errors
/// Says which part does not fit.
pub fn parse_time(text: &str) -> Result<Timestamp, ParseError> {
    Reader { all: text, rest: text, layout: SECONDS }.read()
}

/// Reads an RFC 3339 time with exactly six digits of a second.
///
/// # Errors
/// Says which part does not fit.
pub fn parse_micro_time(text: &str) -> Result<Timestamp, ParseError> {
    Reader { all: text, rest: text, layout: MICROS }.read()
}

/// Whether a text is a time just as the API writes it, so that there is nothing to bring into form; not all such texts are
/// told from others.
#[must_use]
pub(super) fn is_written(text: &str, micros: bool) -> bool {
    let form: &[u8] = if micros { b"0000-00-00T00:00:00.000000Z" } else { b"0000-00-00T00:00:00Z" };
    let fits = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    let bytes = text.as_bytes();
    if bytes.len() != form.len() || !bytes.iter().zip(form).all(fits) {
        return false;
    }
    let two = |at: usize| (bytes[at] - b'0') * 10 + (bytes[at + 1] - b'0');
    // Every month has 28 days; the first year holds the zero time, which is written otherwise.
    let is_date = &bytes[..2] != b"00" && (1..=12).contains(&two(5)) && (1..=28).contains(&two(8));
    is_date && two(11) <= 23 && two(14) <= 59 && two(17) <= 59
}

struct Reader<'t> {
    all: &'t str,
    rest: &'t str,
    layout: &'static str,
}

impl Reader<'_> {
    fn read(mut self) -> Result<Timestamp, ParseError> {
        let year = self.digits(4, "2006")?;
        self.literal('-')?;
        let month = self.limited("01", 1..=12, "month")?;
        self.literal('-')?;
        let day = self.digits(2, "02")?;
        self.literal('T')?;
        let hour = self.limited("15", 0..=23, "hour")?;
        self.literal(':')?;
        let minute = self.limited("04", 0..=59, "minute")?;
        self.literal(':')?;
        let second = self.limited("05", 0..=59, "second")?;
        let nanos = if self.layout == MICROS { self.micros()? } else { self.fraction() };
        let offset = self.zone()?;
        if !self.rest.is_empty() {
            return Err(self.wrong(&format!("extra text: {}", crate::field::quote(self.rest))));
        }
        let parts = [month, day, hour, minute, second].map(|part| i8::try_from(part).unwrap_or(i8::MAX));
        let [month, day, hour, minute, second] = parts;
        let year = i16::try_from(year).unwrap_or(i16::MAX);
        let local = DateTime::new(year, month, day, hour, minute, second, nanos);
        let local = local.map_err(|_| self.wrong("day out of range"))?;
        offset.to_timestamp(local).map_err(|_| self.wrong("year out of range"))
    }

    /// The error about what stands here.
    fn mismatch(&self, element: &str) -> ParseError {
        let quote = crate::field::quote;
        let (all, layout, rest) = (quote(self.all), quote(self.layout), quote(self.rest));
        ParseError(format!("parsing time {all} as {layout}: cannot parse {rest} as {}", quote(element)))
    }

    fn wrong(&self, what: &str) -> ParseError {
        ParseError(format!("parsing time {}: {what}", crate::field::quote(self.all)))
    }

    fn literal(&mut self, c: char) -> Result<(), ParseError> {
        self.rest = self.rest.strip_prefix(c).ok_or_else(|| self.mismatch(&c.to_string()))?;
        Ok(())
    }

    fn digits(&mut self, count: usize, element: &str) -> Result<i32, ParseError> {
        let fits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let digits = self.rest.get(..count).filter(fits).ok_or_else(|| self.mismatch(element))?;
        self.rest = &self.rest[count..];
        Ok(digits.parse().expect("a few digits are a small number"))
    }

    fn limited(&mut self, element: &str, range: std::ops::RangeInclusive<i32>, name: &str) -> Result<i32, ParseError> {
        let number = self.digits(2, element)?;
        if range.contains(&number) { Ok(number) } else { Err(self.wrong(&format!("{name} out of range"))) }
    }

    fn micros(&mut self) -> Result<i32, ParseError> {
        let digits = self.rest.get(1..7).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let (true, Some(digits)) = (self.rest.starts_with(['.', ',']), digits) else {
            return Err(self.mismatch(".000000"));
        };
        let micros: i32 = digits.parse().expect("six digits are a small number");
        self.rest = &self.rest[7..];
        Ok(micros * 1000)
    }

    /// Digits of a second that the layout does not ask for; those after the ninth are dropped.
    fn fraction(&mut self) -> i32 {
        let Some(after) = self.rest.strip_prefix(['.', ',']) else { return 0 };
        let count = after.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return 0;
        }
        self.rest = &after[count..];
        format!("{:0<9}", &after[..count])[..9].parse().unwrap_or(0)
    }

    fn zone(&mut self) -> Result<Offset, ParseError> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(Offset::UTC);
        }
        let bytes = self.rest.as_bytes();
        let shape = bytes.len() >= 6 && matches!(bytes[0], b'+' | b'-') && bytes[3] == b':';
        let number = |at: usize| self.rest.get(at..at + 2).and_then(|text| text.parse::<u32>().ok());
        let (true, Some(hours), Some(minutes)) = (shape, number(1), number(4)) else {
            return Err(self.mismatch("Z07:00"));
        };
        let seconds = i32::try_from(hours * 3600 + minutes * 60).unwrap_or(i32::MAX);
        let seconds = if bytes[0] == b'-' { -seconds } else { seconds };
        if hours > 24 {
            return Err(self.wrong("time zone offset hour out of range"));
        }
        if minutes > 60 {
            return Err(self.wrong("time zone offset minute out of range"));
        }
        self.rest = &self.rest[6..];
        Offset::from_seconds(seconds).map_err(|_| self.wrong("time zone offset hour out of range"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_no_reading() {
        assert!(is_written("2026-12-28T23:59:59Z", false) && is_written("2026-01-01T00:00:00.000001Z", true));
        for text in
            ["2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "0001-01-01T00:00:00Z", "2026-01-01T00:00:00.0Z", "x"]
        {
            assert!(!is_written(text, false) && !is_written(text, true), "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, expected) in [
            ("2020-01-02T03:04:05Z", "2020-01-02T03:04:05Z"),
            ("2020-01-02T03:04:05.678Z", "2020-01-02T03:04:05.678Z"),
            ("2020-01-02T03:04:05+02:00", "2020-01-02T01:04:05Z"),
            ("bad", r#"parsing time "bad" as "2006-01-02T15:04:05Z07:00": cannot parse "bad" as "2006""#),
            ("2020-13-02T03:04:05Z", r#"parsing time "2020-13-02T03:04:05Z": month out of range"#),
            ("2020-02-30T03:04:05Z", r#"parsing time "2020-02-30T03:04:05Z": day out of range"#),
            ("2020-01-02", r#"parsing time "2020-01-02" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#),
            ("2020-01-02T03:04:05Zx", r#"parsing time "2020-01-02T03:04:05Zx": extra text: "x""#),
        ] {
            assert_eq!(parse_time(text).map_or_else(|e| e.to_string(), |t| t.to_string()), expected);
        }
        for (text, expected) in [
            ("2020-01-02T03:04:05.000006Z", "2020-01-02T03:04:05.000006Z"),
            (
                "2020-01-02T03:04:05Z",
                r#"parsing time "2020-01-02T03:04:05Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000""#,
            ),
        ] {
            assert_eq!(parse_micro_time(text).map_or_else(|e| e.to_string(), |t| t.to_string()), expected);
        }
    }
}
