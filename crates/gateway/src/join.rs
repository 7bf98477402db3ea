//! Two sides joined after a switch of protocols: bytes pass both ways until both sides end.
//!
//! Not here: reading what passes. It is counted, not judged.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use crate::alarm::Alarm;
use crate::bounds::{CLIENT_STALL_TIME_MAX, HALF_CLOSED_TIME_MAX, OUTBOX_BYTES_MAX};

/// One end of what is joined: a connection, or a stream of one.
pub(crate) trait Side {
    /// Reads what there is, once; 0 at the end.
    ///
    /// # Errors
    /// The other end broke off.
    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>>;

    /// Puts what was read behind what is in `out`, and tells how much that is.
    fn move_to(&self, out: &mut Vec<u8>) -> usize;

    /// Takes what `fill` puts behind what waits to be written.
    fn fill(&self, fill: impl FnOnce(&mut Vec<u8>) -> usize) -> usize;

    /// How much waits to be written.
    fn unsent(&self) -> usize;

    /// How long what waits to be written is, with what of it has gone out and is not let go of yet.
    fn held(&self) -> usize;

    /// Writes until nothing waits to be written.
    ///
    /// # Errors
    /// The other end broke off.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Says that nothing more will be written.
    ///
    /// # Errors
    /// The other end broke off.
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Breaks off, so that the other end cannot take what it has for the whole.
    fn reset(&self);
}

/// How much has passed.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    pub(crate) up: Cell<u64>,
    pub(crate) down: Cell<u64>,
}

/// How what was joined came apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joined {
    /// What was said has gone out, as far as somebody took it.
    Whole,
    /// Something was not waited for.
    Short,
}

/// Passes bytes until both sides have ended, or one of them breaks off, or is waited for in vain: one that takes
/// nothing for [`CLIENT_STALL_TIME_MAX`], or the last for [`HALF_CLOSED_TIME_MAX`]. What a side said before it broke
/// off is passed on.
pub(crate) async fn join(client: &impl Side, upstream: &impl Side, passed: &Passed, alarm: &Alarm) -> Joined {
    let (mut up, mut down) = (Way::Open, Way::Open);
    let mut wait = Wait::Free;
    poll_fn(|cx| {
        // Each goes as far as it can; where it stands says the rest.
        let _ = up.poll(client, upstream, &passed.up, cx);
        let _ = down.poll(upstream, client, &passed.down, cx);
        let now = match (up, down) {
            (Way::Ended, Way::Ended) | (Way::Broken, _) | (_, Way::Broken) => {
                return Poll::Ready(Joined::Whole);
            }
            (Way::Ended | Way::Breaking, _) | (_, Way::Ended | Way::Breaking) => Wait::Last,
            (Way::Open | Way::Ending, Way::Open | Way::Ending) => Wait::of(client, upstream),
        };
        if std::mem::replace(&mut wait, now) != now {
            now.arm(alarm);
        }
        alarm.poll(cx).map(|()| Joined::Short)
    })
    .await
}

/// What two joined wires wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// For something to be said.
    Free,
    /// For sides to take these many bytes.
    Unsent(usize, usize),
    /// For the second side to end.
    Last,
}

impl Wait {
    fn of(client: &impl Side, upstream: &impl Side) -> Self {
        match (client.unsent(), upstream.unsent()) {
            (0, 0) => Self::Free,
            (down, up) => Self::Unsent(down, up),
        }
    }

    fn arm(self, alarm: &Alarm) {
        match self {
            Self::Free => alarm.stop(),
            Self::Unsent(..) => alarm.set(CLIENT_STALL_TIME_MAX),
            Self::Last => alarm.set(HALF_CLOSED_TIME_MAX),
        }
    }
}

/// One way of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Its source has ended; what it said is still on its way.
    Ending,
    Ended,
    /// Its source broke off; what it said is still on its way.
    Breaking,
    Broken,
}

