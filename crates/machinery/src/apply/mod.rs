//! Who owns which field (server-side apply, KEP-555): the bookkeeping in `metadata.managedFields` for every write, and
//! the merge of applied configurations with their conflicts.
//!
//! Everything is one algorithm over the field table and the tree: `compare` finds what a write changed, `merge` lays an
//! applied configuration over the live object, `fields_of` says what it owns, `remove` takes away what it gave up.

mod applied;
mod compare;
mod conflict;
mod element;
mod fields_of;
mod last_applied;
mod managers;
mod merge;
mod remove;
mod set;
mod shape;
mod timestamps;
mod updated;
mod validate;

#[cfg(test)]
mod generated;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenarios;

pub use applied::apply;
pub use conflict::Conflict;
pub use element::Element;
pub use managers::Managers;
pub use set::{Node, Set};
pub use timestamps::ignore_timestamps;
pub use updated::update;

use crate::schema::Message;
use crate::{Status, Value};

/// The object in another API version, and that version's shape; none if the version is no longer served.
pub type Convert<'c> = dyn Fn(&Value, &str) -> Option<(Value, &'c Message)> + 'c;

/// One write, as far as ownership is concerned.
pub struct Write<'c> {
    /// The field manager's name.
    pub manager: &'c str,
    /// `status`, `scale`, …; empty for the object itself.
    pub subresource: &'c str,
    /// The API version of the request.
    pub api_version: &'c str,
    /// Now, as it is written.
    pub time: &'c str,
    /// The shape of the object in the request's version.
    pub message: &'c Message,
    /// Fields that this write resets, so that nobody owns them through it.
    pub reset: Option<&'c Set>,
    /// For managers that wrote in other versions.
    pub convert: &'c Convert<'c>,
}

/// Why an apply failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Others own fields that the configuration would change.
    #[error("{}", conflict::message(.0))]
    Conflicts(Vec<Conflict>),
    /// The configuration is not for this object; HTTP 400.
    #[error("{0}")]
    BadRequest(String),
    /// The configuration does not fit the shape; HTTP 500, as upstream answers it.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// The API's answer.
    #[must_use]
    pub fn status(&self) -> Status {
        let message = self.to_string();
        let (code, reason) = match self {
            Self::Conflicts(conflicts) => return conflict::status(conflicts),
            Self::BadRequest(_) => (400, "BadRequest"),
            Self::Internal(_) => (500, ""),
        };
        Status::new(code, reason, message)
    }
}
