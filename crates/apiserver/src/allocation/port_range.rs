//! A range of ports, as `--service-node-port-range` writes it.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A part of a range is left to those who choose themselves, within these bounds; a range of no more than the lower one
/// has none (KEP-3668).
const LEAST_STATIC: u16 = 16;
const MOST_STATIC: u16 = 128;
const STATIC_PART: u16 = 32;

/// Ports from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Why a text is no range of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongPortRange {
    /// One of its numbers is none.
    #[error("strconv.Atoi: parsing {0:?}: invalid syntax")]
    NoNumber(String),
    /// It says both where it ends and how long it is.
    #[error("unable to parse port range: {0}")]
    Unreadable(String),
    /// It goes on where no ports are.
    #[error("the port range cannot be greater than 65535: {0}")]
    TooHigh(String),
    /// It ends before it begins.
    #[error("end port cannot be less than start port: {0}")]
    Backwards(String),
}

impl PortRange {
    /// The ports that nodes open for services unless another range is given.
    pub const NODE_PORTS: Self = Self { first: 30_000, last: 32_767 };

    /// Its ports, in order.
    #[must_use]
    pub fn ports(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }

    /// Whether the port is one of them.
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        self.ports().contains(&port)
    }

    /// How many ports there are.
    #[must_use]
    pub fn size(self) -> usize {
        self.ports().len()
    }

    /// The low part, which is left to those who choose themselves, and the rest.
    #[must_use]
    pub fn parts(self) -> (RangeInclusive<u16>, RangeInclusive<u16>) {
        let longest = self.last - self.first;
        let low = if longest < LEAST_STATIC {
            0
        } else {
            // A range has at most 65,536 ports, one more than fits.
            u16::try_from(self.size() / usize::from(STATIC_PART))
                .unwrap_or(MOST_STATIC)
                .clamp(LEAST_STATIC, MOST_STATIC)
        };
        let upper = self.first + low;
        // A range that is empty ends before it begins.
        let lower = if low == 0 { RangeInclusive::new(1, 0) } else { self.first..=upper - 1 };
        (lower, upper..=self.last)
    }
}

impl Default for PortRange {
    fn default() -> Self {
        Self::NODE_PORTS
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.first, self.last)
    }
}

impl FromStr for PortRange {
    type Err = WrongPortRange;

    /// `FIRST-LAST`, `FIRST+MORE` or one port; nothing stands for the usual range.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let whole = || text.to_owned();
        let (first, last) = match (text.split_once('-'), text.split_once('+')) {
            (None, None) if text.is_empty() => return Ok(Self::default()),
            (None, None) => (number(text)?, number(text)?),
            (Some((first, last)), None) => (number(first)?, number(last)?),
            (None, Some((first, more))) => {
                let first = number(first)?;
                (first, first.saturating_add(number(more)?))
            }
            (Some(_), Some(_)) => return Err(WrongPortRange::Unreadable(whole())),
        };
        let (Ok(first), Ok(last)) = (u16::try_from(first), u16::try_from(last)) else {
            return Err(WrongPortRange::TooHigh(whole()));
        };
        if last < first {
            return Err(WrongPortRange::Backwards(whole()));
        }
        Ok(Self { first, last })
    }
}

fn number(text: &str) -> Result<i64, WrongPortRange> {
    text.parse().map_err(|_| WrongPortRange::NoNumber(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read() {
        let texts = [
            "30000-32767",
            " 30000+10 ",
            "",
            "8080",
            "0-65535",
            "30000-29999",
            "1-65536",
            "65530+6",
            "1-2+3",
            "a-3",
            "3-",
            "99999999999999999999",
        ];
        let show = |text: &str| match text.parse::<PortRange>() {
            Ok(range) => format!("{text:?}: {range}, {} ports, {:?}", range.size(), range.parts()),
            Err(error) => format!("{text:?}: {error}"),
        };
        expect_test::expect![[r#"
            "30000-32767": 30000-32767, 2768 ports, (30000..=30085, 30086..=32767)
            " 30000+10 ": 30000-30010, 11 ports, (1..=0, 30000..=30010)
            "": 30000-32767, 2768 ports, (30000..=30085, 30086..=32767)
            "8080": 8080-8080, 1 ports, (1..=0, 8080..=8080)
            "0-65535": 0-65535, 65536 ports, (0..=127, 128..=65535)
            "30000-29999": end port cannot be less than start port: 30000-29999
            "1-65536": the port range cannot be greater than 65535: 1-65536
            "65530+6": the port range cannot be greater than 65535: 65530+6
            "1-2+3": unable to parse port range: 1-2+3
            "a-3": strconv.Atoi: parsing "a": invalid syntax
            "3-": strconv.Atoi: parsing "": invalid syntax
            "99999999999999999999": strconv.Atoi: parsing "99999999999999999999": invalid syntax"#]]
        .assert_eq(&texts.map(show).join("\n"));
    }

    #[test]
    fn a_small_range_has_no_low_part() {
        let parts = ["1-16", "1-17", "1-1024", "1-9999"].map(|text| text.parse::<PortRange>().unwrap().parts());
        expect_test::expect![[r#"
            (1..=0, 1..=16)
            (1..=16, 17..=17)
            (1..=32, 33..=1024)
            (1..=128, 129..=9999)"#]]
        .assert_eq(&parts.map(|part| format!("{part:?}")).join("\n"));
    }
}
