//! The quality-of-service class of a pod: who is evicted first.

use machinery::{Quantity, Value};

use crate::pod_spec::{amounts, quantity};

/// `Guaranteed`, `Burstable` or `BestEffort`.
#[must_use]
pub fn qos_class(spec: &Value) -> &'static str {
    let whole_pod = ["requests", "limits"].iter().any(|list| {
        ["cpu", "memory"]
            .iter()
            .any(|name| spec.at(&["resources", list, name]).and_then(quantity).is_some_and(positive))
    });
    let containers: Vec<&Value> = if whole_pod {
        vec![spec]
    } else {
        spec.items_at(&["containers"]).iter().chain(spec.items_at(&["initContainers"])).collect()
    };
    let wanted = |container: &&Value, list: &str| {
        let mut all = amounts(container, list);
        all.retain(|name, amount| matches!(name.as_str(), "cpu" | "memory") && positive(*amount));
        all
    };
    let any = containers.iter().any(|c| !wanted(c, "requests").is_empty() || !wanted(c, "limits").is_empty());
    if !any {
        return "BestEffort";
    }
    let guaranteed = containers.iter().all(|container| {
        let limits = wanted(container, "limits");
        limits.len() == 2 && wanted(container, "requests") == limits
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

fn positive(amount: Quantity) -> bool {
    amount.sign() > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::value;

    #[test]
    fn classes() {
        let class = |resources: Value| qos_class(&value!({"containers": [{"resources": resources}]}));
        assert_eq!(class(value!({})), "BestEffort");
        assert_eq!(class(value!({"requests": {"cpu": "1"}})), "Burstable");
        let both = value!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(class(value!({"requests": (both.clone()), "limits": both})), "Guaranteed");
    }
}
