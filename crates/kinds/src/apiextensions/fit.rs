//! Whether a value fits a schema, told in upstream's words.
//!
//! Custom resources and the default values of definitions are checked like this; rules of CEL are not looked into.

use machinery::field::{self, Error, Errors, Path};
use machinery::{Object, Value, json};

use super::format;
use crate::validate::metadata::sorted;

/// What is wrong with the value at `path`.
pub(super) fn check(schema: &Value, value: &Value, path: &Path) -> Errors {
    let found = Place { root: path, name: String::new() }.check(schema, value);
    found.wrong.into_iter().map(|(_, error)| error).collect()
}

/// What came of looking at a value.
#[derive(Default)]
struct Found {
    /// What is wrong, each with the text by which it is told from others.
    wrong: Vec<(String, Error)>,
    /// How many checks were made. Of alternatives that all fail, the one with the most is told.
    checks: usize,
}

impl Found {
    fn push(&mut self, text: String, error: Error) {
        if self.wrong.iter().all(|(other, _)| *other != text) {
            self.wrong.push((text, error));
        }
    }

    fn merge(&mut self, other: Self) {
        self.checks += other.checks;
        other.wrong.into_iter().for_each(|(text, error)| self.push(text, error));
    }

    fn fits(&self) -> bool {
        self.wrong.is_empty()
    }
}

/// Where a value stands.
struct Place<'a> {
    root: &'a Path,
    /// Its name below the root as messages have it.
    name: String,
}

