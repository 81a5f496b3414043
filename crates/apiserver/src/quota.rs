//! ResourceQuota: a namespace gets no more than its quotas allow; what a write uses is charged before it is stored.
//!
//! Invariant: a charge may be too high (the write may still fail; the quota controller counts anew), never too low.

use std::collections::BTreeSet;

use kinds::Kind;
use kinds::quota::{self, Amounts};
use machinery::schema::FieldValidation;
use machinery::{Status, Value, meta};

use crate::access::Write;
use crate::admission::{Operation, RESOURCE_QUOTA};
use crate::cache::Selection;
use crate::call::Call;
use crate::objects::{Objects, Stored};
use crate::options::WriteOptions;
use crate::server::Server;
use crate::{codec, ownership};

/// A charge is tried this often. Each loss means that another writer has got through.
const ATTEMPTS: usize = 64;

/// Who owns the fields of a charge.
const MANAGER: &str = "kube-apiserver";

/// Resources that no quota counts: what happens, and what is asked.
const UNCOUNTED: [(&str, &str); 3] = [("", "bindings"), ("", "events"), ("events.k8s.io", "events")];

/// Charges what `object` will use to the quotas of its namespace.
///
/// # Errors
/// 403 when a quota does not allow it or its usage is not known yet.
pub async fn charge(server: &Server, call: &Call, write: &Write<'_>, object: &Value) -> Result<(), Status> {
    if !server.access.runs(RESOURCE_QUOTA.name) || !concerns(call, write) {
        return Ok(());
    }
    let Some(kind) = kinds::lookup("", "v1", "resourcequotas") else { return Ok(()) };
    let Some(cache) = server.cacher.of(kind) else { return Ok(()) };
    let namespace = call.info.namespace.as_str();
    let quotas = cache.snapshot(&Selection::all(namespace)).items;
    let mut open: Vec<String> = quotas.iter().map(|item| item.name.to_string()).collect();
    let objects = Objects::new(server, kind);
    let forbidden = |why: String| Status::forbidden(write.kind.group_resource(), meta::name(object), why);
    for _ in 0..ATTEMPTS {
        if open.is_empty() {
            return Ok(());
        }
        let mut found = Vec::new();
        for name in &open {
            found.extend(objects.find(namespace, name).await?);
        }
        let charges = plan(server, write, object, &found).map_err(forbidden)?;
        if write.dry_run {
            return Ok(());
        }
        open.clear();
        for (stored, used) in charges {
            if !store(server, call, kind, stored, &used).await? {
                open.push(meta::name(&stored.object).to_owned());
            }
        }
    }
    Err(Status::modified(kind.group_resource(), &open.join(",")))
}

/// Whether quotas look at such a write: creations of what they count, and updates of what can grow.
fn concerns(call: &Call, write: &Write<'_>) -> bool {
    let (kind, subresource) = (write.kind, call.info.subresource.as_str());
    if !kind.namespaced || kind.storage.is_empty() || UNCOUNTED.contains(&(kind.group, kind.plural)) {
        return false;
    }
    match write.operation {
        Operation::Create => subresource.is_empty(),
        Operation::Update if kind.group.is_empty() => match kind.plural {
            "pods" => subresource == "resize",
            "services" | "persistentvolumeclaims" => subresource.is_empty(),
            _ => false,
        },
        _ => false,
    }
}

/// What each of the quotas must say is used, of those for which that changes.
fn plan<'q>(
    server: &Server,
    write: &Write<'_>,
    object: &Value,
    quotas: &'q [Stored],
) -> Result<Vec<(&'q Stored, Amounts)>, String> {
    let (group, resource, now) = (write.kind.group, write.kind.plural, server.clock.now());
    let mut concerned = Vec::new();
    for stored in quotas.iter().filter(|stored| quota::in_scope(&stored.object, group, resource, object)) {
        if let Some(hard) = checked(&stored.object, (group, resource), object)? {
            concerned.push((stored, hard));
        }
    }
    let mut more = quota::usage(group, resource, object, now);
    let negative = Vec::from_iter(more.iter().filter(|(_, amount)| amount.sign() < 0).map(|(name, _)| name.as_str()));
    if !negative.is_empty() {
        return Err(format!("quota usage is negative for resource(s): {}", negative.join(",")));
    }
    for (name, before) in write.old.map(|old| quota::usage(group, resource, old, now)).unwrap_or_default() {
        let amount = more.entry(name).or_default();
        *amount = *amount - before;
    }
    // What becomes less is left to the quota controller, also where the quota allows less by now than is used.
    more.retain(|_, amount| amount.sign() > 0);
    let charges =
        concerned.into_iter().map(|(stored, hard)| charged(&stored.object, &hard, &more).map(|c| (stored, c)));
    let charges: Vec<_> = charges.collect::<Result<_, _>>()?;
    Ok(charges.into_iter().filter_map(|(stored, used)| Some((stored, used?))).collect())
}

