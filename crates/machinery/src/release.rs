//! The release of Kubernetes that this is, as `/version` and `kubernetes_build_info` tell it.

use base::metrics::{Family, Shape, alpha};

/// The version whose behaviour this has.
pub const GIT_VERSION: &str = "v1.36.2";

/// What is told of the build: the label in metrics, the field in `/version`, and the value.
#[must_use]
pub fn build() -> [(&'static str, &'static str, String); 9] {
    [
        ("build_date", "buildDate", "1970-01-01T00:00:00Z".to_owned()),
        ("compiler", "compiler", "rustc".to_owned()),
        ("git_commit", "gitCommit", String::new()),
        ("git_tree_state", "gitTreeState", "clean".to_owned()),
        ("git_version", "gitVersion", GIT_VERSION.to_owned()),
        ("go_version", "goVersion", String::new()),
        ("major", "major", "1".to_owned()),
        ("minor", "minor", "36".to_owned()),
        ("platform", "platform", format!("{}/{}", std::env::consts::OS, architecture())),
    ]
}

/// Which build this is, as metrics tell it.
#[must_use]
pub fn build_info() -> Family {
    let about = alpha("kubernetes_build_info", "Which build this is; the number says nothing.");
    let build = build();
    let labels: Vec<(&'static str, &str)> = build.iter().map(|(label, _, value)| (*label, value.as_str())).collect();
    Family::labelled(about, Shape::Gauge, &labels, 1.0)
}

/// Go's name of this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
