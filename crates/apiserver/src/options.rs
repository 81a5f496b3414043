//! The options of requests, read from the query or a body, with the API's validation.

mod delete;
mod list;
mod write;

pub use delete::{DeleteOptions, Propagation};
pub use list::{ListOptions, VersionMatch};
pub use write::{PatchKind, WriteOptions};

use machinery::Status;
use machinery::field::Errors;
use machinery::status::In;

/// The group whose name stands in the messages about options.
const META_GROUP: &str = "meta.k8s.io";

/// `Ok` without errors, else the error about `kind` of options.
fn checked(kind: &str, errors: &Errors) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(In { group: META_GROUP, name: kind }, "", errors))
}

/// The checks that dryRun values of every kind of options share.
fn check_dry_run(values: &[String], errors: &mut Errors) {
    use machinery::field::{Error, Path};
    if values.is_empty() || values.iter().all(|value| value == "All") {
        return;
    }
    errors.push(Error::not_supported(&Path::new("dryRun"), values.to_vec(), &["All"]));
}
