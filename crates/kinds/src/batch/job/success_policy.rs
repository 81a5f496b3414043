//! What is wrong with a success policy (KEP-3998).

use machinery::Value;
use machinery::field::{Error, Errors, Path};

use super::indexes;
use crate::go_shape::shown;
use crate::validate::non_negative_at;

const POLICY: &str = "io.k8s.api.batch.v1.SuccessPolicy";
const MAX_RULES: usize = 20;
const MAX_INDEXES_BYTES: usize = 64 * 1024;

/// What is wrong with the policy of a job's spec, if it has one.
pub(super) fn check(spec: &Value, path: &Path) -> Errors {
    let Some(policy) = spec.get("successPolicy").filter(|policy| !policy.is_null()) else { return Errors::new() };
    if spec.str_at(&["completionMode"]) != Some("Indexed") {
        return vec![Error::invalid(path, shown(POLICY, policy), "requires indexed completion mode")];
    }
    let rules = policy.items_at(&["rules"]);
    let path = path.child("rules");
    let mut errors = Errors::new();
    if rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        errors.push(Error::required(&path, detail));
    }
    if rules.len() > MAX_RULES {
        errors.push(Error::too_many(&path, rules.len(), MAX_RULES));
    }
    let completions = spec.int_at(&["completions"]).unwrap_or_default();
    errors.extend(rules.iter().enumerate().flat_map(|(i, rule)| self::rule(rule, completions, &path.index(i))));
    errors
}

fn rule(rule: &Value, completions: i64, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (count, list) = (rule.int_at(&["succeededCount"]), rule.str_at(&["succeededIndexes"]));
    if count.is_none() && list.is_none() {
        let detail = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(Error::required(path, detail));
    }
    let mut listed = 0;
    if let Some(list) = list {
        let field = path.child("succeededIndexes");
        if list.len() > MAX_INDEXES_BYTES {
            errors.push(Error::too_long(&field, MAX_INDEXES_BYTES));
        }
        match indexes::count(list, completions) {
            Ok(total) => listed = total,
            Err(problem) => {
                errors.push(Error::invalid(&field, list, format!("error parsing succeededIndexes: {problem}")));
            }
        }
    }
    if let Some(count) = count {
        let field = path.child("succeededCount");
        errors.extend(non_negative_at(rule, "succeededCount", path));
        if count > completions {
            let detail = format!("must be less than or equal to {completions} (the number of specified completions)");
            errors.push(Error::invalid(&field, count, detail));
        }
        if list.is_some() && count > listed {
            let detail = format!(
                "must be less than or equal to {listed} (the number of indexes in the specified succeededIndexes field)"
            );
            errors.push(Error::invalid(&field, count, detail));
        }
    }
    errors
}
