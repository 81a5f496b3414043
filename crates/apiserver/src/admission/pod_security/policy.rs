//! Which level a namespace asks for, from its labels (KEP-2579).

use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};

/// What begins the labels.
pub(super) const PREFIX: &str = "pod-security.kubernetes.io/";

/// How much is forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Level {
    #[default]
    Privileged,
    Baseline,
    Restricted,
}

/// Which Kubernetes' idea of a level counts: a minor version, or `None` for the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Version(Option<u32>);

impl Level {
    /// Reads the name of a level.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "privileged" => Some(Self::Privileged),
            "baseline" => Some(Self::Baseline),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }
}

impl Version {
    /// Reads `latest` or `v1.27`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "latest" {
            return Some(Self(None));
        }
        text.strip_prefix("v1.").and_then(read_minor).map(|minor| Self(Some(minor)))
    }

    /// Whether rules that came with `minor` count.
    pub fn has(self, minor: u32) -> bool {
        self.0.is_none_or(|version| version >= minor)
    }
}

/// A level in a version: `baseline:latest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Standard {
    pub level: Level,
    pub version: Version,
}

impl std::fmt::Display for Standard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version.0 {
            None => write!(f, "{level}:latest"),
            Some(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

/// What a namespace asks for. Its wish for audit annotations has no effect: there is no audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Policy {
    pub enforce: Standard,
    pub warn: Standard,
}

impl Policy {
    /// The policy of a namespace whose labels may leave things to `defaults`, and what is wrong with the labels. What
    /// cannot be read is enforced as restricted.
    pub fn of(namespace: &Value, defaults: &Self) -> (Self, Errors) {
        let mut errors = Errors::new();
        let mut read = |mode: &str, default: Standard, fallback: Level| Standard {
            level: read_level(namespace, mode, default.level, fallback, &mut errors),
            version: read_version(namespace, mode, default.version, &mut errors),
        };
        let enforce = read("enforce", defaults.enforce, Level::Restricted);
        read("audit", Standard::default(), Level::Privileged);
        let warn = read("warn", defaults.warn, Level::Privileged);
        (Self { enforce, warn }, errors)
    }
}

fn read_level(namespace: &Value, mode: &str, default: Level, fallback: Level, errors: &mut Errors) -> Level {
    let label = format!("{PREFIX}{mode}");
    let Some(text) = meta::label(namespace, &label) else { return default };
    Level::parse(text).unwrap_or_else(|| {
        errors.push(Error::invalid(&place(&label), text, "must be one of privileged, baseline, restricted"));
        fallback
    })
}

fn read_version(namespace: &Value, mode: &str, default: Version, errors: &mut Errors) -> Version {
    let label = format!("{PREFIX}{mode}-version");
    let Some(text) = meta::label(namespace, &label) else { return default };
    Version::parse(text).unwrap_or_else(|| {
        errors.push(Error::invalid(&place(&label), text, "must be \"latest\" or \"v1.x\""));
        Version::default()
    })
}

/// A minor version without leading zeros or signs.
fn read_minor(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn place(label: &str) -> Path {
    Path::new("metadata").child("labels").key(label)
}
