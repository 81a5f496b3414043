//! Match conditions: expressions that say whether a request is of interest at all (KEP-3716).

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};

use crate::validate::text;

/// So many conditions may stand together.
const MAX_CONDITIONS: usize = 64;

/// What is wrong with a list of conditions.
pub(super) fn check(all: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    if all.len() > MAX_CONDITIONS {
        errors.push(Error::too_many(path, all.len(), MAX_CONDITIONS));
    }
    for (i, condition) in all.iter().enumerate() {
        let path = path.index(i);
        if condition.str_at(&["expression"]).is_none_or(|expression| expression.trim().is_empty()) {
            errors.push(Error::required(&path.child("expression"), ""));
        }
        match condition.str_at(&["name"]).unwrap_or_default() {
            "" => errors.push(Error::required(&path.child("name"), "")),
            name => {
                errors.extend(text(names::is_qualified_name, name, &path.child("name")));
                if all[..i].iter().any(|other| other.str_at(&["name"]) == Some(name)) {
                    errors.push(Error::duplicate(&path.child("name"), name));
                }
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn names_and_expressions() {
        let all = value!([{"name": "a", "expression": "true"}, {"name": "a", "expression": " "}, {"expression": "x"}]);
        expect_test::expect![[
            r#"[m[1].expression: Required value, m[1].name: Duplicate value: "a", m[2].name: Required value]"#
        ]]
        .assert_eq(&field::aggregate(&check(all.as_array().unwrap(), &Path::new("m"))));
    }
}
