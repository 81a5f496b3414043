//! PriorityLevelConfiguration: how many requests of a level are served at a time, and what the others do.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, value};

use super::{FLOW_CONTROL, STATUS, check_fixed, check_status};
use crate::kind::{Kind, MetadataChecks};
use crate::pod_spec::default::set_in;
use crate::table::{AGE, Describe, NAME, age, str, text};
use crate::validate::one_of;

const SPEC: &str = "io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationSpec";
const QUEUING: &str = "io.k8s.api.flowcontrol.v1.QueuingConfiguration";
const DEFAULT_SHARES: i64 = 30;
const MAX_QUEUES: i64 = 10_000_000;
/// A request is dealt a hand of queues by a hash of so many bits.
const HASH_BITS: i64 = 60;
/// The one level that waits for nothing.
const EXEMPT: &str = "exempt";
const NOT_NEGATIVE: &str = "must be a non-negative integer";

/// The kind.
pub static KIND: Kind = Kind {
    kind: "PriorityLevelConfiguration",
    plural: "prioritylevelconfigurations",
    storage: "prioritylevelconfigurations",
    schema: "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
    subresources: &[STATUS],
    columns: &[
        NAME,
        text("Type", Describe::Field(SPEC, "type")),
        text(
            "NominalConcurrencyShares",
            Describe::Field("io.k8s.api.flowcontrol.v1.LimitedPriorityLevelConfiguration", "nominalConcurrencyShares"),
        ),
        text("Queues", Describe::Field(QUEUING, "queues")),
        text("HandSize", Describe::Field(QUEUING, "handSize")),
        text("QueueLengthLimit", Describe::Field(QUEUING, "queueLengthLimit")),
        AGE,
    ],
    row,
    default,
    metadata: MetadataChecks::NEW,
    validate: check,
    validate_update: |new, _| check(new),
    ..FLOW_CONTROL
};

fn row(level: &Value, now: Timestamp) -> Vec<Value> {
    let number = |path: &[&str]| level.int_at(path).map_or_else(|| "<none>".into(), Value::from);
    let queuing = |field: &str| number(&["spec", "limited", "limitResponse", "queuing", field]);
    vec![
        meta::name(level).into(),
        str(level, &["spec", "type"]),
        number(&["spec", "limited", "nominalConcurrencyShares"]),
        queuing("queues"),
        queuing("handSize"),
        queuing("queueLengthLimit"),
        age(level, now),
    ]
}

