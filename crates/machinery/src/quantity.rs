//! Amounts of resources (`500m`, `1Gi`, `12e6`), exact to a billionth, with upstream's canonical text.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, Neg, Sub};
use std::str::FromStr;

use thiserror::Error;

/// A greater power of ten is as good as infinite, a smaller one as good as nothing.
const MAX_EXPONENT: i64 = 10_000;

/// How many billionths one is.
const NANO: i128 = 1_000_000_000;
/// Amounts that do not fit the fast path of upstream are capped here.
const MAX: i128 = i64::MAX as i128 * NANO;
/// How many digits always fit 64 bits.
const MAX_DIGITS: i64 = 18;

/// Why a text is no amount; the words are the API's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    /// The shape is wrong.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The digits are wrong.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// The unit is none.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// In which units an amount is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// `12e6`
    DecimalExponent,
    /// `Ki`, `Mi`, …
    BinarySi,
    /// `m`, `k`, `M`, …
    #[default]
    DecimalSi,
}

/// An amount.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };

    /// A whole amount.
    #[must_use]
    pub fn new(value: i64, format: Format) -> Self {
        Self { nanos: i128::from(value) * NANO, format }
    }

    /// An amount in thousandths.
    #[must_use]
    pub fn from_milli(value: i64, format: Format) -> Self {
        Self { nanos: i128::from(value) * (NANO / 1000), format }
    }

    /// Reads an amount.
    ///
    /// # Errors
    /// The shape, the digits or the unit is wrong.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::Format);
        }
        let parts = split(text)?;
        let (base, exponent, format) = unit(parts.suffix).ok_or(Error::Suffix)?;
        let digits = match parts.fraction {
            "" => Cow::Borrowed(parts.whole),
            fraction => Cow::Owned([parts.whole, fraction].concat()),
        };
        let fraction_digits = i64::try_from(parts.fraction.len()).map_err(|_| Error::Numeric)?;
        let amount = if base == 2 {
            scale_ten(shift(&digits, exponent), -fraction_digits + 9)
        } else {
            scale_ten(number(&digits), exponent - fraction_digits + 9)
        };
        let fits = is_exact(&parts, base, exponent) && amount < i128::MAX;
        let amount = if fits { amount } else { amount.min(MAX) };
        let small_binary = format == Format::BinarySi && amount > 0 && amount < NANO;
        let format = if small_binary { Format::DecimalSi } else { format };
        Ok(Self { nanos: if parts.negative { -amount } else { amount }, format })
    }

    /// Whether a text is an amount just as it is written, so that there is nothing to bring into form; of those that are,
    /// only the usual short ones are told.
    pub(crate) fn is_written(text: &str) -> bool {
        let (digits, suffix) = take_digits(text);
        (1..=3).contains(&digits.len())
            && !digits.starts_with('0')
            && matches!(suffix, "" | "m" | "k" | "M" | "G" | "T" | "Ki" | "Mi" | "Gi" | "Ti")
    }

    /// The whole amount, a fraction rounded away from zero.
    #[must_use]
    pub fn value(&self) -> i64 {
        clamp(divide_away(self.nanos, NANO))
    }

    /// The amount in thousandths, a fraction rounded away from zero.
    #[must_use]
    pub fn milli_value(&self) -> i64 {
        clamp(divide_away(self.nanos, NANO / 1000))
    }

    /// The amount as a float, for ratios.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a ratio needs no more")]
    pub fn to_f64(&self) -> f64 {
        self.nanos as f64 / NANO as f64
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// -1, 0 or 1.
    #[must_use]
    pub fn sign(&self) -> i32 {
        match self.nanos.cmp(&0) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }
    }

    /// Whether it has no part below one.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.nanos % NANO == 0
    }

    /// The units it is written in.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The sum, as the operator gives it.
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "it does; callers without the trait in scope name it too")]
    pub fn add(self, other: Self) -> Self {
        self + other
    }

    fn is_binary_text(&self) -> bool {
        self.format == Format::BinarySi && self.nanos.abs() >= 1024 * NANO && self.is_whole()
    }
}

impl Add for Quantity {
    type Output = Self;
    /// The sum; nothing takes the other's units.
    fn add(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_add(other.nanos), format }
    }
}

impl Sub for Quantity {
    type Output = Self;
    /// The difference; nothing takes the other's units.
    fn sub(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_sub(other.nanos), format }
    }
}

impl Neg for Quantity {
    type Output = Self;
    fn neg(self) -> Self {
        Self { nanos: -self.nanos, ..self }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl FromStr for Quantity {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for Quantity {
    /// The canonical text: no fraction, the largest unit that keeps every digit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        if self.is_binary_text() {
            let (amount, times) = strip_factor(self.nanos / NANO, 1024, 6);
            return write!(f, "{amount}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][times]);
        }
        // Factors of a thousand: the exponent must be a multiple of three.
        let (amount, times) = strip_factor(self.nanos, 1000, usize::MAX);
        let exponent = i64::try_from(times).unwrap_or(i64::MAX) * 3 - 9;
        match (self.format, exponent) {
            (_, 0) => write!(f, "{amount}"),
            (Format::DecimalExponent, exponent) => write!(f, "{amount}e{exponent}"),
            (_, exponent) => write!(f, "{amount}{}", decimal_suffix(exponent)),
        }
    }
}

struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

fn split(text: &str) -> Result<Parts<'_>, Error> {
    let negative = text.starts_with('-');
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let rest = rest.trim_start_matches('0');
    let (whole, rest) = take_digits(rest);
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => take_digits(rest),
        None => ("", rest),
    };
    let tail = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let tail = tail.strip_prefix(['-', '+']).unwrap_or(tail);
    if !take_digits(tail).1.is_empty() {
        return Err(Error::Format);
    }
    Ok(Parts { negative, whole: if whole.is_empty() { "0" } else { whole }, fraction, suffix })
}

