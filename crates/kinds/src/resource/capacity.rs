//! Capacities that several claims share, and how much of one a claim may take (KEP-5075).

use machinery::Quantity;
use machinery::Value;
use machinery::field::{Error, Errors, Path};

use super::check_set;
use crate::pod_spec::quantity;

const MAX_VALUES: usize = 10;

/// What is wrong with a capacity.
pub(super) fn check(capacity: &Value, shared: bool, path: &Path) -> Errors {
    let path = path.child("requestPolicy");
    let Some(policy) = capacity.get("requestPolicy").filter(|value| !value.is_null()) else { return Errors::new() };
    if !shared {
        return vec![Error::forbidden(&path, "allowMultipleAllocations must be true")];
    }
    let whole = amount(capacity, "value").unwrap_or_default();
    let values = policy.items_at(&["validValues"]);
    let range = policy.get("validRange").filter(|value| !value.is_null());
    let default = amount(policy, "default");
    let field = path.child("default");
    match (values, range, default) {
        ([_, ..], Some(_), _) => {
            let detail = r#"exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time"#;
            vec![Error::forbidden(&path, detail)]
        }
        ([_, ..], None, None) => vec![Error::required(&field, "required when validValues is defined")],
        ([_, ..], None, Some(default)) => check_values(values, &default, &whole, &path.child("validValues")),
        ([], Some(_), None) => vec![Error::required(&field, "required when validRange is defined")],
        ([], Some(range), Some(default)) => check_range(range, &default, &whole, &path.child("validRange")),
        ([], None, _) => Errors::new(),
    }
}

fn amount(object: &Value, field: &str) -> Option<Quantity> {
    object.get(field).and_then(quantity)
}

fn check_values(values: &[Value], default: &Quantity, whole: &Quantity, path: &Path) -> Errors {
    let amounts: Vec<Quantity> = values.iter().map(|value| quantity(value).unwrap_or_default()).collect();
    let mut errors = Errors::new();
    for (i, pair) in amounts.windows(2).enumerate().filter(|(_, pair)| pair[0] > pair[1]) {
        let detail = "values must be sorted in ascending order";
        errors.push(Error::invalid(&path.index(i + 1), pair[1].to_string(), detail));
    }
    let key = |value: &Value| quantity(value).unwrap_or_default().value().into();
    errors.extend(check_set(values, MAX_VALUES, path, key, |value, path| {
        let value = quantity(value).unwrap_or_default();
        let detail = format!("option is larger than capacity value: {whole}");
        (value > *whole).then(|| Error::invalid(path, value.to_string(), detail)).into_iter().collect()
    }));
    if !amounts.contains(default) {
        let detail = "default value is not valid according to the requestPolicy";
        errors.push(Error::invalid(path, default.to_string(), detail));
    }
    errors
}

fn check_range(range: &Value, default: &Quantity, whole: &Quantity, path: &Path) -> Errors {
    let Some(least) = amount(range, "min") else {
        return vec![Error::required(&path.child("min"), "required when validRange is defined")];
    };
    let mut errors = Errors::new();
    let mut wrong = |broken: bool, field: &str, shown: &Quantity, detail: String| {
        if broken {
            errors.push(Error::invalid(&path.child(field), shown.to_string(), detail));
        }
    };
    wrong(least > *whole, "min", &least, format!("min is larger than capacity value: {whole}"));
    wrong(*default < least, "default", default, format!("default is less than min: {least}"));
    let most = amount(range, "max");
    if let Some(most) = &most {
        wrong(least > *most, "max", &least, format!("min is larger than max: {most}"));
        wrong(most > whole, "max", most, format!("max is larger than capacity value: {whole}"));
        wrong(default > most, "default", default, format!("default is more than max: {most}"));
    }
    if let Some(step) = amount(range, "step") {
        let added = least + step;
        let larger = format!("one step {added} is larger than capacity value: {whole}");
        wrong(added > *whole, "step", &step, larger);
        for value in [Some(default), most.as_ref()].into_iter().flatten() {
            let (width, distance) = (step.value(), value.value().saturating_sub(least.value()));
            let detail = format!("value is not a multiple of a given step ({step}) from ({least})");
            wrong(width != 0 && distance.checked_rem(width) != Some(0), "step", value, detail);
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn policies() {
        let table = [
            value!({"value": "10", "requestPolicy": {"default": "3", "validValues": ["2", "1", "11"]}}),
            value!({"value": "10", "requestPolicy": {"default": "3", "validRange": {"min": "2", "max": "11", "step": "2"}}}),
            value!({"value": "10", "requestPolicy": {"validRange": {"min": "2"}}}),
        ];
        let shown = table.map(|one| field::aggregate(&check(&one, true, &Path::new("c")))).join("\n");
        expect_test::expect![[r#"
            [c.requestPolicy.validValues[1]: Invalid value: "1": values must be sorted in ascending order, c.requestPolicy.validValues[2]: Invalid value: "11": option is larger than capacity value: 10, c.requestPolicy.validValues: Invalid value: "3": default value is not valid according to the requestPolicy]
            [c.requestPolicy.validRange.max: Invalid value: "11": max is larger than capacity value: 10, c.requestPolicy.validRange.step: Invalid value: "3": value is not a multiple of a given step (2) from (2), c.requestPolicy.validRange.step: Invalid value: "11": value is not a multiple of a given step (2) from (2)]
            c.requestPolicy.default: Required value: required when validRange is defined"#]]
        .assert_eq(&shown);
    }
}
