//! Between two processes of one node: what a process that is being replaced still has to record goes to the
//! writer of the one that replaces it.
//!
//! The log has one writer at any time. The process that hands over finishes its segment, lets go of the lock, and
//! from then on sends each parcel over a socket; the other appends it, and answers with the leaves' places when
//! they are durable. Neither end believes the other: what is longer than it may be, or is not made of records in
//! their one spelling and in their class, ends the relay.
//! Not here: what becomes of either end when the other is gone (see `handover` and `estate`).

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use crate::frame::Frames;
use crate::parcel::{Parcel, Shipped};
use crate::record::Record;

/// Spoken here, and nothing else: a build that speaks another version is no successor.
const VERSION: u8 = 1;
/// The longest frames of one parcel, in bytes: what a lane may hold at most, and some more. Beyond it the relay ends.
const PARCEL_BYTES_MAX: usize = 48 * 1024 * 1024;
/// Marks a kind of which nothing was written.
const NOT_WRITTEN: u64 = u64::MAX;

/// Which records may stand in which frames of a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Outcomes,
    Kept,
    Intents,
}

impl Class {
    const fn admits(self, record: &Record<'_>) -> bool {
        match record {
            Record::Outcome(_) => matches!(self, Self::Outcomes),
            Record::Intent(_) => matches!(self, Self::Intents),
            Record::Refusal(_) | Record::Change(_) | Record::Note(_) => matches!(self, Self::Kept),
        }
    }
}

/// The end of the process that hands over.
#[derive(Debug)]
pub(crate) struct Sender {
    link: UnixStream,
    peer: Peer,
}

/// Whether the other end has begun to append what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Not yet: nothing that was sent is in the log.
    Silent,
    Appends,
}

impl Sender {
    pub(crate) const fn new(link: UnixStream) -> Self {
        Self { link, peer: Peer::Silent }
    }

    pub(crate) const fn peer(&self) -> Peer {
        self.peer
    }

    /// Has these records appended: where the first of each kind stands, or that it was not written.
    ///
    /// # Errors
    /// The other process is gone: it is not known whether they were, unless it was [`Peer::Silent`].
    pub(crate) fn ship(&mut self, [outcomes, kept, intents]: [&Frames; 3]) -> io::Result<[Option<u64>; 3]> {
        if self.peer == Peer::Silent {
            let mut version = [0];
            self.link.read_exact(&mut version)?;
            if version != [VERSION] {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.peer = Peer::Appends;
        }
        let parts = [outcomes.bytes(), kept.bytes(), intents.bytes()];
        let mut message = vec![VERSION];
        for part in parts {
            let length = u32::try_from(part.len()).map_err(io::Error::other)?;
            message.extend_from_slice(&length.to_le_bytes());
        }
        for part in parts {
            message.extend_from_slice(part);
        }
        self.link.write_all(&message)?;
        let mut places = [None; 3];
        for place in &mut places {
            let mut number = [0; 8];
            self.link.read_exact(&mut number)?;
            *place = Some(u64::from_le_bytes(number)).filter(|place| *place != NOT_WRITTEN);
        }
        Ok(places)
    }
}

/// The end of the process that takes over.
#[derive(Debug)]
pub(crate) struct Receiver(UnixStream);

impl Receiver {
    pub(crate) const fn new(link: UnixStream) -> Self {
        Self(link)
    }

    /// Tells that what is sent will be appended from now on.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        self.0.write_all(&[VERSION])
    }