impl Place<'_> {
    fn path(&self) -> Path {
        match self.name.strip_prefix('.').unwrap_or(&self.name) {
            "" => self.root.clone(),
            name => self.root.child(name),
        }
    }

    fn at(&self, name: String) -> Self {
        Self { root: self.root, name }
    }

    fn says(&self, what: &str) -> String {
        format!("{} in body {what}", self.name)
    }

    /// Something that concerns alternatives: told of the root.
    fn whole(&self, what: &str) -> (String, Error) {
        let text = format!("{} {what}", field::quote(&self.name));
        (text.clone(), Error::invalid(self.root, "", text))
    }

    fn invalid(&self, found: &mut Found, value: impl Into<Value>, what: &str) {
        let text = self.says(what);
        found.push(text.clone(), Error::invalid(&self.path(), value, text));
    }

    fn check(&self, schema: &Value, value: &Value) -> Found {
        let mut found = Found::default();
        if value.is_null() {
            self.kind(schema, value, &mut found);
            self.listed(schema, value, &mut found);
            return found;
        }
        if schema.get("type").is_some() || is_int_or_string(schema) || schema.get("format").is_some() {
            self.kind(schema, value, &mut found);
            found.checks += 1;
        }
        self.alternatives(schema, value, &mut found);
        found.checks += 1;
        match value {
            Value::String(text) => self.text(schema, text.as_ref(), &mut found),
            Value::Int(_) | Value::Float(_) => self.number(schema, value, &mut found),
            Value::Array(items) => self.list(schema, items, &mut found),
            _ => {}
        }
        self.listed(schema, value, &mut found);
        found.checks += 1;
        if let Some(members) = value.as_object() {
            self.members(schema, members, &mut found);
            found.checks += 1;
        }
        found.checks += 1;
        found
    }

    fn wrong_type(&self, found: &mut Found, wanted: &str, given: &str) {
        let text = self.says(&format!("must be of type {wanted}: {}", field::quote(given)));
        found.push(text.clone(), Error::type_invalid(&self.path(), given, text));
    }

    fn kind(&self, schema: &Value, value: &Value, found: &mut Found) {
        let kinds = types(schema);
        let is = |kind: &str| kinds.contains(&kind);
        let format = schema.str_at(&["format"]).unwrap_or_default();
        let (kind, own) = match value {
            Value::Null if kinds.is_empty() || schema.bool_at(&["nullable"]) == Some(true) => {
                found.checks += 1;
                return;
            }
            Value::Null => return self.wrong_type(found, &kinds.join(","), "null"),
            Value::Bool(_) => ("boolean", ""),
            Value::Int(_) => ("integer", "int64"),
            Value::Float(_) => ("number", "double"),
            Value::String(_) => ("string", ""),
            Value::Array(_) => ("array", ""),
            Value::Object(_) => ("object", ""),
        };
        let is_whole = matches!(value, Value::Float(number) if number.fract() == 0.0) && is("integer");
        let fits = is(kind) || is_whole || (kind == "integer" && is("number"));
        let has_format = !format.is_empty();
        let is_text = matches!(kind, "string" | "array");
        if has_format && !is_text && !fits && own != format {
            return self.wrong_type(found, format, own);
        }
        let by_format = has_format && is_text && !is("number") && !is("integer");
        if !by_format && !fits {
            return self.wrong_type(found, &kinds.join(","), kind);
        }
        found.checks += 1;
    }

    /// `anyOf`, `oneOf`, `allOf` and `not`.
    fn alternatives(&self, schema: &Value, value: &Value, found: &mut Found) {
        let each = |word: &str| schema.items_at(&[word]).iter().map(|one| self.check(one, value)).collect::<Vec<_>>();
        let any = each("anyOf");
        if !any.is_empty() {
            let first = any.iter().position(Found::fits);
            if first.is_none() {
                let (text, error) = self.whole("must validate at least one schema (anyOf)");
                found.push(text, error);
            }
            pick(any, first).into_iter().for_each(|one| found.merge(one));
        }
        let one = each("oneOf");
        if !one.is_empty() {
            let first = one.iter().position(Found::fits);
            let fitting = one.iter().filter(|one| one.fits()).count();
            let what = match fitting {
                0 => "Found none valid".to_owned(),
                _ => format!("Found {fitting} valid alternatives"),
            };
            if fitting != 1 {
                let (text, error) = self.whole(&format!("must validate one and only one schema (oneOf). {what}"));
                found.push(text, error);
            }
            if fitting < 2 {
                pick(one, first).into_iter().for_each(|one| found.merge(one));
            }
        }
        let all = each("allOf");
        let fitting = all.iter().filter(|one| one.fits()).count();
        let wrong = fitting != all.len();
        all.into_iter().for_each(|one| found.merge(one));
        if wrong {
            let none = if fitting == 0 { ". None validated" } else { "" };
            let (text, error) = self.whole(&format!("must validate all the schemas (allOf){none}"));
            found.push(text, error);
        }
        if schema.get("not").filter(|not| !not.is_null()).is_some_and(|not| self.check(not, value).fits()) {
            let (text, error) = self.whole("must not validate the schema (not)");
            found.push(text, error);
        }
        found.checks += 1;
    }

    fn text(&self, schema: &Value, text: &str, found: &mut Found) {
        self.length(schema, text, found);
        found.checks += 1;
        let format = schema.str_at(&["format"]).unwrap_or_default();
        if let Some(fits) = format::fits(format, text) {
            if !fits {
                let says = self.says(&format!("must be of type {format}: {}", field::quote(text)));
                found.push(says.clone(), Error::type_invalid(&self.path(), text, says));
            }
            found.checks += 1;
        }
    }

    /// How long a text is and what it looks like: only the first thing is told.
    fn length(&self, schema: &Value, text: &str, found: &mut Found) {
        let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        let limit = |word: &str| schema.int_at(&[word]);
        if let Some(max) = limit("maxLength").filter(|max| length > *max) {
            let says = self.says(&format!("should be at most {max} chars long"));
            return found.push(says, Error::too_long(&self.path(), usize::try_from(max).unwrap_or_default()));
        }
        if let Some(min) = limit("minLength").filter(|min| length < *min) {
            return self.invalid(found, text, &format!("should be at least {min} chars long"));
        }
        let Some(pattern) = schema.str_at(&["pattern"]).filter(|pattern| !pattern.is_empty()) else { return };
        match regex::Regex::new(pattern) {
            Ok(regex) if regex.is_match(text) => {}
            Ok(_) => self.invalid(found, text, &format!("should match '{pattern}'")),
            Err(_) => {
                let why = super::pattern::problem(pattern).unwrap_or_default();
                self.invalid(found, text, &format!("should match '{pattern}, but pattern is invalid: {why}'"));
            }
        }
    }

    fn number(&self, schema: &Value, value: &Value, found: &mut Found) {
        let format = schema.str_at(&["format"]).unwrap_or_default();
        if types(schema) == ["integer"] && !format::has_room(format, value) {
            let text = format!("Checked value must be of type integer with format {format} in {}", self.name);
            found.push(text.clone(), Error::invalid(self.root, "", text));
        }
        let limit = |word: &str| schema.get(word).filter(|limit| !limit.is_null());
        if limit("multipleOf").is_some_and(|factor| !is_multiple(value, factor)) {
            let factor = shown_beside(value, limit("multipleOf"));
            self.invalid(found, value.clone(), &format!("should be a multiple of {factor}"));
        }
        let outside = |word: &str, exclusive: &str, past: fn(f64, f64) -> bool| {
            let limit = limit(word)?;
            let (number, bound) = (float(value), float(limit));
            let strict = schema.bool_at(&[exclusive]) == Some(true);
            #[expect(clippy::float_cmp, reason = "the bound itself is what an exclusive one leaves out")]
            let wrong = past(number, bound) || (strict && number == bound);
            wrong.then(|| (strict, shown_beside(value, Some(limit))))
        };
        if let Some((strict, bound)) = outside("minimum", "exclusiveMinimum", |number, bound| number < bound) {
            let or = if strict { "" } else { " or equal to" };
            self.invalid(found, value.clone(), &format!("should be greater than{or} {bound}"));
        }
        if let Some((strict, bound)) = outside("maximum", "exclusiveMaximum", |number, bound| number > bound) {
            let or = if strict { "" } else { " or equal to" };
            self.invalid(found, value.clone(), &format!("should be less than{or} {bound}"));
        }
        found.checks += 2;
    }

    fn list(&self, schema: &Value, items: &[Value], found: &mut Found) {
        if let Some(of_item) = schema.get("items").filter(|schema| schema.as_object().is_some()) {
            for (i, item) in items.iter().enumerate() {
                found.merge(self.at(format!("{}[{i}]", self.name)).check(of_item, item));
            }
        }
        let limit = |word: &str| schema.int_at(&[word]).and_then(|limit| usize::try_from(limit).ok());
        if let Some(min) = limit("minItems").filter(|min| items.len() < *min) {
            let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
            self.invalid(found, count, &format!("should have at least {min} items"));
        }
        if let Some(max) = limit("maxItems").filter(|max| items.len() > *max) {
            let says = self.says(&format!("should have at most {max} items"));
            found.push(says, Error::too_many(&self.path(), items.len(), max));
        }
        let again = items.iter().enumerate().any(|(i, item)| items[..i].contains(item));
        if again && schema.bool_at(&["uniqueItems"]) == Some(true) {
            self.invalid(found, "", "shouldn't contain duplicates");
        }
        found.checks += 2;
    }

    fn listed(&self, schema: &Value, value: &Value, found: &mut Found) {
        let all = schema.items_at(&["enum"]);
        if all.is_empty() || all.iter().any(|one| is_same(one, value)) {
            return;
        }
        let shown: Vec<String> =
            all.iter().map(|one| one.as_str().map_or_else(|| json::to_string(one), str::to_owned)).collect();
        let says = self.says(&format!("should be one of [{}]", shown.join(" ")));
        found.push(says, Error::not_supported(&self.path(), value.clone(), &shown));
    }

    fn members(&self, schema: &Value, members: &Object, found: &mut Found) {
        let limit = |word: &str| schema.int_at(&[word]).and_then(|limit| usize::try_from(limit).ok());
        if let Some(min) = limit("minProperties").filter(|min| members.len() < *min) {
            let count = i64::try_from(members.len()).unwrap_or(i64::MAX);
            return self.invalid(found, count, &format!("should have at least {min} properties"));
        }
        if let Some(max) = limit("maxProperties").filter(|max| members.len() > *max) {
            let says = self.says(&format!("should have at most {max} properties"));
            return found.push(says, Error::too_many(&self.path(), members.len(), max));
        }
        let known = schema.get("properties").and_then(Value::as_object);
        let additional = schema.get("additionalProperties");
        for (name, member) in sorted(Some(members)) {
            if known.is_some_and(|known| known.contains_key(name)) {
                continue;
            }
            match additional {
                Some(Value::Bool(false)) => {
                    let text = format!("{}.{name} in body is a forbidden property", self.name);
                    found.push(text.clone(), Error::invalid(&self.path(), name, text));
                }
                Some(of_member @ Value::Object(_)) => {
                    found.merge(self.at(format!("{}.{name}", self.name)).check(of_member, member));
                }
                _ => {}
            }
        }
        for (name, of_member) in sorted(known) {
            let place = if self.name.is_empty() { name.to_owned() } else { format!("{}.{name}", self.name) };
            if let Some(member) = members.get(name) {
                found.merge(self.at(place).check(of_member, member));
            }
        }
        for name in schema.items_at(&["required"]).iter().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                let place = self.at(format!("{}.{name}", self.name));
                found.push(place.says("is required"), Error::required(&place.path(), ""));
            }
        }
    }
}