fn take_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn unit(suffix: &str) -> Option<(u32, i64, Format)> {
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|s| *s == suffix);
    if let Some(at) = binary {
        return Some((2, (i64::try_from(at).ok()? + 1) * 10, Format::BinarySi));
    }
    let decimal = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"].iter().position(|s| *s == suffix);
    if let Some(at) = decimal {
        return Some((10, i64::try_from(at).ok()? * 3 - 9, Format::DecimalSi));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let exponent: i64 = exponent.parse().ok()?;
    Some((10, exponent.clamp(-MAX_EXPONENT, MAX_EXPONENT), Format::DecimalExponent))
}

fn decimal_suffix(exponent: i64) -> String {
    let names = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
    let known = usize::try_from(exponent / 3 + 3).ok().and_then(|at| names.get(at));
    known.map_or_else(|| format!("e{exponent}"), |name| (*name).to_owned())
}

/// Whether upstream keeps the amount as it stands instead of capping it at the largest 64-bit number.
fn is_exact(parts: &Parts<'_>, base: u32, exponent: i64) -> bool {
    let digits = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    if base == 2 {
        return parts.fraction.is_empty() && 15 - digits(parts.whole) - exponent * 3 / 10 > 0;
    }
    digits(parts.whole) + digits(parts.fraction) <= MAX_DIGITS && exponent - digits(parts.fraction) >= -9
}

/// The digits as a number; more than fit are as good as infinite.
fn number(digits: &str) -> i128 {
    digits.parse().unwrap_or(i128::MAX)
}

fn shift(digits: &str, exponent: i64) -> i128 {
    number(digits).saturating_mul(1_i128 << exponent)
}

/// `amount` × 10^`exponent`, what falls below one rounded up.
fn scale_ten(amount: i128, exponent: i64) -> i128 {
    if amount == 0 {
        return 0;
    }
    let power = 10_i128.checked_pow(u32::try_from(exponent.unsigned_abs()).unwrap_or(u32::MAX));
    match (power, exponent >= 0) {
        (Some(power), true) => amount.saturating_mul(power),
        (None, true) => i128::MAX,
        (Some(power), false) => divide_away(amount, power),
        (None, false) => 1,
    }
}

fn divide_away(amount: i128, by: i128) -> i128 {
    amount / by + (amount % by).signum()
}

fn clamp(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(if amount < 0 { i64::MIN } else { i64::MAX })
}

fn strip_factor(mut amount: i128, factor: i128, limit: usize) -> (i128, usize) {
    let mut times = 0;
    while times < limit && amount % factor == 0 {
        amount /= factor;
        times += 1;
    }
    (amount, times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        Quantity::parse(text).map_or_else(|e| e.to_string(), |q| q.to_string())
    }

    #[test]
    fn what_needs_no_reading() {
        for suffix in ["", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"] {
            for number in 1..1000 {
                let text = format!("{number}{suffix}");
                assert!(Quantity::is_written(&text), "{text}");
                assert_eq!(Quantity::parse(&text).unwrap().to_string(), text);
            }
        }
        assert!(["", "0", "01", "1000", "1.5", "-1", "1e3", "m", "1n"].iter().all(|text| !Quantity::is_written(text)));
    }

    #[test]
    fn canonical_texts() {
        for (text, expected) in [
            ("0", "0"),
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("512", "512"),
            ("1023Ki", "1023Ki"),
            ("0.5Ki", "512"),
            ("1000k", "1M"),
            ("12e6", "12e6"),
            ("1e3", "1e3"),
            ("1200", "1200"),
            ("1E", "1E"),
            ("-1Gi", "-1Gi"),
            ("+2", "2"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            ("100Ei", "9223372036854775807"),
            ("1.", "1"),
            ("0.0001Ki", "102400u"),
        ] {
            assert_eq!(canonical(text), expected, "{text}");
        }
    }

    #[test]
    fn errors() {
        for (text, expected) in [
            ("", Error::Format),
            ("abc", Error::Format),
            ("1x", Error::Format),
            ("1 ", Error::Format),
            ("1mm", Error::Suffix),
            ("1e", Error::Suffix),
            ("1KM", Error::Suffix),
        ] {
            assert_eq!(Quantity::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn arithmetic() {
        let [a, b] = ["1500m", "600m"].map(|t| Quantity::parse(t).unwrap());
        assert_eq!((a + b).to_string(), "2100m");
        assert_eq!((b - a).to_string(), "-900m");
        assert_eq!((a.value(), a.milli_value(), (b - a).value()), (2, 1500, -1));
        assert_eq!((Quantity::ZERO + Quantity::parse("2Ki").unwrap()).to_string(), "2Ki");
        assert!(Quantity::parse("1Gi").unwrap() > Quantity::parse("1G").unwrap());
    }
}
