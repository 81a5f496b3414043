//! The options of creates, updates and patches.

use machinery::Status;
use machinery::field::{Error, Errors, Path};
use machinery::schema::FieldValidation;

use super::{check_dry_run, checked};
use crate::query::Query;

/// A field manager's name has at most so many bytes.
const FIELD_MANAGER_BYTES: usize = 128;

/// The four kinds of patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Merge by the lists' keys.
    Strategic,
    /// Server-side apply.
    Apply,
}

/// The options of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteOptions {
    /// Whether the write must not be kept.
    pub dry_run: bool,
    /// Who owns the written fields; empty: taken from the User-Agent.
    pub field_manager: String,
    /// What happens to unknown fields.
    pub field_validation: FieldValidation,
    /// Whether an apply takes fields from their owners.
    pub force: bool,
}

impl WriteOptions {
    /// The options of a create.
    ///
    /// # Errors
    /// A value that is not supported.
    pub fn create(query: &Query) -> Result<Self, Status> {
        Self::parse(query, "CreateOptions", Errors::new())
    }

    /// The options of an update.
    ///
    /// # Errors
    /// A value that is not supported.
    pub fn update(query: &Query) -> Result<Self, Status> {
        Self::parse(query, "UpdateOptions", Errors::new())
    }

    /// The options of a patch.
    ///
    /// # Errors
    /// A value that is not supported, or not for this kind of patch.
    pub fn patch(query: &Query, kind: PatchKind) -> Result<Self, Status> {
        let mut errors = Errors::new();
        if kind == PatchKind::Apply && query.text("fieldManager").is_empty() {
            errors.push(Error::required(&Path::new("fieldManager"), "is required for apply patch"));
        }
        if kind != PatchKind::Apply && query.has("force") {
            errors.push(Error::forbidden(&Path::new("force"), "may not be specified for non-apply patch"));
        }
        Self::parse(query, "PatchOptions", errors)
    }

    fn parse(query: &Query, kind: &str, mut errors: Errors) -> Result<Self, Status> {
        let dry_run: Vec<String> = query.all("dryRun").map(str::to_owned).collect();
        let manager = query.text("fieldManager");
        check_field_manager(manager, &mut errors);
        check_dry_run(&dry_run, &mut errors);
        let field_validation = match query.text("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                let field = Path::new("fieldValidation");
                errors.push(Error::not_supported(&field, other, &["", "Ignore", "Strict", "Warn"]));
                FieldValidation::Warn
            }
        };
        let force = query.truth("force").unwrap_or(false);
        let options = Self { dry_run: !dry_run.is_empty(), field_manager: manager.to_owned(), field_validation, force };
        checked(kind, &errors).map(|()| options)
    }

    /// The manager of the fields that this request writes: the option, or the User-Agent up to its first slash.
    #[must_use]
    pub fn manager(&self, user_agent: &str) -> String {
        if !self.field_manager.is_empty() {
            return self.field_manager.clone();
        }
        let name = user_agent.split('/').next().unwrap_or_default();
        let mut end = name.len().min(FIELD_MANAGER_BYTES);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        if name.is_empty() { "unknown".to_owned() } else { name[..end].to_owned() }
    }
}

fn check_field_manager(manager: &str, errors: &mut Errors) {
    let field = Path::new("fieldManager");
    if manager.len() > FIELD_MANAGER_BYTES {
        errors.push(Error::too_long(&field, FIELD_MANAGER_BYTES));
    }
    for (at, odd) in manager.char_indices().filter(|(_, c)| c.is_control()) {
        let why = format!("invalid character U+{:04X} (at position {at})", u32::from(odd));
        errors.push(Error::invalid(&field, manager, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks() {
        let show = |result: Result<WriteOptions, Status>| match result {
            Ok(options) => options.manager("kubectl/v1.36 (linux)"),
            Err(status) => status.message,
        };
        let query = |text: &str| Query::parse(Some(text));
        expect_test::expect![[r#"
            kubectl
            m1
            CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "strict": supported values: "", "Ignore", "Strict", "Warn"
            UpdateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Odd"]: supported values: "All"
            PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch
            PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch"#]]
        .assert_eq(
            &[
                show(WriteOptions::create(&query("dryRun=All"))),
                show(WriteOptions::create(&query("fieldManager=m1"))),
                show(WriteOptions::create(&query("fieldValidation=strict"))),
                show(WriteOptions::update(&query("dryRun=Odd"))),
                show(WriteOptions::patch(&query("force=true"), PatchKind::Merge)),
                show(WriteOptions::patch(&query(""), PatchKind::Apply)),
            ]
            .join("\n"),
        );
    }
}
