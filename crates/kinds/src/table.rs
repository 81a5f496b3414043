//! The table form: column declarations, and how cells show ages, lists and references.

use jiff::Timestamp;
use machinery::{Value, meta};

/// A column of a kind's table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The header.
    pub name: &'static str,
    /// The cells' type: `string`, `integer`, `boolean`, `date`.
    pub kind: &'static str,
    /// The cells' format: `name` for the object's name.
    pub format: &'static str,
    /// 0 is shown always, 1 with `-o wide`.
    pub priority: i64,
    /// Where the description comes from.
    pub describe: Describe,
}

/// Where a column's description comes from.
#[derive(Debug, Clone, Copy)]
pub enum Describe {
    /// A field's description in the OpenAPI document, without what follows "Possible enum values:".
    Field(&'static str, &'static str),
    /// This text.
    Text(&'static str),
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The object's name.
pub const NAME: Column =
    Column { name: "Name", kind: "string", format: "name", priority: 0, describe: Describe::Field(META, "name") };
/// How long ago the object was made.
pub const AGE: Column = text("Age", Describe::Field(META, "creationTimestamp"));
/// When the object was made.
pub const CREATED_AT: Column = Column { name: "Created At", kind: "date", ..AGE };
/// The columns of kinds that have none of their own.
pub const NAME_AND_CREATION: &[Column] = &[NAME, CREATED_AT];
/// The names of the containers of a template.
pub const CONTAINERS: Column = text("Containers", Describe::Text("Names of each container in the template.")).wide();
/// The images of the containers of a template.
pub const IMAGES: Column =
    text("Images", Describe::Text("Images referenced by each container in the template.")).wide();

/// A column of texts.
#[must_use]
pub const fn text(name: &'static str, describe: Describe) -> Column {
    Column { name, kind: "string", format: "", priority: 0, describe }
}

/// A column of whole numbers.
#[must_use]
pub const fn integer(name: &'static str, describe: Describe) -> Column {
    Column { kind: "integer", ..text(name, describe) }
}

/// A column of yes and no.
#[must_use]
pub const fn boolean(name: &'static str, describe: Describe) -> Column {
    Column { kind: "boolean", ..text(name, describe) }
}

impl Column {
    /// The column, shown with `-o wide` only.
    #[must_use]
    pub const fn wide(self) -> Self {
        Self { priority: 1, ..self }
    }
}

/// The cells of [`NAME_AND_CREATION`].
#[must_use]
pub fn name_and_creation(object: &Value, _: Timestamp) -> Vec<Value> {
    vec![meta::name(object).into(), meta::creation_timestamp_text(object).into()]
}

/// How long ago the object was made, as people read it.
#[must_use]
pub fn age(object: &Value, now: Timestamp) -> Value {
    since(meta::creation_timestamp_text(object), now)
}

/// How long ago a moment was; `<unknown>` when there is none.
#[must_use]
pub fn since(moment: &str, now: Timestamp) -> Value {
    match moment.parse::<Timestamp>() {
        Ok(then) => human_duration(now.as_second() - then.as_second()).into(),
        Err(_) => "<unknown>".into(),
    }
}

/// A duration with the two largest units that matter, as kubectl shows ages.
#[must_use]
pub fn human_duration(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(seconds / MINUTE, "m", seconds % MINUTE, "s"),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => two(seconds / HOUR, "h", seconds % HOUR / MINUTE, "m"),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => two(seconds / DAY, "d", seconds % DAY / HOUR, "h"),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => two(seconds / YEAR, "y", seconds % YEAR / DAY, "d"),
        _ => format!("{}y", seconds / YEAR),
    }
}

/// The names and the images of a pod spec's containers.
#[must_use]
pub fn containers_and_images(spec: Option<&Value>) -> [Value; 2] {
    ["name", "image"].map(|field| {
        let containers = spec.map(|spec| spec.items_at(&["containers"])).unwrap_or_default();
        let texts: Vec<&str> = containers.iter().map(|c| c.str_at(&[field]).unwrap_or_default()).collect();
        texts.join(",").into()
    })
}

/// A whole number of the object; 0 when there is none.
#[must_use]
pub fn int(object: &Value, path: &[&str]) -> Value {
    object.int_at(path).unwrap_or_default().into()
}

/// A text of the object; empty when there is none.
#[must_use]
pub fn str(object: &Value, path: &[&str]) -> Value {
    object.str_at(path).unwrap_or_default().into()
}

/// A text of the object, or `other` when there is none.
#[must_use]
pub fn str_or(object: &Value, path: &[&str], other: &str) -> Value {
    object.str_at(path).filter(|text| !text.is_empty()).unwrap_or(other).into()
}

fn two(large: i64, large_unit: &str, small: i64, small_unit: &str) -> String {
    if small == 0 { format!("{large}{large_unit}") } else { format!("{large}{large_unit}{small}{small_unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let shown: Vec<String> =
            [-5, 0, 119, 120, 599, 7200, 10_860, 100_000, 180_000, 700_000, 70_000_000, 300_000_000]
                .map(human_duration)
                .into();
        assert_eq!(
            shown,
            ["<invalid>", "0s", "119s", "2m", "9m59s", "120m", "3h1m", "27h", "2d2h", "8d", "2y80d", "9y"]
        );
    }
}
