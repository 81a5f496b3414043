//! Lists of indexes as jobs write them: `1,3-5,7`.

use machinery::field::quote;

/// How many indexes a list has, below `completions`.
///
/// # Errors
/// What is wrong with the list.
pub(super) fn count(list: &str, completions: i64) -> Result<i64, String> {
    let mut last: Option<i64> = None;
    let mut total = 0;
    if list.is_empty() {
        return Ok(0);
    }
    for part in list.split(',') {
        let (first, end) = interval(part, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// The first index that stands in both lists; parts that cannot be read are passed over.
pub(super) fn overlap(one: &str, other: &str, completions: i64) -> Option<i64> {
    let intervals = |list: &str| -> Vec<(i64, i64)> {
        list.split(',').filter_map(|part| interval(part, completions).ok()).collect()
    };
    let others = intervals(other);
    intervals(one).into_iter().find_map(|(first, end)| {
        let meets = others.iter().find(|(start, stop)| first <= *stop && *start <= end)?;
        Some(first.max(meets.0))
    })
}

fn interval(part: &str, completions: i64) -> Result<(i64, i64), String> {
    let limits: Vec<&str> = part.split('-').collect();
    let number = |text: &str| -> Result<i64, String> {
        let number: i64 =
            text.parse().map_err(|_| format!("cannot convert string to integer for index: {}", quote(text)))?;
        if number >= completions { Err(format!("too large index: {}", quote(text))) } else { Ok(number) }
    };
    match limits.as_slice() {
        [one] => number(one).map(|index| (index, index)),
        [first, end] => {
            let (first, end) = (number(first)?, number(end)?);
            if first >= end {
                return Err(format!("non-increasing order, previous: {first}, current: {end}"));
            }
            Ok((first, end))
        }
        _ => Err(format!(
            "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
            quote(part)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let of = |list: &str| count(list, 8).map_or_else(|problem| problem, |count| count.to_string());
        assert_eq!(["", "1,3-5,7"].map(of), ["0", "5"]);
        assert_eq!(of("1,x"), "cannot convert string to integer for index: \"x\"");
        assert_eq!(of("3,1"), "non-increasing order, previous: 3, current: 1");
        assert_eq!(of("1-9"), "too large index: \"9\"");
        assert_eq!(overlap("1-3,6", "0,2-4", 8), Some(2));
    }
}
