//! Where the messages of the table are kept: a package is read when its first message is asked for.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::{Message, text};

/// The package of what all kinds share.
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// The files of the table.
static TEXTS: &[&str] = &[
    include_str!("table/core.v1.txt"),
    include_str!("table/meta.v1.txt"),
    include_str!("table/admission.v1.txt"),
    include_str!("table/admissionregistration.v1.txt"),
    include_str!("table/apidiscovery.v2.txt"),
    include_str!("table/apiextensions.v1.txt"),
    include_str!("table/apiextensions.v1beta1.txt"),
    include_str!("table/apiregistration.v1.txt"),
    include_str!("table/apps.v1.txt"),
    include_str!("table/authentication.v1.txt"),
    include_str!("table/authorization.v1.txt"),
    include_str!("table/autoscaling.v1.txt"),
    include_str!("table/autoscaling.v2.txt"),
    include_str!("table/batch.v1.txt"),
    include_str!("table/certificates.v1.txt"),
    include_str!("table/coordination.v1.txt"),
    include_str!("table/discovery.v1.txt"),
    include_str!("table/discovery.v1beta1.txt"),
    include_str!("table/events.v1.txt"),
    include_str!("table/flowcontrol.v1.txt"),
    include_str!("table/flowcontrol.v1beta1.txt"),
    include_str!("table/networking.v1.txt"),
    include_str!("table/networking.v1beta1.txt"),
    include_str!("table/node.v1.txt"),
    include_str!("table/policy.v1.txt"),
    include_str!("table/rbac.v1.txt"),
    include_str!("table/resource.v1.txt"),
    include_str!("table/scheduling.v1.txt"),
    include_str!("table/storage.v1.txt"),
];

/// One file of the table.
pub(super) struct Package {
    /// The prefix of its messages' names.
    pub(super) name: &'static str,
    group: &'static str,
    body: &'static str,
    messages: OnceLock<HashMap<&'static str, Message>>,
}

impl Package {
    fn version(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or_default()
    }

    /// Its messages by their short name.
    pub(super) fn messages(&'static self) -> &'static HashMap<&'static str, Message> {
        self.messages.get_or_init(|| text::read(self.name, self.body))
    }
}

/// All packages.
pub(super) fn packages() -> &'static [Package] {
    static PACKAGES: OnceLock<Vec<Package>> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        TEXTS
            .iter()
            .map(|text| {
                let header = text::header(text);
                Package { name: header.package, group: header.group, body: header.body, messages: OnceLock::new() }
            })
            .collect()
    })
}

/// The message of this full name, `io.k8s.api.core.v1.Pod`.
#[must_use]
pub fn message(name: &str) -> Option<&'static Message> {
    let (package, short) = name.rsplit_once('.')?;
    find(package, short)
}

/// The message of a kind that stands for itself; what all groups share (`DeleteOptions`, `Status`) is found in each.
#[must_use]
pub fn of_kind(group: &str, version: &str, kind: &str) -> Option<&'static Message> {
    let package = packages().iter().find(|package| package.group == group && package.version() == version)?;
    let found = package.messages().get(kind).or_else(|| find(META, kind))?;
    (found.is_root() || found.name.starts_with(META)).then_some(found)
}

/// A message that another one of the table names.
///
/// # Panics
/// If it is not there: the table would be broken, which a test would show.
pub(super) fn in_package(package: &str, name: &str) -> &'static Message {
    find(package, name).unwrap_or_else(|| panic!("the field table has no message {package}.{name}"))
}

fn find(package: &str, name: &str) -> Option<&'static Message> {
    packages().iter().find(|found| found.name == package)?.messages().get(name)
}
