//! Which objects of a resource a request is about: namespace, labels, fields.

use kinds::Kind;
use machinery::{Status, fields_selector, labels};

use super::Item;
use super::audience::Interest;

/// What a list or watch selects.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Only this namespace; empty for all.
    pub namespace: String,
    labels: labels::Selector,
    fields: Vec<FieldIs>,
}

#[derive(Debug, Clone)]
struct FieldIs {
    field: Field,
    equal: bool,
    value: String,
}

#[derive(Debug, Clone, Copy)]
enum Field {
    Name,
    Namespace,
    /// The place in the kind's list.
    Selectable(usize),
    /// No object has it.
    Nowhere,
}

impl Selection {
    /// Everything in `namespace`, or in all when it is empty.
    #[must_use]
    pub fn all(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), labels: labels::Selector::everything(), fields: Vec::new() }
    }

    /// What the two selectors of a request select.
    ///
    /// # Errors
    /// 400 when a selector cannot be read or names a field that the kind does not offer.
    pub fn parse(kind: &Kind, namespace: &str, label_selector: &str, field_selector: &str) -> Result<Self, Status> {
        let labels = labels::Selector::parse(label_selector).map_err(Status::bad_request)?;
        let selector =
            fields_selector::Selector::parse(field_selector).map_err(|error| Status::bad_request(error.to_string()))?;
        let mut fields = Vec::with_capacity(selector.requirements.len());
        for requirement in selector.requirements {
            let field = known(kind, &requirement.field)?;
            fields.push(FieldIs { field, equal: requirement.equal, value: requirement.value });
        }
        Ok(Self { namespace: namespace.to_owned(), labels, fields })
    }

    /// The same, and only the object called `name`.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.fields.push(FieldIs { field: Field::Name, equal: true, value: name.to_owned() });
        self
    }

    /// Whether every object of the namespace is selected.
    #[must_use]
    pub fn is_unfiltered(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// By what its watchers are filed: the narrowest thing that it names.
    #[must_use]
    pub fn interest(&self) -> Interest {
        let wanted = |wanted: &FieldIs| match wanted.field {
            Field::Name if wanted.equal => Some((0, Interest::Name(wanted.value.as_str().into()))),
            Field::Selectable(at) if wanted.equal => Some((1, Interest::Field(at, wanted.value.as_str().into()))),
            _ => None,
        };
        match self.fields.iter().filter_map(wanted).min_by_key(|(rank, _)| *rank) {
            Some((_, interest)) => interest,
            None if self.namespace.is_empty() => Interest::All,
            None => Interest::Namespace(self.namespace.as_str().into()),
        }
    }

    /// Whether `item` is selected.
    #[must_use]
    pub fn matches(&self, item: &Item) -> bool {
        (self.namespace.is_empty() || self.namespace == item.namespace)
            && self.fields.iter().all(|wanted| wanted.matches(item))
            && (self.labels.is_empty() || self.labels.matches(item))
    }
}

impl FieldIs {
    fn matches(&self, item: &Item) -> bool {
        let value = match self.field {
            Field::Name => &item.name,
            Field::Namespace => &item.namespace,
            Field::Selectable(at) => item.field(at),
            Field::Nowhere => "",
        };
        (value == self.value) == self.equal
    }
}

/// The field that a request names. Pods have one that old clients call otherwise, and one that is understood and that
/// none of them has.
fn known(kind: &Kind, name: &str) -> Result<Field, Status> {
    let name = match (kind.group, kind.kind, name) {
        ("", "Pod", "spec.host") => "spec.nodeName",
        ("", "Pod", "status.podIPs") => return Ok(Field::Nowhere),
        _ => name,
    };
    kind.check_selectable(name).map_err(Status::bad_request)?;
    Ok(place(kind, name))
}

fn place(kind: &Kind, name: &str) -> Field {
    match name {
        "metadata.name" => Field::Name,
        "metadata.namespace" => Field::Namespace,
        other => {
            let at = kind.selectable.iter().position(|field| field.name == other);
            Field::Selectable(at.expect("the kind was asked whether it offers the field"))
        }
    }
}
