//! Sizes of bodies, written as a whole number and a unit of 1024.

/// The largest size, in bytes: 1024 GiB.
const BYTES_MAX: u64 = 1024 << 30;

/// The bytes of `512B`, `64KiB`, `1MiB` or `2GiB`; `None` for any other spelling and above 1024 GiB.
pub(super) fn parse(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at_checked(digits)?;
    let factor = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    let bytes = count.parse::<u64>().ok()?.checked_mul(factor)?;
    (bytes <= BYTES_MAX).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_are_whole_numbers_with_one_unit() {
        assert_eq!(parse("0B"), Some(0));
        assert_eq!(parse("64KiB"), Some(65_536));
        assert_eq!(parse("1MiB"), Some(1_048_576));
        assert_eq!(parse("1024GiB"), Some(1_099_511_627_776));
        for text in ["", "1", "MiB", "1MB", "1 MiB", "-1B", "1.5MiB", "1025GiB", "99999999999999999999B"] {
            assert_eq!(parse(text), None, "{text} was accepted");
        }
    }
}
