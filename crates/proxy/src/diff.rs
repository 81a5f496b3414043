//! `load` and `diff`: a ruleset, or the way to the next, as one transaction. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::sync::Arc;

use crate::ruleset::{Chain, Change, Element, Family, Key, MAPS, Map, Part, Ruleset, Structure, TABLE, Target};

/// Elements in one line of nft's text.
const ELEMENTS_PER_LINE: usize = 512;

/// What the kernel must change, all at once or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Tables to drop and make anew, empty, before all else.
    pub replace: Vec<Family>,
    /// Tables to drop for good.
    pub remove: Vec<Family>,
    /// Sets to make, with their declarations.
    pub add_sets: BTreeMap<(Family, String), String>,
    /// Chains to make or refill.
    pub set_chains: BTreeMap<(Family, String), Chain>,
    /// Elements to take out.
    pub delete_elements: Vec<Element>,
    /// Elements to put in.
    pub add_elements: Vec<Element>,
    /// Chains to drop.
    pub delete_chains: BTreeSet<(Family, String)>,
    /// Sets to drop.
    pub delete_sets: BTreeSet<(Family, String)>,
}

/// Everything, in place of whatever the kernel holds.
#[must_use]
pub fn load(rules: &Ruleset) -> Transaction {
    let mut transaction = Transaction { replace: rules.families.clone(), ..Transaction::default() };
    transaction.remove = [Family::V4, Family::V6].into_iter().filter(|f| !rules.families.contains(f)).collect();
    transaction.fill([&rules.base].into_iter().chain(rules.services.values()).map(|part| (None, Some(&**part))));
    transaction
}

/// The way from what the kernel holds to what it shall hold.
#[must_use]
pub fn diff(old: &Ruleset, change: &Change) -> Transaction {
    let mut transaction = Transaction::default();
    let base = (!Arc::ptr_eq(&old.base, &change.base)).then_some((Some(&*old.base), Some(&*change.base)));
    transaction.fill(base.into_iter().chain(old.pairs(change)));
    transaction
}

/// Elements that parts gave up and took: what moves from one Service to another is one change.
#[derive(Default)]
struct Elements(BTreeMap<Place, (Option<Target>, Option<Target>)>);

/// Which element of which map.
type Place = (Family, Map, Key);

impl Elements {
    fn compare(&mut self, before: Option<&Part>, after: Option<&Part>) {
        for element in before.into_iter().flat_map(|part| &part.elements) {
            self.0.entry(place(element)).or_default().0 = Some(element.target.clone());
        }
        for element in after.into_iter().flat_map(|part| &part.elements) {
            self.0.entry(place(element)).or_default().1 = Some(element.target.clone());
        }
    }

    fn finish(self, transaction: &mut Transaction) {
        for ((family, map, key), (before, after)) in self.0 {
            if before == after {
                continue;
            }
            let element = |target| Element { family, map, key, target };
            transaction.delete_elements.extend(before.map(element));
            transaction.add_elements.extend(after.map(element));
        }
    }
}

fn place(element: &Element) -> Place {
    (element.family, element.map, element.key)
}

impl Transaction {
    /// Nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Only elements change, and none of them is a range: the quick way to the kernel will do.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let structural = self.replace.is_empty()
            && self.remove.is_empty()
            && self.add_sets.is_empty()
            && self.set_chains.is_empty()
            && self.delete_chains.is_empty()
            && self.delete_sets.is_empty();
        structural && self.delete_elements.iter().chain(&self.add_elements).all(|element| !element.map.has_ranges())
    }

    fn fill<'a>(&mut self, pairs: impl Iterator<Item = (Option<&'a Part>, Option<&'a Part>)>) {
        let (mut elements, none) = (Elements::default(), Structure::default());
        for (before, after) in pairs {
            elements.compare(before, after);
            let structure = |part: Option<&'a Part>| part.map(|part| &part.structure);
            self.structure(structure(before).unwrap_or(&none), structure(after).unwrap_or(&none));
        }
        elements.finish(self);
    }

    fn structure(&mut self, before: &Structure, after: &Structure) {
        for (name, chain) in &after.chains {
            if before.chains.get(name) != Some(chain) {
                self.set_chains.insert(name.clone(), chain.clone());
            }
        }
        self.delete_chains.extend(before.chains.keys().filter(|name| !after.chains.contains_key(*name)).cloned());
        // A set's name says all that its declaration says: a set of the same name is the same.
        let new = after.sets.iter().filter(|(name, _)| !before.sets.contains_key(*name));
        self.add_sets.extend(new.map(|(name, declaration)| (name.clone(), declaration.clone())));
        self.delete_sets.extend(before.sets.keys().filter(|name| !after.sets.contains_key(*name)).cloned());
    }

    fn write_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for family in self.replace.iter().chain(&self.remove) {
            let ip = family.word();
            writeln!(f, "add table {ip} {TABLE}\ndelete table {ip} {TABLE}")?;
        }
        for family in &self.replace {
            let ip = family.word();
            writeln!(f, "add table {ip} {TABLE}")?;
            for map in MAPS {
                let (word, body) = map.declaration(*family);
                writeln!(f, "add {word} {ip} {TABLE} {} {{ {body} }}", map.name())?;
            }
        }
        Ok(())
    }

    /// Chains first empty, then filled, so that rules may name any of them.
    fn write_structure(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((family, name), chain) in &self.set_chains {
            let (ip, hook) = (family.word(), &chain.hook);
            let body = if hook.is_empty() { String::new() } else { format!(" {{ {hook} }}") };
            writeln!(f, "add chain {ip} {TABLE} {name}{body}")?;
            if self.replace.is_empty() {
                writeln!(f, "flush chain {ip} {TABLE} {name}")?;
            }
        }
        Ok(())
    }

    fn write_sets_and_rules(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((family, name), declaration) in &self.add_sets {
            writeln!(f, "add set {} {TABLE} {name} {{ {declaration} }}", family.word())?;
        }
        for ((family, name), chain) in &self.set_chains {
            for rule in &chain.rules {
                writeln!(f, "add rule {} {TABLE} {name} {rule}", family.word())?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Transaction {
    /// The transaction as input for `nft -f -`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_head(f)?;
        self.write_structure(f)?;
        self.write_sets_and_rules(f)?;
        write_elements(f, "delete", &self.delete_elements)?;
        write_elements(f, "add", &self.add_elements)?;
        for (family, name) in &self.delete_chains {
            writeln!(f, "flush chain {} {TABLE} {name}", family.word())?;
        }
        for (family, name) in &self.delete_chains {
            writeln!(f, "delete chain {} {TABLE} {name}", family.word())?;
        }
        for (family, name) in &self.delete_sets {
            writeln!(f, "delete set {} {TABLE} {name}", family.word())?;
        }
        Ok(())
    }
}

fn write_elements(f: &mut fmt::Formatter<'_>, verb: &str, elements: &[Element]) -> fmt::Result {
    for run in elements.chunk_by(|a, b| (a.family, a.map) == (b.family, b.map)) {
        for line in run.chunks(ELEMENTS_PER_LINE) {
            let mut list = String::new();
            for element in line {
                let separator = if list.is_empty() { "" } else { ", " };
                write!(list, "{separator}{}", element.key)?;
                if verb == "add" {
                    write!(list, "{}", element.target)?;
                }
            }
            let (ip, map) = (run[0].family.word(), run[0].map.name());
            writeln!(f, "{verb} element {ip} {TABLE} {map} {{ {list} }}")?;
        }
    }
    Ok(())
}
