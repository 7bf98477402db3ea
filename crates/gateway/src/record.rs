//! The record: the stage that writes a request's intent, the entry that closes it, and refusals.
//!
//! [`Entry`] closes once, whatever becomes of the request: completed, failed, cut, or — dropped — abandoned.

use std::fmt::Write as _;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use access::arrival::Arrival;
use access::authorize::{Authorized, PathAt};
use access::canonical::Target;
use access::operation::Method;
use access::policy::{ApiIndex, Route};
use access::refused::Known;
use access::{Clock, GrantId, Reason, Refused, SubjectId, Timestamp};
use arrayvec::ArrayString;
use journal::{Closing, Ending, OpenEntry, Opening, Receipt, Request, Spent};

use crate::arrival::Head;
use crate::body::{Progress, Validated, body_bytes_max};
use crate::bounds::{UNPROVEN_TEXT_BYTES_MAX, USER_AGENT_BYTES_MAX};
use crate::cors::Preflight;
use crate::endpoint::Endpoint;
use crate::headers::HostRouted;
use crate::limits::Slot;
use crate::picture::{Kept, Picture};
use crate::pipeline::{Pipeline, journal_unavailable};
use crate::recordable::{hides_credential, recordable_path, recordable_query};
use crate::respond;
use crate::streams::Ticket;

/// A request that may go upstream: judged, counted, and durably recorded. Only [`record_intent`] makes one.
#[derive(Debug)]
pub(crate) struct Admitted<'a> {
    pub(crate) entry: Entry,
    pub(crate) ticket: Ticket,
    pub(crate) slot: Slot,
    pub(crate) picture: Arc<Picture>,
    pub(crate) api: ApiIndex,
    pub(crate) method: Method,
    pub(crate) host: &'a str,
    pub(crate) target: Target<'a>,
    /// Where the path within the API begins in the canonical path.
    path_at: PathAt,
    pub(crate) host_routed: HostRouted,
    pub(crate) body_bytes_max: u64,
    pub(crate) subject: SubjectId,
    pub(crate) grant: Option<GrantId>,
}

impl Admitted<'_> {
    /// The canonical path within the API: what was judged, and what is sent.
    pub(crate) fn path(&self) -> &str {
        self.path_at.within(self.target.path())
    }
}

/// Texts of ids, written where no allocation is needed.
type IdText = ArrayString<64>;

pub(crate) fn id_text(id: impl std::fmt::Display) -> IdText {
    let mut text = IdText::new();
    // No id is longer than 40 characters, and an IPv6 address not longer than 45.
    let _ = write!(text, "{id}");
    text
}

/// Writes the intent of a validated request, which is taken at once, and waits until it is durable: what is needed for
/// it alone is not kept meanwhile.
///
/// # Errors
/// `journal_unavailable`.
pub(crate) fn record_intent<'a>(
    pipeline: &Pipeline,
    picture: &Arc<Picture>,
    head: &Head<'a>,
    validated: Validated<'_, 'a>,
) -> impl Future<Output = Result<Box<Admitted<'a>>, Refused>> {
    let (authorized, slot) = validated.into_parts();
    let opening = open(pipeline, picture, head, &authorized);
    async move {
        let entry = match opening {
            Some(opening) => opening.await.ok(),
            None => None,
        };
        entry
            .and_then(|entry| admitted(pipeline, picture, head, &authorized, slot, entry))
            .ok_or_else(|| journal_unavailable().knowing(authorized.known()))
    }
}

