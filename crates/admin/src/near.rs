//! Names that were mistyped: which known one was meant, and lists of what there is.

/// The most names that one line of advice lists.
pub const LISTED_MAX: usize = 32;

/// `` `a`, `b` or `c` ``; the first [`LISTED_MAX`] of many.
pub fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let quoted: Vec<_> = names.into_iter().take(LISTED_MAX + 1).map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((_, first)) if first.len() == LISTED_MAX => format!("{} …", first.join(", ")),
        Some((last, first)) => format!("{} or {last}", first.join(", ")),
    }
}

/// The name that differs from `found` in at most two letters, the closest first.
#[must_use]
pub fn nearest<'n>(found: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let far = found.chars().count().div_ceil(3).min(2);
    let near = known.into_iter().map(|name| (distance(found, name), name));
    near.filter(|(distance, _)| *distance <= far).min().map(|(_, name)| name)
}

/// The longest names that are compared, in characters.
const COMPARED_CHARS_MAX: usize = 64;

/// How many letters must change (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(COMPARED_CHARS_MAX).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.chars().take(COMPARED_CHARS_MAX).enumerate() {
        let mut left = above + 1;
        let mut next = vec![left];
        for (pair, wanted) in row.windows(2).zip(&other) {
            let &[diagonal, up] = pair else { continue };
            left = (diagonal + usize::from(letter != *wanted)).min(up + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name_that_was_meant_and_another_word_finds_none() {
        let known = ["orders", "payments", "ord"];
        for (found, meant) in
            [("ordres", Some("orders")), ("Payments", Some("payments")), ("shop", None), ("", None)]
        {
            assert_eq!(nearest(found, known), meant, "{found}");
        }
    }
}