fn default(level: &mut Value) {
    for (part, shares) in [("limited", DEFAULT_SHARES), (EXEMPT, 0)] {
        set_in(level, &["spec", part], "nominalConcurrencyShares", || shares.into());
        set_in(level, &["spec", part], "lendablePercent", || 0.into());
    }
    for (field, number) in [("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)] {
        let path = ["spec", "limited", "limitResponse", "queuing"];
        let Some(queuing) = level.at_mut(&path).filter(|value| !value.is_null()) else { continue };
        if queuing.int_at(&[field]).unwrap_or_default() == 0 {
            queuing.set_at(&[field], number);
        }
    }
}

fn check(level: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = level.get("spec").unwrap_or(&Value::Null);
    let kind = spec.str_at(&["type"]).unwrap_or_default();
    let part = |name: &str| spec.get(name).filter(|value| !value.is_null());
    let mut errors = Errors::new();
    if (meta::name(level) == EXEMPT) != (kind == "Exempt") {
        let detail = "type must be 'Exempt' if and only if name is 'exempt'";
        errors.push(Error::invalid(&path.child("type"), kind, detail));
    }
    match kind {
        "Exempt" => {
            if part("limited").is_some() {
                let detail = "must be nil if the type is not Limited";
                errors.push(Error::forbidden(&path.child("limited"), detail));
            }
            match part("exempt") {
                None => errors.push(Error::required(&path.child("exempt"), "must not be empty when type is Exempt")),
                Some(exempt) => errors.extend(check_shares(exempt, &path.child("exempt"))),
            }
        }
        "Limited" => {
            if part("exempt").is_some() {
                errors.push(Error::forbidden(&path.child("exempt"), "must be nil if the type is Limited"));
            }
            match part("limited") {
                None => errors.push(Error::required(&path.child("limited"), "must not be empty when type is Limited")),
                Some(limited) => errors.extend(check_limited(limited, &path.child("limited"))),
            }
        }
        _ => errors.extend(one_of(kind, &["Exempt", "Limited"], &path.child("type"))),
    }
    errors.extend(check_fixed(level, SPEC, &fixed(spec)));
    errors.extend(check_status(level));
    errors
}

fn check_shares(part: &Value, path: &Path) -> Errors {
    let mut errors: Errors = shares(part, path).into_iter().collect();
    errors.extend(lendable(part, path));
    errors
}

fn shares(part: &Value, path: &Path) -> Option<Error> {
    let shares = part.int_at(&["nominalConcurrencyShares"]).filter(|shares| *shares < 0)?;
    Some(Error::invalid(&path.child("nominalConcurrencyShares"), shares, NOT_NEGATIVE))
}

fn lendable(part: &Value, path: &Path) -> Option<Error> {
    let percent = part.int_at(&["lendablePercent"]).filter(|percent| !(0..=100).contains(percent))?;
    Some(Error::invalid(&path.child("lendablePercent"), percent, "must be between 0 and 100, inclusive"))
}

fn check_limited(limited: &Value, path: &Path) -> Errors {
    let mut errors: Errors = shares(limited, path).into_iter().collect();
    let response = limited.get("limitResponse").unwrap_or(&Value::Null);
    errors.extend(check_response(response, &path.child("limitResponse")));
    errors.extend(lendable(limited, path));
    if let Some(percent) = limited.int_at(&["borrowingLimitPercent"]).filter(|percent| *percent < 0) {
        let detail = "if specified, must be a non-negative integer";
        errors.push(Error::invalid(&path.child("borrowingLimitPercent"), percent, detail));
    }
    errors
}

fn check_response(response: &Value, path: &Path) -> Errors {
    let kind = response.str_at(&["type"]).unwrap_or_default();
    let queuing = response.get("queuing").filter(|value| !value.is_null());
    let field = path.child("queuing");
    match (kind, queuing) {
        ("Reject", Some(_)) => {
            vec![Error::forbidden(&field, "must be nil if limited.limitResponse.type is not Limited")]
        }
        ("Reject", None) => Errors::new(),
        ("Queue", None) => {
            vec![Error::required(&field, "must not be empty if limited.limitResponse.type is Limited")]
        }
        ("Queue", Some(queuing)) => check_queuing(queuing, &field),
        _ => one_of(kind, &["Queue", "Reject"], &path.child("type")).into_iter().collect(),
    }
}

fn check_queuing(queuing: &Value, path: &Path) -> Errors {
    let number = |field: &str| queuing.int_at(&[field]).unwrap_or_default();
    let (queues, hand) = (number("queues"), number("handSize"));
    let mut errors = Errors::new();
    let mut wrong =
        |field: &str, detail: String| errors.push(Error::invalid(&path.child(field), number(field), detail));
    if number("queueLengthLimit") <= 0 {
        wrong("queueLengthLimit", "must be positive".to_owned());
    }
    if queues <= 0 {
        wrong("queues", "must be positive".to_owned());
    } else if queues > MAX_QUEUES {
        wrong("queues", format!("must not be greater than {MAX_QUEUES}"));
    }
    if hand <= 0 {
        wrong("handSize", "must be positive".to_owned());
    } else if hand > queues {
        wrong("handSize", format!("should not be greater than queues ({queues})"));
    } else if required_bits(queues, hand) > HASH_BITS {
        wrong(
            "handSize",
            format!(
                "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
            ),
        );
    }
    errors
}

/// The bits of chance that dealing a hand takes.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "both numbers are small")]
fn required_bits(deck: i64, hand: i64) -> i64 {
    ((deck as f64).log2() * hand as f64).ceil() as i64
}

/// The levels that stay as the server makes them; how much the exempt one lends is the administrator's to say.
fn fixed(spec: &Value) -> [(&'static str, Value); 2] {
    let exempt = value!({"type": "Exempt", "exempt": (spec.get("exempt").cloned().unwrap_or_default())});
    let catch_all = value!({
        "type": "Limited",
        "limited": {"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}}
    });
    [(EXEMPT, exempt), ("catch-all", catch_all)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::field;

    #[test]
    fn levels() {
        let limited = |limited: Value| {
            let mut level = value!({"metadata": {"name": "a"}, "spec": {"type": "Limited", "limited": limited}});
            default(&mut level);
            field::aggregate(&check(&level))
        };
        let shown = [
            limited(value!({"limitResponse": {"type": "Reject", "queuing": {"queues": 1}}})),
            limited(value!({"limitResponse": {"type": "Queue", "queuing": {"queues": (-1), "handSize": 99, "queueLengthLimit": (-1)}}})),
            limited(value!({"limitResponse": {"type": "Queue", "queuing": {"queues": 1000, "handSize": 8}}, "lendablePercent": 101})),
            limited(value!({"limitResponse": {"type": "Odd"}, "nominalConcurrencyShares": (-1), "borrowingLimitPercent": (-1)})),
        ]
        .join("\n");
        expect_test::expect![[r#"
            spec.limited.limitResponse.queuing: Forbidden: must be nil if limited.limitResponse.type is not Limited
            [spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: -1: must be positive, spec.limited.limitResponse.queuing.queues: Invalid value: -1: must be positive, spec.limited.limitResponse.queuing.handSize: Invalid value: 99: should not be greater than queues (-1)]
            [spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 1000 and handSize 8 should not be greater than 60, spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive]
            [spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer, spec.limited.limitResponse.type: Unsupported value: "Odd": supported values: "Queue", "Reject", spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer]"#]]
        .assert_eq(&shown);
    }

    #[test]
    fn the_server_s_own_stay() {
        let mut level =
            value!({"metadata": {"name": "exempt"}, "spec": {"type": "Exempt", "exempt": {"lendablePercent": 7}}});
        default(&mut level);
        assert_eq!(check(&level), []);
        let level = value!({"metadata": {"name": "catch-all"}, "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 6, "limitResponse": {"type": "Reject"}}}});
        expect_test::expect![[r#"spec: Invalid value: {"Type":"Limited","Limited":{"NominalConcurrencyShares":6,"LimitResponse":{"Type":"Reject","Queuing":null},"LendablePercent":null,"BorrowingLimitPercent":null},"Exempt":null}: spec of 'catch-all' must equal the fixed value"#]]
        .assert_eq(&field::aggregate(&check(&level)));
    }
}
