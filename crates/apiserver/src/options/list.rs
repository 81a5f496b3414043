//! The options of lists, watches and deletions of collections.

use machinery::Status;
use machinery::field::{Error, Errors, Path};

use super::checked;
use crate::query::Query;

/// How the resourceVersion of a list is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionMatch {
    /// Exactly that version.
    Exact,
    /// That version or a later one.
    NotOlderThan,
}

/// The options of a list or watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Which labels.
    pub label_selector: String,
    /// Which fields.
    pub field_selector: String,
    /// Whether changes are wanted rather than a list.
    pub watch: bool,
    /// Whether marks of progress may be sent.
    pub allow_watch_bookmarks: bool,
    /// The version to read at or to start after; empty, `0` or a number.
    pub resource_version: String,
    /// How that version is meant.
    pub version_match: Option<VersionMatch>,
    /// How long the watch may last.
    pub timeout_seconds: Option<i64>,
    /// The size of a page; 0 for all.
    pub limit: usize,
    /// Where the page before ended.
    pub continue_token: String,
    /// Whether a watch begins with the present state.
    pub send_initial_events: Option<bool>,
}

impl ListOptions {
    /// Reads and checks `query`.
    ///
    /// # Errors
    /// A number that is none, or options that exclude one another.
    pub fn parse(query: &Query) -> Result<Self, Status> {
        let limit = query.number("limit").map_err(Status::bad_request)?.unwrap_or(0);
        let matching = query.text("resourceVersionMatch");
        let options = Self {
            label_selector: query.text("labelSelector").to_owned(),
            field_selector: query.text("fieldSelector").to_owned(),
            watch: query.truth("watch").unwrap_or(false),
            allow_watch_bookmarks: query.truth("allowWatchBookmarks").unwrap_or(false),
            resource_version: query.text("resourceVersion").to_owned(),
            version_match: match matching {
                "Exact" => Some(VersionMatch::Exact),
                "NotOlderThan" => Some(VersionMatch::NotOlderThan),
                _ => None,
            },
            timeout_seconds: query.number("timeoutSeconds").map_err(Status::bad_request)?,
            limit: usize::try_from(limit).unwrap_or(0),
            continue_token: query.text("continue").to_owned(),
            send_initial_events: query.truth("sendInitialEvents"),
        };
        let errors = if options.watch { options.check_watch(matching) } else { options.check_list(matching) };
        checked("ListOptions", &errors).map(|()| options)
    }

    fn check_list(&self, matching: &str) -> Errors {
        let (mut errors, field) = (Errors::new(), Path::new("resourceVersionMatch"));
        if !matching.is_empty() {
            if self.resource_version.is_empty() {
                let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                errors.push(Error::forbidden(&field, detail));
            }
            if !self.continue_token.is_empty() {
                errors.push(Error::forbidden(&field, "resourceVersionMatch is forbidden when continue is provided"));
            }
            if self.version_match.is_none() {
                errors.push(Error::not_supported(&field, matching, &["Exact", "NotOlderThan", ""]));
            }
            if self.version_match == Some(VersionMatch::Exact) && self.resource_version == "0" {
                let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.push(Error::forbidden(&field, detail));
            }
        }
        if self.send_initial_events.is_some() {
            let field = Path::new("sendInitialEvents");
            errors.push(Error::forbidden(&field, "sendInitialEvents is forbidden for list"));
        }
        errors
    }

    fn check_watch(&self, matching: &str) -> Errors {
        let (mut errors, field) = (Errors::new(), Path::new("resourceVersionMatch"));
        let not_older = self.version_match == Some(VersionMatch::NotOlderThan);
        if self.send_initial_events.is_some() && !not_older {
            let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.push(Error::forbidden(&field, detail));
        }
        if !matching.is_empty() {
            if self.send_initial_events.is_none() {
                let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                errors.push(Error::forbidden(&field, detail));
            }
            if !not_older {
                errors.push(Error::not_supported(&field, matching, &["NotOlderThan"]));
            }
        }
        if !self.continue_token.is_empty() {
            errors.push(Error::forbidden(&field, "resourceVersionMatch is forbidden when continue is provided"));
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(query: &str) -> String {
        match ListOptions::parse(&Query::parse(Some(query))) {
            Ok(options) => format!("limit {} watch {}", options.limit, options.watch),
            Err(status) => format!("{} {}", status.code, status.message),
        }
    }

    #[test]
    fn checks() {
        let cases = [
            "limit=-1&watch=maybe",
            "timeoutSeconds=x",
            "sendInitialEvents=true",
            "resourceVersionMatch=Exact&continue=c1",
            "watch=1&sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=1",
            "watch=1&continue=x",
        ];
        let shown: Vec<String> = cases.iter().map(|case| show(case)).collect();
        expect_test::expect![[r#"
            limit 0 watch true
            400 strconv.ParseInt: parsing "x": invalid syntax
            422 ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list
            422 ListOptions.meta.k8s.io "" is invalid: [resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided, resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided]
            422 ListOptions.meta.k8s.io "" is invalid: [resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan, resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"]
            422 ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided"#]]
        .assert_eq(&shown.join("\n"));
    }
}