/// Of alternatives the first that fits, or the one that came farthest.
fn pick(mut all: Vec<Found>, first: Option<usize>) -> Option<Found> {
    let best = first.or_else(|| {
        let most = all.iter().map(|one| one.checks).max()?;
        all.iter().position(|one| one.checks == most)
    })?;
    Some(all.swap_remove(best))
}

fn is_int_or_string(schema: &Value) -> bool {
    schema.bool_at(&["x-kubernetes-int-or-string"]) == Some(true)
}

fn types(schema: &Value) -> Vec<&str> {
    if is_int_or_string(schema) {
        return vec!["integer", "string"];
    }
    schema.str_at(&["type"]).filter(|kind| !kind.is_empty()).into_iter().collect()
}

#[expect(clippy::cast_precision_loss, reason = "upstream compares with limits like this")]
fn float(value: &Value) -> f64 {
    match value {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        _ => 0.0,
    }
}

/// A limit as messages have it beside a number: a whole one beside a whole number.
fn shown_beside(value: &Value, limit: Option<&Value>) -> String {
    let limit = limit.map(float).unwrap_or_default();
    json::to_string(&Value::Float(if matches!(value, Value::Int(_)) { limit.trunc() } else { limit }))
}

fn is_multiple(value: &Value, factor: &Value) -> bool {
    let (number, factor) = (float(value), float(factor));
    factor == 0.0 || (number / factor).fract() == 0.0
}

