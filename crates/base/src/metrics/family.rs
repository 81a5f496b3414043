//! A family: one name, one help, and a sample for each set of labels.

/// How much a name can be relied on (KEP-1209).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stability {
    /// May go any time.
    Alpha,
    /// Goes only after a while of warning.
    Beta,
    /// Stays.
    Stable,
}

impl Stability {
    /// The word in helps.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Alpha => "ALPHA",
            Self::Beta => "BETA",
            Self::Stable => "STABLE",
        }
    }
}

/// What a family is called and says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// What it counts, in one sentence.
    pub help: &'static str,
    /// How stable it is; what other programs have by the same name (`process_…`) has no level.
    pub stability: Option<Stability>,
}

/// A family that may go.
#[must_use]
pub const fn alpha(name: &'static str, help: &'static str) -> About {
    About { name, help, stability: Some(Stability::Alpha) }
}

/// A family that will not go without warning.
#[must_use]
pub const fn beta(name: &'static str, help: &'static str) -> About {
    About { name, help, stability: Some(Stability::Beta) }
}

/// A family that stays.
#[must_use]
pub const fn stable(name: &'static str, help: &'static str) -> About {
    About { name, help, stability: Some(Stability::Stable) }
}

/// What the numbers of a family are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// They only grow.
    Counter,
    /// They go up and down.
    Gauge,
    /// They are counts by size.
    Histogram,
    /// They are quantiles.
    Summary,
}

impl Shape {
    /// The word of the text format.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// What is told of one set of labels.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A counter's or a gauge's.
    Number(f64),
    /// Counts up to each bound, the bounds growing.
    Histogram {
        /// Bound, and how many are not above it.
        buckets: Vec<(f64, u64)>,
        /// Of all that was measured.
        sum: f64,
        /// How often something was measured.
        count: u64,
    },
    /// Quantiles of late.
    Summary {
        /// Which, and what it is.
        quantiles: Vec<(f64, f64)>,
        /// Of all that was measured.
        sum: f64,
        /// How often something was measured.
        count: u64,
    },
}

/// One set of labels and what is told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Values in the order of [`Family::labels`].
    pub labels: Vec<String>,
    /// The numbers.
    pub value: Value,
}

/// All that is told under one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Name and help.
    pub about: About,
    /// What the numbers are.
    pub shape: Shape,
    /// The labels' names, sorted.
    pub labels: Vec<&'static str>,
    /// Sorted by their labels.
    pub samples: Vec<Sample>,
}

impl Family {
    /// A family of one number without labels.
    #[must_use]
    pub fn single(about: About, shape: Shape, value: f64) -> Self {
        let samples = vec![Sample { labels: Vec::new(), value: Value::Number(value) }];
        Self { about, shape, labels: Vec::new(), samples }
    }

    /// A family of one number with these labels.
    #[must_use]
    pub fn labelled(about: About, shape: Shape, labels: &[(&'static str, &str)], value: f64) -> Self {
        let mut labels = labels.to_vec();
        labels.sort_unstable();
        let (names, values) = labels.into_iter().map(|(name, value)| (name, value.to_owned())).unzip();
        Self { about, shape, labels: names, samples: vec![Sample { labels: values, value: Value::Number(value) }] }
    }
}
