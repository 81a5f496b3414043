//! Who asks: the identity that authentication finds and that in-process callers bring along.

use std::collections::BTreeMap;

/// An authenticated caller. In process it travels as an extension of the request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// The name, `system:node:a` say.
    pub name: String,
    /// The unique id; may be empty.
    pub uid: String,
    /// The groups, `system:authenticated` among them.
    pub groups: Vec<String>,
    /// Whatever else the authenticator knows.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// The caller that nobody knows.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new("system:anonymous", &["system:unauthenticated"])
    }

    /// A component of this server talking to it in process: all is allowed.
    #[must_use]
    pub fn loopback() -> Self {
        Self::new("system:apiserver", &["system:masters", "system:authenticated"])
    }

    /// A caller with a name and groups.
    #[must_use]
    pub fn new(name: &str, groups: &[&str]) -> Self {
        Self { name: name.to_owned(), groups: groups.iter().map(|g| (*g).to_owned()).collect(), ..Self::default() }
    }

    /// Whether the caller belongs to `group`.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}
