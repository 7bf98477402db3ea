//! The table of bounds in `docs/bounds.md`: made from the constants of the sources, so that it cannot differ from them.
//!
//! Every constant of `gateway/bounds.rs` is in it, and every `…_MAX` and `…_MIN` of the other crates' products.
//! Not here: what the configuration bounds (see `daypass config schema`).

use std::fmt::Write as _;

use super::Violation;
use super::source::Source;

/// Where the table is.
pub(super) const PATH: &str = "docs/bounds.md";

/// All bounds of the data plane, whatever they are called.
const DATA_PLANE: &str = "crates/gateway/src/bounds.rs";

const HEAD: &str = "\
# Bounds

Nothing in Daypass grows with what others send beyond these bounds; the configuration has more (`daypass config schema`), each with its
default. This table is made from the sources by `cargo xtask tidy --write`.
";

/// The table, where it is not what the sources say.
pub(super) fn stale(sources: &[Source]) -> Vec<Violation> {
    let written = sources.iter().find(|source| source.path == PATH);
    if written.is_some_and(|written| written.text == table(sources)) {
        return Vec::new();
    }
    vec![Violation::new(PATH, 1, "is not what the sources say: `cargo xtask tidy --write` renews it")]
}

/// The whole document.
pub(super) fn table(sources: &[Source]) -> String {
    let mut text = HEAD.to_owned();
    let mut part = "";
    for source in sources.iter().filter(|source| is_product(&source.path)) {
        let bounds = bounds(source);
        if bounds.is_empty() {
            continue;
        }
        let name = source.path.split('/').nth(1).unwrap_or_default();
        if name != part {
            part = name;
            let _ = write!(text, "\n## `{name}`\n\n| bound | value | what it bounds |\n|---|---|---|\n");
        }
        for Bound { name, value, says } in bounds {
            let _ = writeln!(text, "| `{name}` | {value} | {says} |");
        }
    }
    text
}

fn is_product(path: &str) -> bool {
    let product = path.starts_with("crates/") && path.contains("/src/") && path.ends_with(".rs");
    product && !path.starts_with("crates/testkit/") && !path.contains("/tests")
}

struct Bound<'s> {
    name: &'s str,
    value: String,
    says: String,
}

fn bounds(source: &Source) -> Vec<Bound<'_>> {
    let all = source.path == DATA_PLANE;
    let mut bounds = Vec::new();
    let mut says = String::new();
    // Tests come last in a file.
    for line in source.text.lines().map(str::trim).take_while(|line| *line != "#[cfg(test)]") {
        if let Some(more) = line.strip_prefix("/// ") {
            says.push_str(if says.is_empty() { "" } else { " " });
            says.push_str(more);
            continue;
        }
        if let Some((name, value)) = constant(line)
            && (all || name.ends_with("_MAX") || name.ends_with("_MIN"))
        {
            bounds.push(Bound { name, value: shown(name, value), says: says.replace('|', "\\|") });
        }
        says.clear();
    }
    bounds
}

/// The name and value of a constant in a line of its own.
fn constant(line: &str) -> Option<(&str, &str)> {
    let start = line
        .find("const ")
        .filter(|at| line.get(..*at).is_some_and(|before| before.is_empty() || before.starts_with("pub")))?;
    let (name, rest) = line.get(start + "const ".len()..)?.split_once(':')?;
    let (_kind, value) = rest.split_once('=')?;
    Some((name, value.trim().strip_suffix(';')?))
}

/// A value as people read it: durations with their unit, bytes in powers of 1024, numbers plain.
fn shown(name: &str, value: &str) -> String {
    for (call, unit) in [("from_secs", "s"), ("from_millis", "ms"), ("from_micros", "µs")] {
        let inner = value.split_once(call).and_then(|(_, rest)| rest.strip_prefix('(')?.strip_suffix(')'));
        if let Some(number) = inner.and_then(product) {
            return format!("{} {unit}", grouped(number));
        }
    }
    match product(value) {
        Some(number) if name.contains("BYTES") && number >= 1024 && number % 1024 == 0 => {
            let (mut number, mut unit) = (number / 1024, 0);
            while number % 1024 == 0 && unit < 3 {
                (number, unit) = (number / 1024, unit + 1);
            }
            format!("{number} {}", ["KiB", "MiB", "GiB", "TiB"].get(unit).unwrap_or(&"KiB"))
        }
        Some(number) => grouped(number),
        None => format!("`{value}`"),
    }
}

/// A number, or a product of numbers.
fn product(text: &str) -> Option<u64> {
    text.split('*')
        .map(|factor| factor.trim().replace('_', "").parse::<u64>().ok())
        .try_fold(1_u64, |product, factor| product.checked_mul(factor?))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_told_with_its_unit_and_its_words() {
        let text = "/// The longest x, in bytes:\n/// beyond it a | b.\npub const X_BYTES_MAX: usize = 64 * 1024;\nconst OTHER: u8 = 1;\n\
                    /// How long.\npub(crate) const Y_TIME_MAX: Duration = Duration::from_millis(1_500);\n\
                    /// Like x.\nconst Z_MAX: usize = X_BYTES_MAX;\n#[cfg(test)]\nconst NOT_MAX: u8 = 3;\n";
        let source = Source { path: "crates/a/src/b.rs".into(), text: text.into() };
        let table = table(&[source]);
        let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(
            rows,
            [
                "| `X_BYTES_MAX` | 64 KiB | The longest x, in bytes: beyond it a \\| b. |",
                "| `Y_TIME_MAX` | 1,500 ms | How long. |",
                "| `Z_MAX` | `X_BYTES_MAX` | Like x. |",
            ]
        );
    }
}
