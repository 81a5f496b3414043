//! Some kinds, walked together: kubectl takes a folder as easily as a file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::api_server::{ApiServer, HARBOUR};
use crate::program::{Ended, Line};
use crate::walk::discovery::Served;
use crate::walk::example::{self, Example};

/// A kind and its example.
pub struct Member<'a> {
    /// The kind.
    pub kind: &'a Served,
    /// Its example.
    pub example: &'a Example,
}

impl Member<'_> {
    /// As kubectl speaks of it: `deployment.apps/crew`.
    pub fn shown(&self) -> String {
        format!("{}/{}", self.kind.shown(), self.example.object_name())
    }

    /// As kubectl speaks of it when it is gone.
    pub fn deleted(&self) -> String {
        let place = if self.kind.namespaced { format!(" from {HARBOUR} namespace") } else { String::new() };
        format!("{} {:?} deleted{place}", self.kind.shown(), self.example.object_name())
    }

    fn is_in(&self, object: &Value) -> bool {
        let pointers = ["/apiVersion", "/kind", "/metadata/name"];
        pointers.iter().all(|at| object.pointer(at) == self.example.object.pointer(at))
    }
}

/// Some kinds, and their examples in a folder.
pub struct Group<'a> {
    /// From the first example to the last.
    pub name: String,
    /// The kinds.
    pub members: Vec<Member<'a>>,
    /// The server.
    pub server: &'a ApiServer,
    folder: PathBuf,
}

impl<'a> Group<'a> {
    /// Lays out the examples, as they are written and with their change.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn new(server: &'a ApiServer, members: Vec<Member<'a>>) -> Result<Self> {
        let ends = [members.first(), members.last()].map(|end| end.map_or("", |member| &member.example.name));
        let name = ends.join(" to ");
        let folder = server.folder.join(name.replace(['/', ' '], "-"));
        for which in ["written", "changed"] {
            std::fs::create_dir_all(folder.join(which)).context("making a folder")?;
        }
        let group = Self { name, members, server, folder };
        for member in &group.members {
            std::fs::write(group.file(member), &member.example.text).context("writing an example")?;
            let changed = group.changed().join(group.file(member).file_name().unwrap_or_default());
            let object = member.example.changed()?.to_string();
            std::fs::write(changed.with_extension("json"), object).context("writing a changed example")?;
        }
        Ok(group)
    }

    /// The folder of the examples as they are written.
    pub fn written(&self) -> PathBuf {
        self.folder.join("written")
    }

    /// The folder of the changed examples.
    pub fn changed(&self) -> PathBuf {
        self.folder.join("changed")
    }

    /// The file of a member.
    pub fn file(&self, member: &Member) -> PathBuf {
        let name = member.example.name.replace('/', "-");
        self.written().join(format!("{name}.yaml"))
    }

    /// `kubectl` of the walk.
    pub fn kubectl(&self, words: &str) -> Line {
        self.server.kubectl(words)
    }

    /// Runs `kubectl WORDS -f FILES`, which must end with `code` and complain of nothing but what the kinds warn of.
    ///
    /// # Errors
    /// When it does otherwise.
    pub fn run(&self, words: &str, files: &Path, code: i32) -> Result<String> {
        let ended = self.kubectl(words).arg("-f").arg(files).code(code)?;
        self.quiet(&ended)?;
        Ok(ended.stdout)
    }

    /// As [`Group::run`] with a good end; a line `KIND/NAME VERB` must stand there for each member.
    ///
    /// # Errors
    /// When it does otherwise.
    pub fn says(&self, words: &str, files: &Path, verb: &str) -> Result<()> {
        let expected: Vec<String> = self.members.iter().map(|member| format!("{} {verb}", member.shown())).collect();
        self.says_lines(words, files, &expected)
    }

    /// As [`Group::says`], with a verb for each member.
    ///
    /// # Errors
    /// When it does otherwise.
    pub fn says_each(&self, words: &str, files: &Path, verb: fn(&Example) -> &str) -> Result<()> {
        let line = |member: &Member| format!("{} {}", member.shown(), verb(member.example));
        let expected: Vec<String> = self.members.iter().map(line).collect();
        self.says_lines(words, files, &expected)
    }

    fn says_lines(&self, words: &str, files: &Path, expected: &[String]) -> Result<()> {
        let ended = self.kubectl(words).arg("-f").arg(files).run()?;
        ensure!(
            ended.code == 0 && same_lines(&ended.stdout, expected),
            "it ended with {} and said:\n{}{}",
            ended.code,
            differing_lines(&ended.stdout, expected),
            ended.stderr
        );
        self.quiet(&ended)
    }

    /// Nothing may be complained of but what the kinds warn of.
    ///
    /// # Errors
    /// What else is complained of.
    pub fn quiet(&self, ended: &Ended) -> Result<()> {
        let known: Vec<String> = self
            .members
            .iter()
            .filter_map(|member| member.example.plan.warning.as_ref())
            .map(|warning| format!("Warning: {warning}"))
            .collect();
        let loud: Vec<&str> = ended.stderr.lines().filter(|line| !known.iter().any(|known| known == line)).collect();
        ensure!(loud.is_empty(), "it complained:\n{}", loud.join("\n"));
        Ok(())
    }

    /// The objects must hold all that `sent` of the member says.
    ///
    /// # Errors
    /// What they lack.
    pub fn holds(&self, sent: fn(&Example) -> Result<Value>) -> Result<()> {
        let answer = example::yaml(&self.run("get -o yaml", &self.written(), 0)?)?;
        let alone = [answer.clone()];
        let objects = answer["items"].as_array().map_or(alone.as_slice(), Vec::as_slice);
        let mut lost = Vec::new();
        for member in &self.members {
            let name = member.shown();
            match objects.iter().find(|object| member.is_in(object)) {
                None => lost.push(format!("{name} is not there")),
                Some(object) => {
                    lost.extend(example::missing(&sent(member.example)?, object).map(|at| name + at.as_str()))
                }
            }
        }
        ensure!(lost.is_empty(), "what was sent is not what is there: {}", lost.join("; "));
        Ok(())
    }
}

fn same_lines(text: &str, expected: &[String]) -> bool {
    text.lines().count() == expected.len() && differing_lines(text, expected).is_empty()
}

/// Lines that are not expected, and those that are and do not come.
fn differing_lines(text: &str, expected: &[String]) -> String {
    let surplus = text.lines().filter(|line| !expected.iter().any(|e| e == line)).map(|line| format!("+ {line}\n"));
    let absent = expected.iter().filter(|e| !text.lines().any(|line| line == **e)).map(|line| format!("- {line}\n"));
    surplus.chain(absent).collect()
}
