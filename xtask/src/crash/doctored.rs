//! Shows that the checker can fail: sound evidence passes, and each doctored copy is caught.

use super::check::{Answered, Evidence, Fault, examine};
use super::rows::Row;

/// A lie told to the checker, and the fault it must find.
struct Case {
    name: &'static str,
    expected: Option<Fault>,
    doctor: fn(&mut Evidence, &mut Vec<Row>),
}

const CASES: &[Case] = &[
    Case { name: "sound evidence", expected: None, doctor: |_, _| {} },
    Case {
        name: "an intent that nobody saw is fine",
        expected: None,
        doctor: |_, rows| rows.push(row(9, 9, "unknown")),
    },
    Case {
        name: "forwarded before recording: upstream saw it, no row",
        expected: Some(Fault::ForwardedWithoutIntent),
        doctor: |evidence, _| evidence.forwarded.push(id(9)),
    },
    Case {
        name: "a refused request reached the upstream",
        expected: Some(Fault::ForwardedWithoutIntent),
        doctor: |evidence, _| evidence.forwarded.push(id(3)),
    },
    Case {
        name: "an answered request's row is gone",
        expected: Some(Fault::Missing),
        doctor: |evidence, rows| {
            rows.retain(|row| row.id != id(1));
            evidence.forwarded.retain(|seen| *seen != id(1));
        },
    },
    Case {
        name: "the same row twice",
        expected: Some(Fault::Duplicate),
        doctor: |_, rows| rows.push(row(1, 1, "completed")),
    },
    Case {
        name: "two requests on one leaf",
        expected: Some(Fault::Duplicate),
        doctor: |_, rows| rows.push(row(9, 1, "completed")),
    },
    Case {
        name: "the upstream saw one request twice",
        expected: Some(Fault::Duplicate),
        doctor: |evidence, _| evidence.forwarded.push(id(2)),
    },
    Case {
        name: "the receipt names another leaf",
        expected: Some(Fault::OtherLeaf),
        doctor: |_, rows| {
            rows.iter_mut().filter(|row| row.id == id(1)).for_each(|row| row.leaf = 77);
        },
    },
    Case {
        name: "the receipt names another node",
        expected: Some(Fault::OtherLeaf),
        doctor: |_, rows| {
            rows.iter_mut().filter(|row| row.id == id(1)).for_each(|row| row.node = "n2".to_owned());
        },
    },
    Case {
        name: "an answer without a receipt",
        expected: Some(Fault::OtherLeaf),
        doctor: |evidence, _| {
            evidence.answered.iter_mut().for_each(|answered| answered.receipt = None);
        },
    },
    Case {
        name: "a row without outcome after the restart",
        expected: Some(Fault::Unsettled),
        doctor: |_, rows| {
            rows.iter_mut().for_each(|row| row.outcome = None);
        },
    },
    Case {
        name: "allowed, and recorded as refused",
        expected: Some(Fault::Contradiction),
        doctor: |evidence, rows| {
            evidence.forwarded.clear();
            rows.iter_mut().for_each(|row| row.decision = "refuse".to_owned());
        },
    },
    Case {
        name: "answered with another status than recorded",
        expected: Some(Fault::Contradiction),
        doctor: |_, rows| {
            rows.iter_mut().for_each(|row| row.status = row.status.map(|_| 204));
        },
    },
];

/// Prints each case; whether every lie was caught and the truth was not.
pub(crate) fn self_test() -> bool {
    let mut sound = true;
    for case in CASES {
        let right = holds(case);
        let word = match (right, case.expected) {
            (true, None) => "passes",
            (true, Some(_)) => "caught",
            (false, _) => "NOT CAUGHT",
        };
        println!("{word}: {}", case.name);
        sound &= right;
    }
    let missed = CASES.iter().filter(|case| !holds(case)).count();
    println!("self-test: {} cases, {missed} wrong", CASES.len());
    sound
}

/// Exactly the expected fault is found, and no other.
fn holds(case: &Case) -> bool {
    let (mut evidence, mut rows) = truth();
    (case.doctor)(&mut evidence, &mut rows);
    let mut found: Vec<Fault> = examine(&evidence, &rows).into_iter().map(|finding| finding.fault).collect();
    found.sort_unstable();
    found.dedup();
    found == case.expected.into_iter().collect::<Vec<_>>()
}

/// Two requests answered, one refused, one forwarded and cut by the crash.
fn truth() -> (Evidence, Vec<Row>) {
    let answered = |n: u64, status| Answered { id: id(n), status, receipt: Some(("n1".to_owned(), n)) };
    let evidence = Evidence {
        answered: vec![answered(1, 200), answered(2, 200), answered(3, 403)],
        forwarded: vec![id(1), id(2), id(4)],
    };
    let refused = Row { decision: "refuse".to_owned(), status: Some(403), ..row(3, 3, "refused") };
    (evidence, vec![row(1, 1, "completed"), row(2, 2, "unknown"), refused, row(4, 4, "unknown")])
}

fn id(n: u64) -> String {
    format!("01900000-0000-7000-8000-{n:012}")
}

fn row(n: u64, leaf: u64, outcome: &str) -> Row {
    Row {
        id: id(n),
        node: "n1".to_owned(),
        leaf,
        revision: 1,
        decision: "allow".to_owned(),
        status: (outcome == "completed").then_some(200),
        outcome: Some(outcome.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_doctored_evidence_is_caught_and_the_truth_passes() {
        assert!(self_test());
    }

    #[test]
    fn every_fault_has_a_case() {
        for fault in Fault::ALL {
            assert!(CASES.iter().any(|case| case.expected == Some(fault)), "{fault}");
        }
    }
}
