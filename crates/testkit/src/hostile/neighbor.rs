//! A well-behaved client that asks all the while, and how long it had to wait.
//!
//! It and its upstream live on a thread of their own, so that nothing but the proxy is shared with whoever attacks.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::client::{Ask, Book, Conn, tcp};
use crate::setup::{ApiSetup, Behind, Setup};
use crate::upstream::{Seen, Upstream};
use crate::world::World;

/// How long a neighbor may wait for an answer.
pub const WAIT_MAX: Duration = Duration::from_millis(100);
/// Fewer waits than these tell nothing: it asks on until there are as many.
const WAITS_MIN: usize = 20;
/// How often it asks on for that.
const TRIES_MAX: usize = 2_000;
/// Between two of its requests.
const PAUSE: Duration = Duration::from_millis(5);
/// A machine that lets a timer wait for longer than this tells nothing about the proxy.
const LAG_MAX: Duration = Duration::from_millis(20);

/// A client with its upstream.
#[derive(Debug)]
pub struct Neighbor {
    upstream: SocketAddr,
    orders: mpsc::Sender<Order>,
    thread: std::thread::JoinHandle<Vec<Seen>>,
}

#[derive(Debug)]
enum Order {
    Ask(SocketAddr, Book, Ask),
    Rest(oneshot::Sender<Vec<Duration>>),
}

impl Neighbor {
    /// Moves in.
    ///
    /// # Panics
    /// This machine has no thread or no port.
    pub async fn start() -> Self {
        let (told, address) = oneshot::channel();
        let (orders, received) = mpsc::channel(1);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(live(told, received))
        });
        Self { upstream: address.await.unwrap(), orders, thread }
    }

    /// A setup in which it can ask.
    #[must_use]
    pub fn beside(&self, setup: Setup) -> Setup {
        let api = ApiSetup::open().behind(Behind::Url(format!("http://{}", self.upstream)));
        setup.api("near", api).role("near-all", &["near:all"], &[])
    }

    /// Has it ask until [`Self::verdict`].
    ///
    /// # Panics
    /// It is gone.
    pub async fn ask(&self, world: &World, token: &str) {
        let ask = Ask::get("/near/x").bearer(token);
        let order = Order::Ask(world.node().proxy_address(), world.book(), ask);
        self.orders.send(order).await.unwrap();
    }

    /// What was wrong with how long it waited; else how often it asked.
    ///
    /// # Errors
    /// It waited too long.
    ///
    /// # Panics
    /// One of its requests was not answered.
    pub async fn verdict(&self) -> Result<usize, String> {
        let (told, waits) = oneshot::channel();
        self.orders.send(Order::Rest(told)).await.unwrap();
        let mut waits = waits.await.unwrap();
        waits.sort_unstable();
        // One in 50 may have met a moment in which the machine did something else.
        let place = waits.len().saturating_sub(1) * 49 / 50;
        match waits.get(place) {
            _ if waits.len() < WAITS_MIN => Err(format!("O8 only {} waits of a neighbor", waits.len())),
            Some(wait) if *wait > WAIT_MAX => {
                Err(format!("O8 a neighbor waited {wait:?}, of {}", waits.len()))
            }
            _ => Ok(waits.len()),
        }
    }

    /// Moves out, and leaves to the world what its upstream saw.
    ///
    /// # Panics
    /// One of its requests was not answered.
    pub fn leave(self, world: &World) {
        drop(self.orders);
        world.witness(self.thread.join().unwrap());
    }
}

async fn live(told: oneshot::Sender<SocketAddr>, mut orders: mpsc::Receiver<Order>) -> Vec<Seen> {
    let upstream = Upstream::start().await;
    told.send(upstream.address()).unwrap();
    let (mut asking, mut waits) = (None, Vec::new());
    loop {
        let paused = now();
        match tokio::time::timeout(PAUSE, orders.recv()).await {
            Ok(None) => return upstream.seen(),
            Ok(Some(Order::Ask(proxy, book, ask))) => {
                asking = Some((Conn::over(tcp(proxy).await, book), ask));
            }
            Ok(Some(Order::Rest(told))) => {
                let (mut connection, ask) = asking.take().expect("it was asking");
                for _ in 0..TRIES_MAX {
                    if waits.len() >= WAITS_MIN {
                        break;
                    }
                    let paused = now();
                    tokio::time::sleep(PAUSE).await;
                    waits.extend(wait(&mut connection, &ask, paused).await);
                }
                told.send(std::mem::take(&mut waits)).unwrap();
            }
            Err(_elapsed) => {
                let Some((connection, ask)) = &mut asking else { continue };
                waits.extend(wait(connection, ask, paused).await);
            }
        }
    }
}

/// How long one answer took; `None` where the machine let even a pause take too long.
async fn wait(connection: &mut Conn, ask: &Ask, paused: Instant) -> Option<Duration> {
    let (lag, began) = (paused.elapsed(), now());
    assert_eq!(connection.ask(ask).await.status, 200);
    (lag < PAUSE + LAG_MAX).then(|| began.elapsed())
}

#[expect(clippy::disallowed_methods, reason = "what a client waits is measured in real time")]
fn now() -> Instant {
    Instant::now()
}
