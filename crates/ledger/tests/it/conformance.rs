//! What every engine does alike. Each test is given two writers of one empty ledger.

use ledger::chain::Link;
use ledger::{AppendError, Ledger, Memory, Sqlite, codec};

use crate::world::{at, events};

type Writers = [Box<dyn Ledger>; 2];

fn memory(test: fn(Writers)) {
    let ledger = Memory::new();
    test([Box::new(ledger.clone()), Box::new(ledger)]);
}

fn sqlite(test: fn(Writers)) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let open = || Box::new(Sqlite::open(&path).unwrap());
    test([open(), open()]);
}

macro_rules! on_every_engine {
    ($($test:ident),* $(,)?) => {
        mod on_memory { $(#[test] fn $test() { super::memory(super::$test); })* }
        mod on_sqlite { $(#[test] fn $test() { super::sqlite(super::$test); })* }
    };
}

on_every_engine!(
    an_empty_ledger_is_at_zero,
    what_is_appended_is_read_back_in_order,
    a_page_holds_no_more_than_asked_for,
    an_outdated_revision_conflicts_and_changes_nothing,
    each_writer_sees_what_the_other_wrote,
    the_hashes_are_those_of_the_chain,
    appending_nothing_is_a_check_of_the_revision,
);

fn an_empty_ledger_is_at_zero([mut one, _]: Writers) {
    assert_eq!(one.prove().unwrap(), at(0));
    assert_eq!(one.read(at(0), 10).unwrap(), []);
    assert_eq!(one.read(at(7), 10).unwrap(), []);
}

fn what_is_appended_is_read_back_in_order([mut one, _]: Writers) {
    let events = events(5);
    assert_eq!(one.append(at(0), &events[..2]).unwrap(), at(2));
    assert_eq!(one.append(at(2), &events[2..]).unwrap(), at(5));
    let read = one.read(at(0), 10).unwrap();
    let places: Vec<_> = read.iter().map(|recorded| recorded.revision.number()).collect();
    assert_eq!(places, [1, 2, 3, 4, 5]);
    let back: Vec<_> = read.into_iter().map(|recorded| recorded.event).collect();
    assert_eq!(back, events);
}

fn a_page_holds_no_more_than_asked_for([mut one, _]: Writers) {
    one.append(at(0), &events(5)).unwrap();
    let places = |ledger: &mut Box<dyn Ledger>, since, most| -> Vec<u64> {
        let read = ledger.read(at(since), most).unwrap();
        read.iter().map(|recorded| recorded.revision.number()).collect()
    };
    assert_eq!(places(&mut one, 0, 2), [1, 2]);
    assert_eq!(places(&mut one, 2, 2), [3, 4]);
    assert_eq!(places(&mut one, 4, 2), [5]);
    assert_eq!(places(&mut one, 5, 2), [0_u64; 0]);
    assert_eq!(places(&mut one, 9, 2), [0_u64; 0]);
    assert_eq!(places(&mut one, 3, 0), [0_u64; 0]);
    assert_eq!(places(&mut one, 0, usize::MAX), [1, 2, 3, 4, 5]);
}

fn an_outdated_revision_conflicts_and_changes_nothing([mut one, mut other]: Writers) {
    one.append(at(0), &events(2)).unwrap();
    for wrong in [0, 1, 3] {
        let conflict = other.append(at(wrong), &events(1));
        let Err(AppendError::Conflict { expected, found }) = conflict else {
            panic!("{conflict:?}");
        };
        assert_eq!((expected, found), (at(wrong), at(2)));
    }
    assert_eq!(one.prove().unwrap(), at(2));
    assert_eq!(one.read(at(0), 10).unwrap().len(), 2);
}

fn each_writer_sees_what_the_other_wrote([mut one, mut other]: Writers) {
    one.append(at(0), &events(2)).unwrap();
    assert_eq!(other.prove().unwrap(), at(2));
    other.append(at(2), &events(1)).unwrap();
    assert_eq!(one.prove().unwrap(), at(3));
    assert_eq!(one.read(at(0), 10).unwrap(), other.read(at(0), 10).unwrap());
}

fn the_hashes_are_those_of_the_chain([mut one, _]: Writers) {
    one.append(at(0), &events(3)).unwrap();
    let mut link = Link::START;
    for recorded in one.read(at(0), 10).unwrap() {
        link = link.next(&codec::encode(&recorded.event).unwrap());
        assert_eq!((recorded.revision, recorded.hash), (link.revision, link.hash));
    }
    let last = one.read(at(2), 10).unwrap();
    assert_eq!(last[0].hash, link.hash, "a page from the middle goes on with the chain");
}

fn appending_nothing_is_a_check_of_the_revision([mut one, mut other]: Writers) {
    assert_eq!(one.append(at(0), &[]).unwrap(), at(0));
    other.append(at(0), &events(1)).unwrap();
    assert!(matches!(one.append(at(0), &[]), Err(AppendError::Conflict { .. })));
}
