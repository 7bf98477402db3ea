//! A small world for the journal: a clock, a disk that fails on demand, a directory, one thread with a lane.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use access::{Clock, RequestId, Revision, Timestamp};
use journal::{
    Change, ChangeRow, Closing, Disk, DiskFile, Durability, Ending, Filter, Journal, Lane, NoteRow, Options,
    Order, Reader, RealDisk, Record, Recovered, Request, RequestRow,
};
use tempfile::TempDir;

pub(crate) const START: i64 = 1_795_316_400_000_000;

/// A clock that moves a microsecond each time it is read.
#[derive(Debug)]
pub(crate) struct Ticks(AtomicI64);

impl Ticks {
    pub(crate) fn forward(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// What the disk does wrong now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    pub(crate) create: Option<io::ErrorKind>,
    pub(crate) write: Option<io::ErrorKind>,
    /// How many bytes a failing write leaves behind.
    pub(crate) torn: usize,
    pub(crate) sync: Option<io::ErrorKind>,
    pub(crate) truncate: Option<io::ErrorKind>,
    /// The name is changed, and making that durable fails.
    pub(crate) rename: Option<io::ErrorKind>,
    /// Syncs do not come back.
    pub(crate) hung: Option<()>,
    /// Where each write ended.
    pub(crate) ends: Vec<u64>,
}

/// The machine's disk, which fails when told to, and which does not wait for its platters: no power is cut here.
#[derive(Debug, Clone, Default)]
pub(crate) struct BadDisk(Arc<(Mutex<Faults>, Condvar)>, Arc<AtomicU64>);

impl BadDisk {
    pub(crate) fn set(&self, faults: Faults) {
        *self.0.0.lock().unwrap() = faults;
        self.0.1.notify_all();
    }

    pub(crate) fn heal(&self) {
        self.set(Faults::default());
    }

    fn fails(&self, which: impl Fn(&Faults) -> Option<io::ErrorKind>) -> io::Result<()> {
        let kind = which(&self.0.0.lock().unwrap());
        kind.map_or(Ok(()), |kind| {
            self.1.fetch_add(1, Ordering::AcqRel);
            Err(kind.into())
        })
    }

    /// Where each write ended.
    pub(crate) fn ends(&self) -> Vec<u64> {
        self.0.0.lock().unwrap().ends.clone()
    }

