//! Families as text: Prometheus' own format (version 0.0.4) and OpenMetrics 1.0.

use std::fmt::Write as _;

use super::family::{Family, Sample, Shape, Value};

/// A number as Go writes it, which is what monitors compare bounds with.
#[must_use]
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Outside of these Go changes over to exponents.
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// The families in Prometheus' text format.
pub(super) fn prometheus(families: &[Family]) -> String {
    let mut out = String::new();
    for family in families {
        head(&mut out, family, family.about.name, false);
        for sample in &family.samples {
            body(&mut out, family, sample, family.about.name, number);
        }
    }
    out
}

/// The families in OpenMetrics, where a counter's name does not end in `_total` but its samples' do.
pub(super) fn open_metrics(families: &[Family]) -> String {
    let mut out = String::new();
    for family in families {
        let name = family.about.name;
        let shown = if family.shape == Shape::Counter { name.strip_suffix("_total").unwrap_or(name) } else { name };
        head(&mut out, family, shown, true);
        for sample in &family.samples {
            body(&mut out, family, sample, name, with_point);
        }
    }
    out.push_str("# EOF\n");
    out
}

fn head(out: &mut String, family: &Family, name: &str, is_open: bool) {
    let (about, level) = (&family.about, family.about.stability);
    let level = level.map(|level| format!("[{}] ", level.word())).unwrap_or_default();
    let help = about.help.replace('\\', "\\\\").replace('\n', "\\n");
    let help = if is_open { help.replace('"', "\\\"") } else { help };
    // A counter without the ending has no form of its own in OpenMetrics.
    let is_odd = is_open && family.shape == Shape::Counter && name == about.name;
    let shape = if is_odd { "unknown" } else { family.shape.word() };
    put(out, format_args!("# HELP {name} {level}{help}\n# TYPE {name} {shape}\n"));
}

fn body(out: &mut String, family: &Family, sample: &Sample, name: &str, shown: fn(f64) -> String) {
    let labels: String = labels(family, sample);
    let around = |more: &str| match (labels.is_empty(), more.is_empty()) {
        (true, true) => String::new(),
        (false, false) => format!("{{{labels},{more}}}"),
        _ => format!("{{{labels}{more}}}"),
    };
    let plain = around("");
    match &sample.value {
        Value::Number(value) => put(out, format_args!("{name}{plain} {}\n", shown(*value))),
        Value::Histogram { buckets, sum, count } => {
            for (bound, up_to) in buckets {
                let bound = around(&format!("le=\"{}\"", shown(*bound)));
                put(out, format_args!("{name}_bucket{bound} {up_to}\n"));
            }
            let all = around("le=\"+Inf\"");
            put(out, format_args!("{name}_bucket{all} {count}\n{name}_sum{plain} {}\n", shown(*sum)));
            put(out, format_args!("{name}_count{plain} {count}\n"));
        }
        Value::Summary { quantiles, sum, count } => {
            for (which, value) in quantiles {
                let which = around(&format!("quantile=\"{}\"", shown(*which)));
                put(out, format_args!("{name}{which} {}\n", shown(*value)));
            }
            put(out, format_args!("{name}_sum{plain} {}\n{name}_count{plain} {count}\n", shown(*sum)));
        }
    }
}

fn labels(family: &Family, sample: &Sample) -> String {
    let pairs = family.labels.iter().zip(&sample.labels).map(|(name, value)| {
        let value = value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
        format!("{name}=\"{value}\"")
    });
    pairs.collect::<Vec<_>>().join(",")
}

/// OpenMetrics' numbers look like floats.
fn with_point(value: f64) -> String {
    let shown = number(value);
    if shown.chars().all(|c| c.is_ascii_digit() || c == '-') { format!("{shown}.0") } else { shown }
}

fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what).expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::super::{alpha, stable};
    use super::*;

    #[test]
    fn numbers_are_as_in_go() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (-1.0, "-1"),
            (0.005, "0.005"),
            (1.25, "1.25"),
            (100_000.0, "100000"),
            (123_456.0, "123456"),
            (1e6, "1e+06"),
            (1.5e9, "1.5e+09"),
            (123_456_789.0, "1.23456789e+08"),
            (0.0001, "0.0001"),
            (1e-8, "1e-08"),
            (5e-7, "5e-07"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ];
        for (value, shown) in cases {
            assert_eq!(number(value), shown);
        }
    }

    #[test]
    fn open_metrics_names_counters_otherwise() {
        let families = [
            Family::single(stable("a_total", "All \"a\"."), Shape::Counter, 3.0),
            Family::single(alpha("b", "B."), Shape::Counter, 0.5),
        ];
        assert_eq!(
            open_metrics(&families),
            "# HELP a [STABLE] All \\\"a\\\".\n# TYPE a counter\na_total 3.0\n\
             # HELP b [ALPHA] B.\n# TYPE b unknown\nb 0.5\n# EOF\n"
        );
    }
}
