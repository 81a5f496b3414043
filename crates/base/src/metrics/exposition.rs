//! The answer to who asks for metrics: in the format and the encoding that they take.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::family::Family;
use super::text;

/// The content type of Prometheus' text.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// The content type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";

/// What the asking side takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// OpenMetrics rather than Prometheus' own text.
    pub open_metrics: bool,
    /// Compressed.
    pub gzip: bool,
}

impl Wanted {
    /// Reads the values of the headers `Accept` and `Accept-Encoding`.
    #[must_use]
    pub fn read(accept: &str, accept_encoding: &str) -> Self {
        // The one with the greater weight; the text if it is a draw.
        let weight = |media: &str| {
            let found = accept.split(',').filter(|one| one.split(';').next().unwrap_or_default().trim() == media);
            found.map(weight).fold(0.0, f64::max)
        };
        let open_metrics = weight("application/openmetrics-text");
        let plain = ["text/plain", "text/*", "*/*"].map(weight).into_iter().fold(0.0, f64::max);
        let gzip = accept_encoding.split(',').any(|one| {
            let name = one.split(';').next().unwrap_or_default().trim();
            (name == "gzip" || name == "*") && self::weight(one) > 0.0
        });
        Self { open_metrics: open_metrics > 0.0 && open_metrics >= plain, gzip }
    }
}

fn weight(one: &str) -> f64 {
    let given = one.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("q="));
    given.map_or(1.0, |weight| weight.parse().unwrap_or(0.0))
}

/// An answer.
#[derive(Debug)]
pub struct Exposition {
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// Whether its `Content-Encoding` is gzip.
    pub gzip: bool,
    /// The bytes.
    pub body: Vec<u8>,
}

impl Exposition {
    /// Tells `families`, sorted by name; those with nothing to tell are left out. Of two with one name the first
    /// counts.
    #[must_use]
    pub fn of(mut families: Vec<Family>, wanted: Wanted) -> Self {
        families.retain(|family| !family.samples.is_empty());
        families.sort_by_key(|family| family.about.name);
        families.dedup_by_key(|family| family.about.name);
        let (content_type, text) = match wanted.open_metrics {
            true => (OPEN_METRICS, text::open_metrics(&families)),
            false => (TEXT, text::prometheus(&families)),
        };
        let body = if wanted.gzip { compressed(&text) } else { text.into_bytes() };
        Self { content_type, gzip: wanted.gzip, body }
    }
}

fn compressed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("a Vec takes everything");
    encoder.finish().expect("a Vec takes everything")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken() {
        let cases = [
            ("", "", "", ""),
            ("*/*", "gzip, deflate", "text", "gzip"),
            ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", "gzip;q=0", "open", ""),
            ("application/openmetrics-text;q=0.3, text/plain", "", "text", ""),
            ("application/json", "*", "text", "gzip"),
        ];
        for (accept, encoding, format, compression) in cases {
            let wanted = Wanted::read(accept, encoding);
            assert_eq!((wanted.open_metrics, wanted.gzip), (format == "open", compression == "gzip"), "{accept}");
        }
    }
}