/// What the quota limits, if that has to do with the resource; the object must fit it and its usage be known.
fn checked(quota: &Value, (group, resource): (&str, &str), object: &Value) -> Result<Option<Amounts>, String> {
    let hard = quota::amounts_at(quota, &["status", "hard"]);
    let limited: BTreeSet<String> = hard.keys().filter(|name| quota::limits(group, resource, name)).cloned().collect();
    if limited.is_empty() {
        return Ok(None);
    }
    let name = meta::name(quota);
    if (group, resource) == ("", "pods") {
        quota::check_pod(object, &limited).map_err(|why| format!("failed quota: {name}: {why}"))?;
    }
    let used = quota::amounts_at(quota, &["status", "used"]);
    if limited.iter().any(|name| !used.contains_key(name)) {
        let names: Vec<&str> = limited.iter().map(String::as_str).collect();
        return Err(format!("status unknown for quota: {name}, resources: {}", names.join(",")));
    }
    Ok(Some(hard))
}

/// What is used after the charge; nothing if the quota does not limit what is charged.
fn charged(quota: &Value, hard: &Amounts, more: &Amounts) -> Result<Option<Amounts>, String> {
    let mut used = quota::amounts_at(quota, &["status", "used"]);
    let before = used.clone();
    let requested: Amounts = more
        .iter()
        .filter(|(name, _)| hard.contains_key(*name))
        .map(|(name, amount)| (name.clone(), *amount))
        .collect();
    for (name, amount) in &requested {
        let total = used.entry(name.clone()).or_default();
        *total = *total + *amount;
    }
    let exceeded: Vec<&String> = requested.keys().filter(|name| used[*name] > hard[*name]).collect();
    if exceeded.is_empty() {
        return Ok((!requested.is_empty()).then_some(used));
    }
    let show = |amounts: &Amounts| {
        let parts = exceeded.iter().filter_map(|name| Some(format!("{name}={}", amounts.get(*name)?)));
        parts.collect::<Vec<_>>().join(",")
    };
    let (requested, before, hard) = (show(&requested), show(&before), show(hard));
    let name = meta::name(quota);
    Err(format!("exceeded quota: {name}, requested: {requested}, used: {before}, limited: {hard}"))
}

/// Writes what is used; false when somebody else was faster.
async fn store(
    server: &Server,
    call: &Call,
    kind: &'static Kind,
    stored: &Stored,
    used: &Amounts,
) -> Result<bool, Status> {
    let mut new = Value::clone(&stored.object);
    for (name, amount) in used {
        new.set_at(&["status", "used", name], amount.to_string());
    }
    let options = WriteOptions {
        dry_run: false,
        field_manager: MANAGER.to_owned(),
        field_validation: FieldValidation::Ignore,
        force: false,
    };
    ownership::through(server, call, kind, "status", &stored.object, &mut new, &options);
    codec::settle(kind, &mut new);
    Ok(Objects::new(server, kind).replace(stored, new, false).await?.is_ok())
}

#[cfg(test)]
mod tests {
    use machinery::{Quantity, value};

    use super::*;

    #[test]
    fn charges() {
        let quota = value!({"metadata": {"name": "q"}, "status": {"hard": {"pods": "2", "cpu": "1"}, "used": {"pods": "1", "cpu": "900m"}}});
        let hard = checked(&quota, ("", "pods"), &value!({})).unwrap().unwrap();
        let more = |cpu: &str| {
            let amounts = [("pods", "1"), ("cpu", cpu), ("memory", "1Gi")];
            Amounts::from(amounts.map(|(name, amount)| (name.to_owned(), Quantity::parse(amount).unwrap())))
        };
        let used = charged(&quota, &hard, &more("100m")).unwrap().unwrap();
        assert_eq!((used["pods"].to_string(), used["cpu"].to_string()), ("2".to_owned(), "1".to_owned()));
        expect_test::expect!["exceeded quota: q, requested: cpu=200m, used: cpu=900m, limited: cpu=1"]
            .assert_eq(&charged(&quota, &hard, &more("200m")).unwrap_err());
        let unknown = value!({"metadata": {"name": "q"}, "status": {"hard": {"pods": "2"}}});
        assert_eq!(
            checked(&unknown, ("", "pods"), &value!({})).unwrap_err(),
            "status unknown for quota: q, resources: pods"
        );
        assert!(checked(&quota, ("", "secrets"), &value!({})).unwrap().is_none());
    }
}
