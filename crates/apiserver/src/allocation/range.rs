//! A range of addresses, and in which order they are tried: the low part is left to those who choose themselves (KEP-3070).

use std::net::IpAddr;

use base::Random;
use ipnet::IpNet;

/// The low part is a sixteenth of the range, within these bounds; a range of no more than the lower one has none.
const LEAST_STATIC: u128 = 16;
const MOST_STATIC: u128 = 256;
const STATIC_PART: u128 = 16;

/// So many addresses of a part are tried at most: IPv6 has more than anybody can count.
const MOST_TRIED: u128 = 1 << 64;

/// The usable addresses of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    network: IpNet,
    first: u128,
    /// Where the part begins from which addresses are chosen first.
    dynamic: u128,
    last: u128,
}

impl Range {
    /// All addresses of `network` but its own and, for IPv4, the one for broadcasts; `None` when none is left.
    #[must_use]
    pub fn new(network: IpNet) -> Option<Self> {
        let bits = network.max_prefix_len() - network.prefix_len();
        let size = 1u128.checked_shl(bits.into()).unwrap_or(u128::MAX);
        let begin = number(network.network());
        let broadcasts = u128::from(network.addr().is_ipv4());
        let last = begin.saturating_add(size - 1).checked_sub(broadcasts)?;
        let first = begin + 1;
        let reserved = if size <= LEAST_STATIC { 0 } else { (size / STATIC_PART).clamp(LEAST_STATIC, MOST_STATIC) };
        (first <= last).then_some(Self { network: network.trunc(), first, dynamic: first + reserved, last })
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> IpNet {
        self.network
    }

    /// How many addresses services may have.
    #[must_use]
    pub fn size(&self) -> u128 {
        self.last - self.first + 1
    }

    /// Whether a service may have this address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.network.contains(&address) && (self.first..=self.last).contains(&number(address))
    }

    /// The addresses in the order in which they are tried: from anywhere in the upper part around, then the lower part.
    pub fn candidates(self, random: &Random) -> impl Iterator<Item = IpAddr> + use<> {
        let upper = around(self.dynamic, (self.last + 1).saturating_sub(self.dynamic), random);
        let lower = around(self.first, self.dynamic.min(self.last + 1) - self.first, random);
        upper.chain(lower).map(move |number| address(self.network, number))
    }
}

/// The `count` numbers from `begin` on, beginning anywhere among them.
fn around(begin: u128, count: u128, random: &Random) -> impl Iterator<Item = u128> + use<> {
    let count = count.min(MOST_TRIED);
    let start = usize::try_from(count).map_or_else(|_| random.u64().into(), |count| random.below(count) as u128);
    (0..count).map(move |i| begin + (start + i) % count)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

fn address(network: IpNet, number: u128) -> IpAddr {
    match network {
        IpNet::V4(_) => IpAddr::V4(u32::try_from(number).unwrap_or(u32::MAX).into()),
        IpNet::V6(_) => IpAddr::V6(number.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(range: &str) -> String {
        let Some(range) = Range::new(range.parse().unwrap()) else { return format!("{range} has none") };
        let [first, dynamic, last] = [range.first, range.dynamic, range.last].map(|n| address(range.network, n));
        format!("{first} {dynamic} {last}")
    }

    #[test]
    fn the_low_part_is_reserved() {
        let ranges =
            ["10.96.0.0/12", "10.96.0.0/16", "10.0.0.0/24", "10.0.0.0/27", "10.0.0.0/28", "10.0.0.0/31", "fd00::/112"];
        expect_test::expect![[r#"
            10.96.0.1 10.96.1.1 10.111.255.254
            10.96.0.1 10.96.1.1 10.96.255.254
            10.0.0.1 10.0.0.17 10.0.0.254
            10.0.0.1 10.0.0.17 10.0.0.30
            10.0.0.1 10.0.0.1 10.0.0.14
            10.0.0.0/31 has none
            fd00::1 fd00::101 fd00::ffff"#]]
        .assert_eq(&ranges.map(show).join("\n"));
    }

    #[test]
    fn every_address_is_tried_once_the_upper_ones_first() {
        let range = Range::new("10.0.0.0/27".parse().unwrap()).unwrap();
        let all: Vec<IpAddr> = range.candidates(&Random::seeded(7)).collect();
        assert!(all[..14].iter().all(|address| number(*address) >= range.dynamic));
        let mut sorted = all.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!((sorted.len(), all.len()), (30, 30));
        assert!(all.iter().all(|address| range.contains(*address)));
        assert!(!range.contains("10.0.0.0".parse().unwrap()) && !range.contains("10.0.0.31".parse().unwrap()));
        let huge = Range::new("fd00::/64".parse().unwrap()).unwrap();
        assert!(huge.candidates(&Random::seeded(7)).take(3).all(|address| huge.contains(address)));
    }
}