#[expect(clippy::float_cmp, reason = "a listed number is that very one")]
fn is_same(one: &Value, other: &Value) -> bool {
    let is_number = |value: &Value| matches!(value, Value::Int(_) | Value::Float(_));
    if is_number(one) && is_number(other) { float(one) == float(other) } else { one == other }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::value;

    #[test]
    fn values() {
        let number = || value!({"type": "integer", "minimum": 2, "maximum": 9, "multipleOf": 2});
        let text = || value!({"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^a"});
        let object = || {
            value!({"type": "object", "required": ["a"], "properties": {"a": (number()), "b": {"type": "array", "maxItems": 1, "items": (text())}},
                "additionalProperties": {"type": "boolean"}})
        };
        let table = [
            (number(), value!("x")),
            (number(), value!(1)),
            (number(), value!(11)),
            (number(), value!(4.0)),
            (number(), Value::Null),
            (
                value!({"type": "object", "properties": {"i": {"type": "integer", "format": "int32"}}}),
                value!({"i": 4_294_967_296_i64}),
            ),
            (text(), value!("a")),
            (text(), value!("abcd")),
            (text(), value!("bb")),
            (value!({"type": "string", "enum": ["a", "b"]}), value!("c")),
            (value!({"type": "string", "format": "date-time"}), value!("yesterday")),
            (object(), value!({"b": ["ab", "x"], "c": 1})),
            (object(), value!({"a": 2, "b": ["ab"], "c": true})),
            (value!({"type": "object", "maxProperties": 1}), value!({"a": 1, "b": 2})),
            (value!({"oneOf": [{"type": "string"}, {"type": "integer", "minimum": 3}]}), value!(2)),
            (value!({"anyOf": [{"type": "string"}, {"type": "integer"}], "not": {"type": "integer"}}), value!(2)),
            (value!({"x-kubernetes-int-or-string": true}), value!(true)),
        ];
        let path = Path::new("d");
        let shown = table.map(|(schema, value)| field::aggregate(&check(&schema, &value, &path))).join("\n");
        expect_test::expect![[r#"
            d: Invalid value: "string":  in body must be of type integer: "string"
            [d: Invalid value: 1:  in body should be a multiple of 2, d: Invalid value: 1:  in body should be greater than or equal to 2]
            [d: Invalid value: 11:  in body should be a multiple of 2, d: Invalid value: 11:  in body should be less than or equal to 9]
            []
            d: Invalid value: "null":  in body must be of type integer: "null"
            d: Invalid value: "": Checked value must be of type integer with format int32 in i
            d: Invalid value: "a":  in body should be at least 2 chars long
            d: Too long: may not be more than 3 bytes
            d: Invalid value: "bb":  in body should match '^a'
            d: Unsupported value: "c": supported values: "a", "b"
            d: Invalid value: "yesterday":  in body must be of type date-time: "yesterday"
            [d.c: Invalid value: "integer": .c in body must be of type boolean: "integer", d.b[1]: Invalid value: "x": b[1] in body should be at least 2 chars long, d.b: Too many: 2: must have at most 1 item, d.a: Required value]
            []
            d: Too many: 2: must have at most 1 item
            [d: Invalid value: "": "" must validate one and only one schema (oneOf). Found none valid, d: Invalid value: 2:  in body should be greater than or equal to 3]
            d: Invalid value: "": "" must not validate the schema (not)
            d: Invalid value: "boolean":  in body must be of type integer,string: "boolean""#]].assert_eq(&shown);
    }
}
