//! What a process of a node and the one that takes over say to each other: short messages, and descriptors with them.
//!
//! Both are the same build or nearly, and the same user's; what is not a message of this version all the same ends
//! the conversation. Records of requests go another way (see `journal`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Spoken here; whoever takes over has to speak the same.
pub(super) const VERSION: u32 = 1;
/// The longest message, in bytes: a longer one ends the conversation.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// The longest reason that is told, in bytes: the rest is cut off.
const WHY_BYTES_MAX: usize = 4 * 1024;
/// The most descriptors of one message: more come with several.
pub(super) const DESCRIPTORS_MAX: usize = 64;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Message {
    /// With this message come descriptors, one of each kind named.
    Take { version: u32, kinds: Vec<Kind> },
    /// That was all.
    Given { version: u32 },
    /// The configuration is in order: everything can be taken over.
    Ready {},
    /// Journal and ledger are free.
    Yours {},
    /// Requests are served.
    Serving {},
    /// It will not come about.
    Failed { why: String },
    /// The ledger is at this revision: cut what it no longer holds.
    Enforce { revision: u64 },
    /// That was done.
    Enforced { revision: u64, websocket: u64, sse: u64, grpc: u64, transfer: u64, slowest_us: u64 },
}

impl Message {
    pub(super) fn failed(why: &str) -> Self {
        Self::Failed { why: why.get(..why.floor_char_boundary(WHY_BYTES_MAX)).unwrap_or_default().to_owned() }
    }
}

/// What a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A listening socket of the proxy.
    Proxy,
    /// That of the console.
    Console,
    /// That of the commands on this machine.
    Socket,
    /// The lock of the data directory.
    Lock,
    /// The way of records to the other's journal.
    Journal,
}

/// One end of a conversation.
#[derive(Debug)]
pub(super) struct Channel(UnixStream);

impl Channel {
    /// Both ends, the second for another process. Must be called on a runtime.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (near, far) = std::os::unix::net::UnixStream::pair()?;
        Ok((Self::over(near.into())?, far.into()))
    }

    /// The end that another process gave. Must be called on a runtime.
    pub(super) fn over(end: OwnedFd) -> io::Result<Self> {
        let end = std::os::unix::net::UnixStream::from(end);
        // What is no such socket has no peer.
        end.peer_addr()?;
        end.set_nonblocking(true)?;
        Ok(Self(UnixStream::from_std(end)?))
    }

    pub(super) async fn send(&self, message: &Message) -> io::Result<()> {
        self.send_with(message, &[]).await
    }

    /// Sends a message with at most [`DESCRIPTORS_MAX`] descriptors.
    pub(super) async fn send_with(&self, message: &Message, with: &[BorrowedFd<'_>]) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        let length = u32::try_from(text.len()).map_err(io::Error::other)?.to_le_bytes();
        let sent = self.0.async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
            let mut rights = SendAncillaryBuffer::new(&mut space);
            if !with.is_empty() && !rights.push(SendAncillaryMessage::ScmRights(with)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let parts = [IoSlice::new(&length), IoSlice::new(&text)];
            Ok(sendmsg(&self.0, &parts, &mut rights, SendFlags::NOSIGNAL)?)
        });
        // Messages are few and short: one for which the system has no room is not waited for.
        let whole = length.len().saturating_add(text.len());
        if sent.await? == whole { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// The next message.
    ///
    /// # Errors
    /// `UnexpectedEof` once the other process is gone; what it said is no message.
    pub(super) async fn receive(&self) -> io::Result<Message> {
        Ok(self.receive_with().await?.0)
    }

    pub(super) async fn receive_with(&self) -> io::Result<(Message, Vec<OwnedFd>)> {
        let (mut descriptors, mut length) = (Vec::new(), [0; 4]);
        self.read(&mut length, &mut descriptors).await?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > MESSAGE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut text = vec![0; length];
        self.read(&mut text, &mut descriptors).await?;
        Ok((serde_json::from_slice(&text)?, descriptors))
    }

    async fn read(&self, bytes: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<()> {
        let mut left = bytes;
        while !left.is_empty() {
            let read = self.0.async_io(Interest::READABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
                let mut rights = RecvAncillaryBuffer::new(&mut space);
                let into = &mut [IoSliceMut::new(left)];
                let read = recvmsg(&self.0, into, &mut rights, RecvFlags::CMSG_CLOEXEC)?;
                for message in rights.drain() {
                    if let RecvAncillaryMessage::ScmRights(given) = message {
                        descriptors.extend(given);
                    }
                }
                Ok(read.bytes)
            });
            left = match read.await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => left.get_mut(read..).unwrap_or_default(),
            };
        }
        Ok(())
    }

    /// Whether the other process is gone. Takes nothing of what it said.
    pub(super) fn is_gone(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(&self.0, &mut [0_u8; 1], flags) {
            Ok((_, read)) => read == 0,
            Err(why) => why != rustix::io::Errno::AGAIN,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsFd as _;

    use super::*;

    #[tokio::test]
    async fn messages_and_descriptors_arrive_and_an_end_is_seen() {
        let (near, far) = Channel::pair().unwrap();
        let far = Channel::over(far).unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        let take = Message::Take { version: VERSION, kinds: vec![Kind::Lock; DESCRIPTORS_MAX] };
        near.send_with(&take, &vec![file.as_fd(); DESCRIPTORS_MAX]).await.unwrap();
        let (message, descriptors) = far.receive_with().await.unwrap();
        assert_eq!((message, descriptors.len()), (take, DESCRIPTORS_MAX));
        assert!(!near.is_gone());
        drop(far);
        assert!(near.is_gone());
        assert_eq!(near.receive().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn what_is_no_message_is_an_error() {
        let (near, far) = Channel::pair().unwrap();
        let far = std::os::unix::net::UnixStream::from(far);
        for text in ["", "{}", r#"{"says":"ready","more":1}"#, r#"{"says":"surprise"}"#] {
            let length = u32::try_from(text.len()).unwrap().to_le_bytes();
            (&far).write_all(&[&length, text.as_bytes()].concat()).unwrap();
            assert!(near.receive().await.is_err(), "{text}");
        }
        (&far).write_all(&[0xff; 4]).unwrap();
        assert_eq!(near.receive().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_reason_that_is_too_long_is_cut() {
        let why = "é".repeat(WHY_BYTES_MAX);
        let Message::Failed { why } = Message::failed(&why) else { panic!("another message") };
        assert!(why.len() <= WHY_BYTES_MAX);
    }
}
