//! What of a node can only be held once, let go of for another process, and taken back.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use access::policy::Policy;

use crate::node::channel::Kind;
use crate::node::follow::follow;
use crate::node::run::{FOLLOW_TIME_MAX, Node, adopt, spawn};

impl Node {
    /// Whether the process before this one, if there was one, is gone.
    pub(super) async fn is_alone(&self) -> bool {
        match &self.predecessor {
            Some(predecessor) => predecessor.is_gone().await,
            None => true,
        }
    }

    /// What a process that takes over is given: it keeps what it is given when this one ends.
    pub(super) fn estate(&self) -> io::Result<Vec<(Kind, OwnedFd)>> {
        let mut estate = Vec::new();
        for socket in self.gateway.sockets()? {
            estate.push((Kind::Proxy, socket.into()));
        }
        if let Some(console) = &self.console {
            estate.push((Kind::Console, console.port.try_clone()?.into()));
            estate.push((Kind::Socket, console.socket.try_clone()?.into()));
        }
        estate.push((Kind::Lock, self.lock.try_clone()?.into()));
        Ok(estate)
    }

    /// Takes no more commands, orders no certificates, writes nothing more to the ledger, and has the journal written at the other end of
    /// `link`. Requests go on, and wait for that end.
    ///
    /// # Errors
    /// The journal cannot be let go of. [`Node::resume`] is due.
    pub(super) async fn quiesce(&mut self, link: UnixStream) -> Result<(), journal::NotHandedOver> {
        if let Some(console) = &mut self.console {
            console.pause().await;
        }
        self.doors.order_nothing().await;
        self.policy_before = Some(self.keeper.state().policy().clone());
        self.keeper.follow().await;
        self.stop_following().await;
        let journal = self.journal.clone();
        let handed = tokio::task::spawn_blocking(move || journal.hand_over(link)).await;
        handed.unwrap_or(Err(journal::NotHandedOver::Silent))
    }

    /// Is what it was before [`Node::quiesce`]; the journal comes back by itself.
    pub(super) async fn resume(&mut self) {
        self.keeper.lead().await;
        if self.following.is_none() {
            let from = self.journaled.borrow().revision();
            let following = follow(self.keeper.clone(), self.journal.clone(), from, self.journaled.clone());
            self.following = Some(spawn(following));
        }
        if let Some(policy) = self.policy_before.take() {
            // The other process may have come as far as to adopt its own.
            let adopted =
                adopt(&self.keeper, &self.bridge, Policy::clone(&policy), self.bridge.plans()).await;
            if let Err(error) = adopted {
                tracing::error!(%error, "the policy of this process could not be put in force again");
            }
        }
        if let Some(console) = &mut self.console
            && let Err(error) = console.serve()
        {
            tracing::error!(%error, "the console cannot be served any more");
        }
        self.doors.order();
    }

    /// Waits until the journal has every event of the ledger, and writes no more of them.
    pub(super) async fn stop_following(&mut self) {
        let Some(following) = self.following.take() else { return };
        let head = *self.keeper.head().borrow();
        let mut journaled = self.journaled.subscribe();
        let caught_up = journaled.wait_for(|done| done.revision() >= head);
        let _ = tokio::time::timeout(FOLLOW_TIME_MAX, caught_up).await;
        following.abort();
    }
}
