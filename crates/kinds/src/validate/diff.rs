//! What changed between two values, as the unified diff that ends messages about fields that may not change.

use std::fmt::Write as _;

use machinery::Value;

/// So many lines around a change are shown.
const CONTEXT: usize = 3;
/// Texts with more changed lines than this are shown as replaced whole: the search is quadratic.
const MOST_LINES: usize = 2000;

/// The difference of two values in unified form; empty when there is none.
#[must_use]
pub fn unified(old: &Value, new: &Value) -> String {
    let [old, new] = [old, new].map(|value| serde_json::to_string_pretty(value).unwrap_or_default());
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut text = String::new();
    for hunk in hunks(&steps(&old, &new)) {
        write_hunk(&mut text, &hunk);
    }
    text
}

/// A line, kept, taken out or put in, with its number in the old and the new text.
#[derive(Clone, Copy)]
struct Step<'a> {
    sign: char,
    line: &'a str,
    old: usize,
    new: usize,
}

fn steps<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Step<'a>> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let room = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(room).take_while(|(a, b)| a == b).count();
    let (mut all, mut i, mut j) = (Vec::new(), 0, 0);
    let (end_old, end_new) = (old.len() - tail, new.len() - tail);
    let common = common_suffixes(&old[head..end_old], &new[head..end_new]);
    while i < old.len() || j < new.len() {
        let inside = i >= head && (i < end_old || j < end_new);
        let sign = if !inside || (i < end_old && j < end_new && old[i] == new[j]) {
            ' '
        } else if j >= end_new || (i < end_old && common.get(i - head, j - head)) {
            '-'
        } else {
            '+'
        };
        let line = if sign == '+' { new[j] } else { old[i] };
        all.push(Step { sign, line, old: i, new: j });
        i += usize::from(sign != '+');
        j += usize::from(sign != '-');
    }
    all
}

/// For each pair of places whether dropping the old line leaves at least as long a common text.
struct Common {
    width: usize,
    drop_old: Vec<bool>,
}

impl Common {
    fn get(&self, i: usize, j: usize) -> bool {
        self.drop_old.get(i * self.width + j).copied().unwrap_or(true)
    }
}

fn common_suffixes(old: &[&str], new: &[&str]) -> Common {
    let width = new.len();
    if old.len() > MOST_LINES || new.len() > MOST_LINES {
        return Common { width, drop_old: Vec::new() };
    }
    let mut drop_old = vec![true; old.len() * width];
    let mut below = vec![0_u32; width + 1];
    for i in (0..old.len()).rev() {
        let mut row = vec![0_u32; width + 1];
        for j in (0..width).rev() {
            row[j] = if old[i] == new[j] { below[j + 1] + 1 } else { below[j].max(row[j + 1]) };
            drop_old[i * width + j] = below[j] >= row[j + 1];
        }
        below = row;
    }
    Common { width, drop_old }
}

fn hunks<'a>(steps: &[Step<'a>]) -> Vec<Vec<Step<'a>>> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for (at, _) in steps.iter().enumerate().filter(|(_, step)| step.sign != ' ') {
        let (from, to) = (at.saturating_sub(CONTEXT), (at + CONTEXT + 1).min(steps.len()));
        match ranges.last_mut() {
            Some((_, end)) if from <= *end => *end = to,
            _ => ranges.push((from, to)),
        }
    }
    ranges.into_iter().map(|(from, to)| steps[from..to].to_vec()).collect()
}

fn write_hunk(text: &mut String, hunk: &[Step<'_>]) {
    let Some(first) = hunk.first() else { return };
    let count = |not: char| hunk.iter().filter(|step| step.sign != not).count();
    let _ = writeln!(text, "@@ -{},{} +{},{} @@", first.old + 1, count('+'), first.new + 1, count('-'));
    for step in hunk {
        let _ = writeln!(text, "{}{}", step.sign, step.line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::value;

    #[test]
    fn a_changed_field() {
        let old = value!({"a": 1, "b": {"c": "x", "d": "y"}, "e": 2});
        let new = value!({"a": 1, "b": {"c": "z", "d": "y"}, "e": 2, "f": 3});
        expect_test::expect![[r#"
            @@ -1,8 +1,9 @@
             {
               "a": 1,
               "b": {
            -    "c": "x",
            +    "c": "z",
                 "d": "y"
               },
            -  "e": 2
            +  "e": 2,
            +  "f": 3
             }
        "#]]
        .assert_eq(&unified(&old, &new));
        assert_eq!(unified(&old, &old), "");
    }
}
