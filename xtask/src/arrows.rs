//! The arrows between crates, checked against the architecture picture: a crate uses lower layers only, and nobody but
//! the API server touches the store.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::shell;

/// Every crate of the product with its layer, lowest first (ARCHITECTURE.md shows the same picture).
const LAYERS: &[&[&str]] = &[
    &["base"],
    &["machinery", "store"],
    &["kinds", "client"],
    &["apiserver", "controllers", "scheduler", "kubelet", "network", "proxy", "dns"],
    &["cox"],
    &["sim"],
];

/// Crates outside the layers: they may use nothing of the product, or only run it.
const OUTSIDE: &[&str] = &["xtask", "regatta-api", "node-tests", "cox-bench"];

/// The only crates that may name the store: its user, and those that hand it over.
const STORE_USERS: &[&str] = &["apiserver", "cox", "sim"];

/// Reads the manifests and names every arrow that the picture does not have.
///
/// # Errors
/// One line per forbidden arrow.
pub fn check() -> Result<()> {
    let text = shell::output(shell::command("cargo").args(["metadata", "--format-version=1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&text).context("reading cargo's metadata")?;
    let wrong = forbidden(&crates(&metadata));
    if !wrong.is_empty() {
        bail!("arrows that the architecture does not have:\n{}", wrong.join("\n"));
    }
    Ok(())
}

/// Each workspace crate with the workspace crates that it uses outside its tests.
fn crates(metadata: &Value) -> BTreeMap<String, Vec<String>> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    packages
        .iter()
        .map(|package| {
            let uses = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
            let uses = uses
                .filter(|d| d["kind"].as_str() != Some("dev"))
                .filter_map(|d| d["name"].as_str())
                .filter(|name| names.contains(name))
                .map(str::to_owned);
            (package["name"].as_str().unwrap_or_default().to_owned(), uses.collect())
        })
        .collect()
}

fn forbidden(crates: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let layer = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    let mut wrong = Vec::new();
    for (name, uses) in crates {
        let Some(own) = layer(name) else {
            if !OUTSIDE.contains(&name.as_str()) {
                wrong.push(format!("{name} stands in no layer"));
            }
            wrong.extend(uses.iter().map(|used| format!("{name} -> {used}: {name} stands outside the layers")));
            continue;
        };
        for used in uses {
            if layer(used).is_none_or(|below| below >= own) {
                wrong.push(format!("{name} -> {used}: not a lower layer"));
            } else if used == "store" && !STORE_USERS.contains(&name.as_str()) {
                wrong.push(format!("{name} -> store: only the API server touches the store"));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arrows: &[(&str, &[&str])]) -> Vec<String> {
        forbidden(&arrows.iter().map(|(n, u)| ((*n).to_owned(), u.iter().map(|u| (*u).to_owned()).collect())).collect())
    }

    #[test]
    fn the_picture_holds() {
        check().unwrap();
    }

    #[test]
    fn wrong_arrows_are_named() {
        assert!(of(&[("base", &[]), ("kinds", &["machinery", "base"]), ("cox", &["store"])]).is_empty());
        assert_eq!(of(&[("kubelet", &["proxy"])]), ["kubelet -> proxy: not a lower layer"]);
        assert_eq!(of(&[("scheduler", &["store"])]), ["scheduler -> store: only the API server touches the store"]);
        assert_eq!(of(&[("helpers", &[])]), ["helpers stands in no layer"]);
        assert_eq!(of(&[("xtask", &["cox"])]), ["xtask -> cox: xtask stands outside the layers"]);
    }
}