/// Begins to write the intent; `None` for an API that the picture does not have.
fn open(
    pipeline: &Pipeline,
    picture: &Picture,
    head: &Head<'_>,
    authorized: &Authorized<'_, '_>,
) -> Option<Opening> {
    let (holder, arrival) = (authorized.holder(), authorized.arrival());
    let (api, _) = authorized.api().zip(picture.forward(authorized.api_index()))?;
    let credential = id_text(holder.credential);
    let grant = holder.grant.map(|grant| id_text(grant.id));
    let query = arrival.target.query().map(recordable_query);
    Some(pipeline.lane.open(&Request {
        id: arrival.id,
        time: arrival.at,
        api: Some(api.name.as_str()),
        operation: Some(authorized.operation()),
        method: arrival.method.as_str(),
        host: Some(arrival.host),
        path: authorized.path(),
        query: query.as_deref(),
        subject: Some(holder.subject.name().as_str()),
        subject_kind: Some(holder.subject.kind().as_str()),
        credential: Some(&credential),
        grant_id: grant.as_deref(),
        role: Some(authorized.role().as_str()),
        incident: holder.grant.and_then(|grant| grant.incident.as_ref()).map(|incident| incident.as_str()),
        client_ip: &head.peer.text,
        user_agent: user_agent(head),
        rule: Some(authorized.rule()),
        revision: picture.view.revision,
        trace_id: head.trace.recorded(),
        observed: None,
    }))
}

/// A request whose intent is durable.
///
/// INVARIANT: the picture has the API, or nothing was opened (see [`open`]).
fn admitted<'a>(
    pipeline: &Pipeline,
    picture: &Arc<Picture>,
    head: &Head<'a>,
    authorized: &Authorized<'_, 'a>,
    slot: Slot,
    entry: OpenEntry,
) -> Option<Box<Admitted<'a>>> {
    let (holder, arrival) = (authorized.holder(), authorized.arrival());
    let (api, forward) = authorized.api().zip(picture.forward(authorized.api_index()))?;
    let ticket = pipeline.streams.register(holder.held.clone(), holder.until, head.peer);
    // The view may have moved on while the record was written. Whoever published a newer one cuts what was
    // registered before; what is registered after is measured here. Both happen on this thread.
    let latest = pipeline.views.latest();
    if !Arc::ptr_eq(&latest, picture)
        && let Some(why) = latest.view.why_not_held(&holder.held, pipeline.clock.now())
    {
        ticket.cut_now(why);
    }
    if let Some(shown) = &head.peer.shown
        && let Some(why) = shown.why_void(&pipeline.doors, pipeline.clock.now())
    {
        ticket.cut_now(why.reason());
    }
    let host_routed = if matches!(api.route, Route::Host(_)) { HostRouted::Yes } else { HostRouted::No };
    // Boxed: it is handed on from stage to stage.
    Some(Box::new(Admitted {
        entry: Entry::new(entry, arrival.at, forward.kept.clone(), pipeline.clock.clone()),
        ticket,
        slot,
        picture: picture.clone(),
        api: authorized.api_index(),
        method: arrival.method,
        host: arrival.host,
        // Borrowed, unless it was respelled.
        target: arrival.target.clone(),
        path_at: authorized.path_at(),
        host_routed,
        body_bytes_max: body_bytes_max(authorized),
        subject: holder.subject.clone(),
        grant: holder.grant.map(|grant| grant.id),
    }))
}

/// What stands as the rule in the row of a preflight: the configuration lets pages ask, and no role has to.
const PREFLIGHT_RULE: &str = "cors";
/// As what preflights are counted that have no rows.
const PREFLIGHTS: &str = "preflight";

