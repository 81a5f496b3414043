//! What a request may add to its path: selectors, pages, patches.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use serde::{Deserialize, Serialize};

/// Which objects of a collection to list, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// A label selector; empty selects all.
    pub label_selector: String,
    /// A field selector; empty selects all.
    pub field_selector: String,
    /// At most so many objects a page; 0 means all.
    pub limit: u32,
    /// Where the last page ended.
    pub continue_token: String,
    /// The revision to list at or not before; empty asks for the latest.
    pub resource_version: String,
    /// `Exact` or `NotOlderThan`; empty leaves it to the server.
    pub resource_version_match: String,
}

/// Which objects of a collection to watch, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// A label selector; empty selects all.
    pub label_selector: String,
    /// A field selector; empty selects all.
    pub field_selector: String,
    /// Events after this revision.
    pub resource_version: String,
    /// The server ends the watch after so long; 0 leaves it to the server.
    pub timeout_seconds: u64,
}

/// How to change an object in place.
#[derive(Debug, Clone)]
pub enum Patch<T = machinery::Value> {
    /// RFC 7396.
    Merge(T),
    /// RFC 6902: a list of operations.
    Json(T),
    /// Kubernetes' strategic merge patch.
    Strategic(T),
    /// Server-side apply.
    Apply {
        /// The object as its manager wants it.
        object: T,
        /// Who owns these fields from now on.
        field_manager: String,
        /// Whether to take fields from other managers.
        force: bool,
    },
}

impl<T> Patch<T> {
    pub(crate) fn content_type(&self) -> &'static str {
        match self {
            Self::Merge(_) => "application/merge-patch+json",
            Self::Json(_) => "application/json-patch+json",
            Self::Strategic(_) => "application/strategic-merge-patch+json",
            Self::Apply { .. } => "application/apply-patch+yaml",
        }
    }

    pub(crate) fn body(&self) -> &T {
        match self {
            Self::Merge(body) | Self::Json(body) | Self::Strategic(body) | Self::Apply { object: body, .. } => body,
        }
    }

    pub(crate) fn query(&self) -> Query {
        let mut query = Query::default();
        if let Self::Apply { field_manager, force, .. } = self {
            query.add("fieldManager", field_manager);
            query.add("force", if *force { "true" } else { "" });
        }
        query
    }
}

/// A page of a collection.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct List<T> {
    /// The revision of the list and where it goes on.
    #[serde(default)]
    pub metadata: ListMeta,
    /// The objects.
    #[serde(default = "Vec::new", deserialize_with = "null_is_empty")]
    pub items: Vec<T>,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// The query part of a URI, percent-encoded (RFC 3986).
#[derive(Debug, Default)]
pub(crate) struct Query(String);

impl Query {
    /// Adds `name=value`, unless the value is empty.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.0.push(char::from(byte));
            } else {
                self.0.push_str(&format!("%{byte:02X}"));
            }
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&ListOptions> for Query {
    fn from(options: &ListOptions) -> Self {
        let mut query = Self::default();
        query.add("labelSelector", &options.label_selector);
        query.add("fieldSelector", &options.field_selector);
        query.add("limit", &if options.limit == 0 { String::new() } else { options.limit.to_string() });
        query.add("continue", &options.continue_token);
        query.add("resourceVersion", &options.resource_version);
        query.add("resourceVersionMatch", &options.resource_version_match);
        query
    }
}

impl From<&WatchOptions> for Query {
    fn from(options: &WatchOptions) -> Self {
        let mut query = Self::default();
        query.add("watch", "true");
        query.add("allowWatchBookmarks", "true");
        query.add("labelSelector", &options.label_selector);
        query.add("fieldSelector", &options.field_selector);
        query.add("resourceVersion", &options.resource_version);
        let timeout = options.timeout_seconds;
        query.add("timeoutSeconds", &if timeout == 0 { String::new() } else { timeout.to_string() });
        query
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_percent_encoded() {
        let options = ListOptions { label_selector: "a in (b,c),d!=é".into(), limit: 5, ..ListOptions::default() };
        assert_eq!(Query::from(&options).as_str(), "?labelSelector=a%20in%20%28b%2Cc%29%2Cd%21%3D%C3%A9&limit=5");
    }
}
