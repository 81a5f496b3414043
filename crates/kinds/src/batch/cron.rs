//! What is wrong with a schedule in cron's form, in the words of the parser that upstream uses.

/// The fields: name, least, most, names from the least on.
const FIELDS: [(u32, u32, &[&str]); 5] = [
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    (0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

/// Checks a schedule.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(schedule: &str) -> Result<(), String> {
    let mut rest = schedule.trim();
    for prefix in ["TZ=", "CRON_TZ="] {
        if let Some(zone) = rest.strip_prefix(prefix) {
            let (name, after) = zone.split_once(' ').unwrap_or((zone, ""));
            if jiff::tz::TimeZone::get(name).is_err() {
                return Err(format!("provided bad location {name}: unknown time zone {name}"));
            }
            rest = after.trim();
        }
    }
    if rest.starts_with('@') {
        return descriptor(rest);
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    for (field, bounds) in fields.iter().zip(FIELDS) {
        for part in field.split(',').filter(|part| !part.is_empty()) {
            range(part, bounds)?;
        }
    }
    Ok(())
}

fn descriptor(text: &str) -> Result<(), String> {
    if let Some(duration) = text.strip_prefix("@every ") {
        let good = duration.parse::<jiff::SignedDuration>().is_ok();
        return if good {
            Ok(())
        } else {
            Err(format!("failed to parse duration {text}: time: invalid duration {duration:?}"))
        };
    }
    match text {
        "@yearly" | "@annually" | "@monthly" | "@weekly" | "@daily" | "@midnight" | "@hourly" => Ok(()),
        _ => Err(format!("unrecognized descriptor: {text}")),
    }
}

fn range(part: &str, bounds: (u32, u32, &[&str])) -> Result<(), String> {
    let (least, most, _) = bounds;
    let mut range_and_step = part.split('/');
    let low_and_high: Vec<&str> = range_and_step.next().unwrap_or_default().split('-').collect();
    let step = range_and_step.next();
    if range_and_step.next().is_some() {
        return Err(format!("too many slashes: {part}"));
    }
    let single = low_and_high.len() == 1;
    let (start, mut end) = match low_and_high.as_slice() {
        ["*" | "?"] => (least, most),
        [low] => number(low, bounds).map(|low| (low, low))?,
        [low, high] => (number(low, bounds)?, number(high, bounds)?),
        _ => return Err(format!("too many hyphens: {part}")),
    };
    let step = match step {
        None => 1,
        Some(step) => {
            if single {
                end = most;
            }
            integer(step)?
        }
    };
    if start < least {
        return Err(format!("beginning of range ({start}) below minimum ({least}): {part}"));
    }
    if end > most {
        return Err(format!("end of range ({end}) above maximum ({most}): {part}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {part}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {part}"));
    }
    Ok(())
}

fn number(text: &str, (least, _, names): (u32, u32, &[&str])) -> Result<u32, String> {
    let lower = text.to_lowercase();
    match names.iter().zip(least..).find(|(name, _)| **name == lower) {
        Some((_, number)) => Ok(number),
        None => integer(text),
    }
}

fn integer(text: &str) -> Result<u32, String> {
    let Ok(number) = text.parse::<i64>() else {
        return Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {}: invalid syntax",
            machinery::field::quote(text)
        ));
    };
    u32::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn schedules() {
        let show = |text: &str| format!("{:?}\n", super::check(text).err());
        expect_test::expect![[r#"
            None
            None
            None
            Some("failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax")
            Some("expected exactly 5 fields, found 6: [* * * * * *]")
            Some("end of range (61) above maximum (59): 61")
        "#]]
        .assert_eq(
            &["*/5 1-3 * jan mon", "@daily", "0 0 1,15 * ?", "x * * * *", "* * * * * *", "61 * * * *"]
                .map(show)
                .concat(),
        );
    }
}
