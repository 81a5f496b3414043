//! What was measured, as the lines that `cargo xtask bench` reads.

use std::time::Duration;

/// Prints one figure: `key` names the row of the table.
pub fn print(key: &str, measured: &str) {
    println!("{}", serde_json::json!({"key": key, "measured": measured}));
}

/// Says on stderr what goes on.
pub fn progress(text: &str) {
    eprintln!("bench: {text}");
}

/// The middle of `times`; zero of none.
pub fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The largest of `times`; zero of none.
pub fn longest(times: &[Duration]) -> Duration {
    times.iter().max().copied().unwrap_or_default()
}

/// `total` shared out over `count`, in microseconds.
pub fn micros_each(total: Duration, count: u64) -> f64 {
    total.as_secs_f64() * 1e6 / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_share() {
        let mut times = [3, 1, 2].map(Duration::from_millis);
        assert_eq!(median(&mut times), Duration::from_millis(2));
        assert_eq!(longest(&times), Duration::from_millis(3));
        assert_eq!(median(&mut []), Duration::ZERO);
        assert_eq!(micros_each(Duration::from_secs(1), 1000), 1000.0);
    }
}
