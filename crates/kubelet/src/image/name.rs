//! Image names: registry, repository, tag and digest, as the distribution specification writes them.

use std::sync::LazyLock;

use regex::Regex;

const HOST: &str = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?";
const PATH: &str = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*";
const TAG: &str = r"[\w][\w.-]{0,127}";
const DIGEST: &str = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";

static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = format!(r"^(?:({HOST})/)?({PATH})(?::({TAG}))?(?:@({DIGEST}))?$");
    Regex::new(&pattern).expect("the pattern is a constant and compiles")
});

/// The parts of an image's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The registry's host and port.
    pub registry: String,
    /// The path in the registry.
    pub repository: String,
}

/// Reads a name; the error is the message of `InvalidImageName`.
///
/// # Errors
/// When it is no image name.
pub fn parse(text: &str) -> Result<Name, String> {
    let invalid = |detail: &str| {
        format!("Failed to apply default image tag \"{text}\": couldn't parse image name \"{text}\": {detail}")
    };
    let Some(parts) = REFERENCE.captures(text) else {
        let lower = text.to_lowercase();
        let case = lower != text && REFERENCE.is_match(&lower);
        return Err(invalid(if case {
            "invalid reference format: repository name must be lowercase"
        } else {
            "invalid reference format"
        }));
    };
    let path = parts[2].to_owned();
    match parts.get(1).map(|host| host.as_str()) {
        // The first part is a host only if it looks like one.
        Some(host) if host.contains(['.', ':']) || host == "localhost" => {
            Ok(Name { registry: host.to_owned(), repository: path })
        }
        Some(host) => Ok(Name { registry: "docker.io".to_owned(), repository: format!("{host}/{path}") }),
        None if path.contains('/') => Ok(Name { registry: "docker.io".to_owned(), repository: path }),
        None => Ok(Name { registry: "docker.io".to_owned(), repository: format!("library/{path}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_names() {
        let cases = [
            ("busybox", Ok("docker.io library/busybox")),
            ("team/app:v1", Ok("docker.io team/app")),
            ("localhost:5000/a/b@sha256:0123456789abcdef0123456789abcdef", Ok("localhost:5000 a/b")),
            ("registry.k8s.io/pause:3.10", Ok("registry.k8s.io pause")),
            ("Busybox", Err("invalid reference format: repository name must be lowercase")),
            ("a b", Err("invalid reference format")),
        ];
        for (text, expected) in cases {
            let found = parse(text).map(|name| format!("{} {}", name.registry, name.repository));
            match expected {
                Ok(expected) => assert_eq!(found.as_deref(), Ok(expected)),
                Err(end) => assert!(found.unwrap_err().ends_with(&format!(": {end}")), "{text}"),
            }
        }
    }
}