    /// The next parcel; waits for it.
    ///
    /// # Errors
    /// The other process is gone, or what it sent is no parcel.
    pub(crate) fn next(&mut self) -> io::Result<Parcel> {
        let [version, lengths @ ..] = self.read::<13>()?;
        let [a, b, c, d, e, f, g, h, i, j, k, l] = lengths;
        let lengths =
            [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(|bytes| u32::from_le_bytes(bytes) as usize);
        let total = lengths.iter().fold(0, |total: usize, length| total.saturating_add(*length));
        if version != VERSION || total > PARCEL_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let [outcomes, refusals, intents] = lengths;
        Ok(Parcel {
            outcomes: self.frames(outcomes, Class::Outcomes)?,
            refusals: self.frames(refusals, Class::Kept)?,
            intents: self.frames(intents, Class::Intents)?,
        })
    }

    fn read<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn frames(&mut self, length: usize, class: Class) -> io::Result<Frames> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes)?;
        frames(&bytes, class).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Tells where the records of the last parcel stand.
    pub(crate) fn answer(&mut self, shipped: &Shipped) -> io::Result<()> {
        let places = [shipped.outcomes, shipped.refusals, shipped.intents];
        let numbers = places.map(|place| place.unwrap_or(NOT_WRITTEN).to_le_bytes());
        self.0.write_all(numbers.as_flattened())
    }
}

/// Frames of these bytes, each a record that its class admits, spelled as it is spelled here.
fn frames(bytes: &[u8], class: Class) -> Option<Frames> {
    let mut read = Frames::default();
    for payload in crate::frame::payloads(bytes) {
        let record = Record::decode(payload?).ok().filter(|record| class.admits(record))?;
        read.push(record)?;
    }
    // INVARIANT: the sender has hashed what it sent for its receipts, so that another spelling would belie them.
    (read.bytes() == bytes).then_some(read)
}

#[cfg(test)]
mod tests {
    use access::Timestamp;

    use super::*;
    use crate::record::{Note, Outcome};

    fn note() -> Frames {
        let mut frames = Frames::default();
        frames.push(Record::Note(Note { time: Timestamp::EPOCH, kind: "k", actor: None, detail: "{}" }));
        frames
    }

    fn outcome() -> Frames {
        let mut frames = Frames::default();
        frames.push(Record::Outcome(Outcome::unknown(7)));
        frames
    }

    #[test]
    fn a_parcel_arrives_as_it_was_sent_and_its_places_come_back() {
        let (near, far) = UnixStream::pair().unwrap();
        let answering = std::thread::spawn(move || {
            let mut receiver = Receiver::new(far);
            receiver.begin().unwrap();
            let parcel = receiver.next().unwrap();
            assert_eq!((parcel.outcomes.closes(), parcel.refusals.count()), (&[7][..], 1));
            let shipped = Shipped { parcel, outcomes: Some(4), refusals: Some(5), intents: None };
            receiver.answer(&shipped).unwrap();
        });
        let mut sender = Sender::new(near);
        assert_eq!(sender.ship([&outcome(), &note(), &Frames::default()]).unwrap(), [Some(4), Some(5), None]);
        answering.join().unwrap();
        assert!(sender.ship([&outcome(), &note(), &Frames::default()]).is_err(), "nobody is there");
    }

    #[test]
    fn bytes_that_are_no_parcel_end_the_relay() {
        let (whole, other) = (note(), outcome());
        let torn = &whole.bytes()[..whole.bytes().len() - 1];
        let mut flipped = whole.bytes().to_vec();
        flipped[12] ^= 1;
        for (bytes, class, fits) in [
            (whole.bytes(), Class::Kept, true),
            (whole.bytes(), Class::Outcomes, false),
            (other.bytes(), Class::Kept, false),
            (other.bytes(), Class::Intents, false),
            (torn, Class::Kept, false),
            (&flipped, Class::Kept, false),
            (&[], Class::Kept, true),
            (&[0; 8], Class::Kept, false),
            (&[0xff; 8], Class::Kept, false),
        ] {
            assert_eq!(frames(bytes, class).is_some(), fits, "{bytes:?} {class:?}");
        }
    }

    #[test]
    fn a_parcel_that_is_too_long_is_not_read() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut head = vec![VERSION];
        head.extend([0xff; 12]);
        near.write_all(&head).unwrap();
        assert_eq!(Receiver::new(far).next().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