/// Records a preflight, which is allowed and answered at once; it has no subject, and nothing of it is forwarded.
/// Beyond what may be written without a subject it is counted, and has no receipt.
///
/// # Errors
/// `journal_unavailable`.
pub(crate) async fn record_preflight(
    pipeline: &Pipeline,
    picture: &Picture,
    head: &Head<'_>,
    arrival: &Arrival<'_>,
    asked: &Preflight,
) -> Result<Option<Receipt>, Refused> {
    let (api, forward) =
        picture.view.policy.api(asked.api).zip(picture.forward(asked.api)).ok_or_else(journal_unavailable)?;
    let query = arrival.target.query().map(recordable_query).map(cut);
    let path = cut(asked.path.clone());
    let request = Request {
        id: head.id,
        time: head.at,
        api: Some(api.name.as_str()),
        operation: None,
        method: arrival.method.as_str(),
        host: Some(arrival.host),
        path: &path,
        query: query.as_deref(),
        subject: None,
        subject_kind: None,
        credential: None,
        grant_id: None,
        role: None,
        incident: None,
        client_ip: &head.peer.text,
        user_agent: user_agent(head),
        rule: Some(PREFLIGHT_RULE),
        revision: picture.view.revision,
        trace_id: head.trace.recorded(),
        observed: None,
    };
    if pipeline.lane.spend(&request, PREFLIGHTS) == Spent::Nothing {
        forward.kept.meter.answered(respond::PREFLIGHT.as_u16(), pipeline.clock.now().since(head.at));
        return Ok(None);
    }
    let open = pipeline.lane.open(&request).await.map_err(|_| journal_unavailable())?;
    let receipt = Some(open.receipt());
    let mut entry = Entry::new(open, head.at, forward.kept.clone(), pipeline.clock.clone());
    entry.status = Some(respond::PREFLIGHT.as_u16());
    entry.complete();
    Ok(receipt)
}

/// Records a refusal with everything that was known when it happened. `None`: it is counted, or recorded later.
pub(crate) async fn record_refusal(
    pipeline: &Pipeline,
    picture: &Picture,
    head: &Head<'_>,
    refused: &Refused,
    took: Duration,
) -> Option<Receipt> {
    let Known { api, operation, subject, credential, grant, role, incident, rule } = &*refused.known;
    let (mut path, mut query) =
        (recorded_path(picture, head, api.is_some()), head.query.map(recordable_query));
    if subject.is_none() {
        (path, query) = (cut(path), query.map(cut));
    }
    let credential = credential.map(id_text);
    let grant = grant.map(id_text);
    let request = Request {
        id: head.id,
        time: head.at,
        api: api.as_ref().map(|api| api.as_str()),
        operation: operation.as_deref(),
        method: clean(head.method).unwrap_or("?"),
        host: head.authority.or_else(|| head.fields.host.text()).and_then(clean),
        path: &path,
        query: query.as_deref(),
        subject: subject.as_ref().map(|subject| subject.name().as_str()),
        subject_kind: subject.as_ref().map(|subject| subject.kind().as_str()),
        credential: credential.as_deref(),
        grant_id: grant.as_deref(),
        role: role.as_ref().map(|role| role.as_str()),
        incident: incident.as_ref().map(|incident| incident.as_str()),
        client_ip: &head.peer.text,
        user_agent: user_agent(head),
        rule: rule.as_deref(),
        revision: picture.view.revision,
        trace_id: head.trace.recorded(),
        observed: None,
    };
    let status = respond::status(refused.reason).as_u16();
    pipeline.lane.refuse(&request, refused.reason.code(), status, head.at.plus(took)).await
}

/// The path as it is recorded: within the API if one was reached, so that refused and allowed rows compare.
fn recorded_path(picture: &Picture, head: &Head<'_>, routed: bool) -> String {
    let target = access::canonical::Target::parse(head.path, None);
    let within = target.as_ref().ok().filter(|_| routed).and_then(|target| {
        let host = head.authority.or_else(|| head.fields.host.text()).unwrap_or("");
        picture
            .view
            .policy
            .route(host, target.path())
            .map(|(_, rest)| if rest.is_empty() { "/" } else { rest })
    });
    recordable_path(within.unwrap_or(head.path)).into_owned()
}

/// What is recorded of a text whose writer proved nothing.
fn cut(mut text: String) -> String {
    const CUT: &str = "...";
    if text.len() > UNPROVEN_TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(UNPROVEN_TEXT_BYTES_MAX.saturating_sub(CUT.len())));
        text.push_str(CUT);
    }
    text
}

