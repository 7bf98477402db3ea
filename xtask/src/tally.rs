//! How many tests passed and failed, read from what the runners print.

use std::fmt::{self, Display};
use std::ops::AddAssign;

/// A sum of passed and failed tests. Prints as `N passed, N failed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    pub(crate) const PASSED: Self = Self { passed: 1, failed: 0 };
    pub(crate) const FAILED: Self = Self { passed: 0, failed: 1 };

    /// Adds what a line of a runner's output reports: the closing line of cargo-nextest or of
    /// libtest. Any other line adds nothing.
    pub(crate) fn read(&mut self, line: &str) {
        let line = line.trim();
        let counts = match line.strip_prefix("test result:") {
            Some(rest) => rest.split_once(". ").map(|(_, counts)| counts),
            None => line
                .strip_prefix("Summary [")
                .and_then(|rest| rest.split_once(" run: "))
                .map(|(_, counts)| counts),
        };
        for count in counts.unwrap_or_default().split([',', ';']) {
            self.add(count.trim());
        }
    }

    fn add(&mut self, count: &str) {
        let Some((number, what)) = count.split_once(' ') else {
            return;
        };
        let Ok(number) = number.parse::<u64>() else { return };
        if what.starts_with("passed") {
            self.passed += number;
        } else if ["failed", "timed out", "exec failed"].iter().any(|end| what.starts_with(end)) {
            self.failed += number;
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, passed: u64, failed: u64) {
        let mut tally = Tally::default();
        tally.read(line);
        assert_eq!(tally, Tally { passed, failed }, "{line}");
    }

    #[test]
    fn closing_lines_of_both_runners_are_understood() {
        check("     Summary [   0.012s] 42 tests run: 42 passed, 0 skipped\n", 42, 0);
        check("     Summary [   1.2s] 1 test run: 1 passed, 3 skipped", 1, 0);
        check(
            "Summary [ 9.0s] 7/9 tests run: 3 passed (1 slow), 2 failed, 1 timed out, 1 exec failed, 0 skipped",
            3,
            4,
        );
        check(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            3,
            0,
        );
        check("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out", 3, 2);
    }

    #[test]
    fn other_lines_count_for_nothing() {
        check("running 3 tests", 0, 0);
        check("12 passed, 1 failed", 0, 0);
        check("test result:", 0, 0);
        check("Summary [", 0, 0);
    }

    #[test]
    fn the_sum_prints_in_the_agreed_form() {
        let mut sum = Tally { passed: 3, failed: 0 };
        sum += Tally { passed: 2, failed: 1 };
        assert_eq!(sum.to_string(), "5 passed, 1 failed");
    }
}