    /// Waits until so many more calls have failed.
    pub(crate) async fn fails_again(&self, times: u64) {
        let enough = self.1.load(Ordering::Acquire) + times;
        while self.1.load(Ordering::Acquire) < enough {
            tokio::task::yield_now().await;
        }
    }
}

impl Disk for BadDisk {
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        self.fails(|faults| faults.create)?;
        Ok(Box::new(BadFile { file: RealDisk.create(path, bytes)?, disk: self.clone() }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.fails(|faults| faults.create)?;
        Ok(Box::new(BadFile { file: RealDisk.open(path)?, disk: self.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)?;
        self.fails(|faults| faults.rename)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
}

#[derive(Debug)]
struct BadFile {
    file: Box<dyn DiskFile>,
    disk: BadDisk,
}

impl DiskFile for BadFile {
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        if let Err(fault) = self.disk.fails(|faults| faults.write) {
            let torn = self.disk.0.0.lock().unwrap().torn.min(bytes.len());
            self.file.write_all_at(&bytes[..torn], at)?;
            return Err(fault);
        }
        self.disk.0.0.lock().unwrap().ends.push(at + bytes.len() as u64);
        self.file.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        let mut faults = self.disk.0.0.lock().unwrap();
        while faults.hung.is_some() {
            faults = self.disk.0.1.wait(faults).unwrap();
        }
        drop(faults);
        self.disk.fails(|faults| faults.sync)
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        self.file.is_at(path)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.disk.fails(|faults| faults.truncate)?;
        self.file.truncate(bytes)
    }
}

pub(crate) struct World {
    pub(crate) directory: PathBuf,
    pub(crate) disk: BadDisk,
    pub(crate) clock: Arc<Ticks>,
    pub(crate) options: Options,
    requests: Cell<u64>,
    _root: Rc<TempDir>,
}

impl World {
    pub(crate) fn new() -> Self {
        let root = Rc::new(TempDir::new().unwrap());
        let directory = root.path().join("journal");
        let disk = BadDisk::default();
        let options = Options {
            durability: Durability::Fsync,
            segment_bytes_max: 256 * 1024,
            retry_every: Duration::from_millis(5),
            commit_wait_max: Duration::from_secs(20),
            disk: Arc::new(disk.clone()),
            ..Options::new(&directory, "node-1".parse().unwrap())
        };
        let clock = Arc::new(Ticks(AtomicI64::new(START)));
        Self { directory, disk, clock, options, requests: Cell::new(0), _root: root }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    pub(crate) fn open(&self) -> (Journal, Recovered) {
        Journal::open(self.options.clone(), self.clock.clone()).unwrap()
    }

    /// The same files, as a process would find them that started now.
    pub(crate) fn copy(&self) -> Self {
        let mut other = Self::new().with(|options| {
            options.durability = self.options.durability;
            options.segment_bytes_max = self.options.segment_bytes_max;
        });
        copy_files(&self.directory, &other.directory);
        other.clock = self.clock.clone();
        other
    }

    pub(crate) fn id(&self) -> RequestId {
        let number = self.requests.replace(self.requests.get() + 1);
        let mut entropy = [0; 10];
        entropy[2..].copy_from_slice(&number.to_be_bytes());
        RequestId::new(Timestamp::from_micros(START), entropy)
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::open(&self.directory).unwrap()
    }

    pub(crate) fn rows(&self) -> Vec<RequestRow> {
        self.reader().rows(&Filter::default(), Order::OldestFirst, None).unwrap()
    }

    pub(crate) fn changes(&self) -> Vec<ChangeRow> {
        let mut rows = Vec::new();
        let mut keep = |row| {
            rows.push(row);
            ControlFlow::Continue(())
        };
        self.reader().changes(&Filter::default(), Order::OldestFirst, &mut keep).unwrap();
        rows
    }

    pub(crate) fn notes(&self) -> Vec<NoteRow> {
        let (reader, mut notes) = (self.reader(), Vec::new());
        let mut leaves = reader.leaves(0);
        while let Some(leaf) = leaves.next().unwrap() {
            if let Record::Note(note) = leaf.record().unwrap() {
                notes.push((&note).into());
            }
        }
        notes
    }

    /// The rows as a person would tell them: `path decision outcome reason`.
    pub(crate) fn story(&self) -> Vec<String> {
        self.rows().iter().map(told).collect()
    }
}

pub(crate) fn told(row: &RequestRow) -> String {
    let outcome = row.outcome.map_or("open".to_owned(), |outcome| format!("{outcome:?}").to_lowercase());
    match &row.reason {
        Some(reason) => format!("{} {outcome} {reason}", row.path),
        None => format!("{} {outcome}", row.path),
    }
}

pub(crate) fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// Runs one thread with a lane whose driver is running.
pub(crate) fn on_lane<T, F: Future<Output = T>>(journal: &Journal, story: impl FnOnce(Lane) -> F) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let lane = journal.lane();
    local.spawn_local(lane.run());
    local.block_on(&runtime, story(lane))
}

pub(crate) fn request(id: RequestId, path: &str) -> Request<'_> {
    Request {
        id,
        time: Timestamp::from_micros(START),
        api: Some("orders"),
        operation: Some("GET /v1/orders/{id}"),
        method: "GET",
        host: Some("localhost"),
        path,
        query: None,
        subject: Some("alice"),
        subject_kind: Some("user"),
        credential: Some("token_1"),
        grant_id: Some("grant_1"),
        role: Some("orders-viewer"),
        incident: None,
        client_ip: "127.0.0.1",
        user_agent: Some("curl/8"),
        rule: Some("orders:read"),
        revision: Revision::from_number(7),
        trace_id: None,
        observed: None,
    }
}

pub(crate) fn closing(outcome: Ending) -> Closing<'static> {
    Closing {
        status: Some(200),
        upstream: Some("http://127.0.0.1:7001"),
        upstream_status: Some(200),
        upstream_us: Some(90),
        request_bytes: 0,
        response_bytes: 1024,
        outcome,
        reason: None,
        at: Timestamp::from_micros(START + 100),
    }
}

pub(crate) fn change(revision: u64) -> Change<'static> {
    Change {
        revision: Revision::from_number(revision),
        time: Timestamp::from_micros(START),
        actor: "local:root",
        kind: "grant_given",
        subject: Some("user:alice"),
        grant_id: Some("grant_1"),
        incident: None,
        detail: "{}",
    }
}

/// One whole request.
pub(crate) async fn pass(world: &World, lane: &Lane, path: &str) {
    let entry = lane.open(&request(world.id(), path)).await.unwrap();
    entry.close(&closing(Ending::Completed));
}

/// A future polled once, and dropped.
pub(crate) async fn glance(future: impl Future) {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        let _ = future.as_mut().poll(context);
        std::task::Poll::Ready(())
    })
    .await;
}