fn clean(text: &str) -> Option<&str> {
    // An `@` would come with what stands before it: a user and a password.
    let visible = text.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'@');
    (visible && text.len() <= 255 && !access::credential::occurs_in(text.as_bytes())).then_some(text)
}

fn user_agent<'a>(head: &Head<'a>) -> Option<&'a str> {
    let text = head.fields.user_agent.text().filter(|text| !hides_credential(text))?;
    text.get(..text.len().min(USER_AGENT_BYTES_MAX))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// An open entry of the journal, with what is known of its outcome so far.
#[derive(Debug)]
pub(crate) struct Entry {
    open: Option<OpenEntry>,
    arrived: Timestamp,
    kept: Arc<Kept>,
    clock: Arc<dyn Clock>,
    /// Where it was sent.
    pub(crate) upstream: Option<Arc<Endpoint>>,
    /// What the client was answered, if that is another status than the upstream's.
    pub(crate) status: Option<u16>,
    /// What the upstream answered.
    pub(crate) upstream_status: Option<u16>,
    /// How long the upstream took until its answer began.
    pub(crate) upstream_took: Option<Duration>,
    /// How far the request's body came.
    pub(crate) progress: Option<Rc<Progress>>,
    /// Bytes of the answer's body handed to the client's connection.
    pub(crate) response_bytes: u64,
}

impl Entry {
    fn new(open: OpenEntry, arrived: Timestamp, kept: Arc<Kept>, clock: Arc<dyn Clock>) -> Self {
        Self {
            open: Some(open),
            arrived,
            kept,
            clock,
            upstream: None,
            status: None,
            upstream_status: None,
            upstream_took: None,
            progress: None,
            response_bytes: 0,
        }
    }

    /// Where the intent stands in the journal, while the entry is open.
    pub(crate) fn receipt(&self) -> Option<Receipt> {
        self.open.as_ref().map(OpenEntry::receipt)
    }

    /// The answer was handed over whole, at the instant returned.
    pub(crate) fn complete(&mut self) -> Timestamp {
        let (status, now) = (self.status_given(), self.clock.now());
        if self.open.is_some() {
            self.kept.meter.answered(status.unwrap_or(0), now.since(self.arrived));
        }
        self.close(status, Ending::Completed, None, now);
        now
    }

    /// The status of an answer that was passed on.
    pub(crate) fn status_given(&self) -> Option<u16> {
        self.status.or(self.upstream_status)
    }

    /// No answer of the upstream's could be given, or not to its end.
    pub(crate) fn fail(&mut self, status: Option<u16>, reason: Reason) {
        self.end(status, Ending::Failed, reason);
    }

    /// The access ended while the exchange was under way.
    pub(crate) fn cut(&mut self, status: Option<u16>, reason: Reason) {
        self.end(status, Ending::Cut, reason);
    }

    fn end(&mut self, status: Option<u16>, ending: Ending, reason: Reason) {
        let now = self.clock.now();
        if self.open.is_some() {
            self.kept.meter.refused(reason, now.since(self.arrived));
        }
        self.close(status, ending, Some(reason.code()), now);
    }

    fn close(&mut self, status: Option<u16>, outcome: Ending, reason: Option<&str>, at: Timestamp) {
        let Some(open) = self.open.take() else { return };
        // INVARIANT: nothing of the body goes upstream once its entry is closed, whoever sends it.
        if let Some(progress) = &self.progress {
            progress.end();
        }
        open.close(&Closing {
            status,
            upstream: self.upstream.as_deref().map(Endpoint::name),
            upstream_status: self.upstream_status,
            upstream_us: self.upstream_took.map(micros),
            request_bytes: self.progress.as_ref().map_or(0, |progress| progress.bytes.get()),
            response_bytes: self.response_bytes,
            outcome,
            reason,
            at,
        });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.open.is_some() {
            let now = self.clock.now();
            self.kept.meter.abandoned(now.since(self.arrived));
            self.close(self.status_given(), Ending::Abandoned, None, now);
        }
    }
}