impl Way {
    fn poll(
        &mut self,
        from: &impl Side,
        to: &impl Side,
        count: &Cell<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        // Each turn moves bytes, ends the way, or waits.
        loop {
            match self {
                Self::Ended | Self::Broken => return Poll::Ready(()),
                Self::Ending => {
                    if ready!(to.poll_flush(cx)).is_ok() {
                        let _ = ready!(to.poll_shutdown(cx));
                    }
                    *self = Self::Ended;
                }
                Self::Breaking => {
                    let _ = ready!(to.poll_flush(cx));
                    *self = Self::Broken;
                }
                Self::Open => {
                    let moved = to.fill(|out| from.move_to(out));
                    count.set(count.get().saturating_add(moved as u64));
                    match to.poll_flush(cx) {
                        Poll::Pending if to.held() >= OUTBOX_BYTES_MAX => return Poll::Pending,
                        Poll::Pending | Poll::Ready(Ok(())) => {}
                        // It broke off, but may have said something before: the other way finds out.
                        Poll::Ready(Err(_)) => {
                            *self = Self::Ended;
                            continue;
                        }
                    }
                    match ready!(from.poll_read(cx)) {
                        Ok(0) => *self = Self::Ending,
                        Ok(_) => {}
                        Err(_) => *self = Self::Breaking,
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::rc::Rc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;
    use crate::alarm::Alarms;
    use crate::bounds::INBOX_BYTES;
    use crate::h1::wire::Wire;

    async fn is_over(mut joined: Pin<&mut impl Future<Output = Joined>>) -> bool {
        poll_fn(|cx| Poll::Ready(joined.as_mut().poll(cx).is_ready())).await
    }

    /// The client says what its upstream will not read, and it arrives there.
    async fn say_unread(
        client: &mut TcpStream,
        mut joined: Pin<&mut impl Future<Output = Joined>>,
        passed: &Passed,
    ) {
        client.write_all(b"unread").await.unwrap();
        while passed.up.get() == 0 {
            assert!(!is_over(joined.as_mut()).await);
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_a_side_said_before_it_broke_off_arrives() {
        let ((client, mut client_end), (upstream, mut upstream_end)) =
            (Wire::connected().await, Wire::connected().await);
        let (passed, alarms) = (Passed::default(), Rc::new(Alarms::default()));
        let alarm = alarms.alarm();
        let mut joined = pin!(join(&client, &upstream, &passed, &alarm));
        say_unread(&mut client_end, joined.as_mut(), &passed).await;
        client_end.write_all(b"more").await.unwrap();
        tokio::task::yield_now().await;
        // Closed with something unread: a reset, which the next write to it finds before its last words are read.
        upstream_end.write_all(b"last words").await.unwrap();
        drop(upstream_end);
        while !is_over(joined.as_mut()).await {
            tokio::task::yield_now().await;
        }
        assert_eq!(passed.down.get(), 10);
        let mut heard = [0; 10];
        client_end.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"last words");
    }

    #[tokio::test]
    async fn a_slow_client_is_given_the_last_words_too() {
        let ((client, mut client_end), (upstream, mut upstream_end)) =
            (Wire::connected().await, Wire::connected().await);
        let (passed, alarms) = (Passed::default(), Rc::new(Alarms::default()));
        let alarm = alarms.alarm();
        let mut joined = pin!(join(&client, &upstream, &passed, &alarm));
        say_unread(&mut client_end, joined.as_mut(), &passed).await;
        // Until the client's socket takes no more, and what it does not take was read.
        let mut said = 0;
        while client.unsent() == 0 {
            upstream_end.write_all(&[b'x'; 4 * 1024]).await.unwrap();
            said += 4 * 1024;
            while passed.down.get() < said {
                assert!(!is_over(joined.as_mut()).await);
                tokio::task::yield_now().await;
            }
        }
        drop(upstream_end);
        while !is_over(joined.as_mut()).await {
            let _ = client_end.try_read(&mut [0; 8 * 1024]);
            tokio::task::yield_now().await;
        }
        assert_eq!(client.unsent(), 0);
    }

    #[tokio::test]
    async fn a_side_that_takes_little_has_a_bounded_buffer() {
        let ((client, client_end), (upstream, mut upstream_end)) =
            (Wire::connected().await, Wire::connected().await);
        let (passed, alarms) = (Passed::default(), Rc::new(Alarms::default()));
        let alarm = alarms.alarm();
        let mut joined = pin!(join(&client, &upstream, &passed, &alarm));
        let flood = vec![b'x'; 32 * 1024 * 1024];
        let mut flooding = pin!(upstream_end.write_all(&flood));
        // The client takes a little at a time, so that its buffer is never empty.
        while passed.down.get() < flood.len() as u64 / 2 {
            let _ = client_end.try_read(&mut [0; 8 * 1024]);
            poll_fn(|cx| {
                assert!(joined.as_mut().poll(cx).is_pending());
                Poll::Ready(flooding.as_mut().poll(cx).is_ready())
            })
            .await;
            tokio::task::yield_now().await;
            assert!(client.outbox().len() <= OUTBOX_BYTES_MAX + INBOX_BYTES, "{}", client.outbox().len());
        }
    }
}
