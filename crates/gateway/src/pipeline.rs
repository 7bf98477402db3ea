//! READ FIRST: the life of a request until it may go upstream.
//!
//! One function. Each stage consumes what the stage before it proved, so a stage that is skipped, repeated or
//! reordered does not compile: `Arrival` → `Identified` → `Authorized` → `Counted` → `Validated` → `Admitted`.
//! An [`Admitted`] holds an open journal entry that only the journal makes, so nothing is forwarded without one.
//!
//! One exit, [`Pipeline::refuse`], records every refusal, or counts it: those of whom nothing was proven, beyond a
//! budget. Beside the way lies [`Pipeline::preflight`]: what browsers ask before a request is answered here, recorded
//! or counted alike, and goes nowhere.
//! Not here: sending it (see `forward`) and answering (see `respond`).

use std::rc::Rc;
use std::sync::Arc;

use access::arrival::Certificate;
use access::authenticate::authenticate;
use access::authorize::authorize;
use access::{Clock, Reason, Refused};
use journal::{Lane, Receipt};

use crate::arrival::{Head, arrive};
use crate::body::validate;
use crate::cors::Preflight;
use crate::fields::FieldList;
use crate::limits::Limits;
use crate::picture::Views;
use crate::record::{Admitted, record_intent, record_preflight, record_refusal};
use crate::streams::Streams;
use crate::tls::Doors;

/// What a core needs to judge requests.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) views: Arc<Views>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) streams: Rc<Streams>,
    /// What proves client certificates.
    pub(crate) doors: Arc<Doors>,
    pub(crate) lane: Lane,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Pipeline {
    /// Judges and records a request.
    ///
    /// # Errors
    /// The first stage that says no; nothing has gone upstream, and nothing of the body has been read.
    pub(crate) async fn admit<'a>(&self, head: &Head<'a>) -> Result<Box<Admitted<'a>>, Refused> {
        let picture = self.views.current(head.at)?; // one policy picture for the whole request; too stale refuses
        let arrival = arrive(head, self.certificate(head)?)?;
        let identified = authenticate(&picture.view, &arrival)?;
        let authorized = authorize(identified)?;
        let counted = self.limits.take(authorized, &picture)?;
        let validated = validate(counted)?;
        record_intent(self, &picture, head, validated).await // durable before one byte goes upstream
    }

    /// Answers what a browser asks before a request of another origin, and records it: the answer's fields. `None` for
    /// a page that the configuration does not list.
    ///
    /// # Errors
    /// `journal_unavailable`.
    pub(crate) async fn preflight(
        &self,
        head: &Head<'_>,
    ) -> Result<Option<(FieldList, Option<Receipt>)>, Refused> {
        let (Ok(picture), Ok(arrival)) = (self.views.current(head.at), arrive(head, None)) else {
            return Ok(None);
        };
        let Some(asked) = Preflight::of(&picture, &arrival, head) else { return Ok(None) };
        let receipt = record_preflight(self, &picture, head, &arrival, &asked).await?;
        Ok(Some((asked.fields, receipt)))
    }

    /// Lets the page that asked read why it was refused, if the API is known and lists its origin.
    pub(crate) fn dress(&self, head: &Head<'_>, refused: &Refused, fields: &mut FieldList) {
        let picture = self.views.latest();
        let forward = refused.known.api.as_ref().and_then(|name| picture.forward_of(name));
        if let Some(cors) = forward.and_then(|forward| forward.cors.as_ref()) {
            cors.dress(head.fields.origin, fields);
        }
    }

    /// The certificate of the request's connection, which must be as good as it was in the handshake.
    fn certificate<'a>(&self, head: &Head<'a>) -> Result<Option<&'a Certificate>, Refused> {
        let Some(shown) = &head.peer.shown else { return Ok(None) };
        match shown.why_void(&self.doors, head.at) {
            None => Ok(Some(&shown.certificate)),
            Some(why) => Err(shown.refusal(why)),
        }
    }

    /// Records a refusal; `None` while the journal cannot be written, which then records it later, and where nobody
    /// proved who asks and there are too many of those: they are counted.
    pub(crate) async fn refuse(&self, head: &Head<'_>, refused: &Refused) -> Option<Receipt> {
        let picture = self.views.latest();
        let took = self.clock.now().since(head.at);
        let api = refused.known.api.as_ref().and_then(|name| picture.forward_of(name));
        let meter = api.map_or(&picture.unrouted.meter, |forward| &forward.kept.meter);
        meter.refused(refused.reason, took);
        record_refusal(self, &picture, head, refused, took).await
    }
}

/// The refusal of a request that could not be recorded.
pub(crate) fn journal_unavailable() -> Refused {
    Refused::because(
        Reason::JournalUnavailable,
        "the request cannot be recorded at present, so it is not forwarded",
    )
    .next("try again in a moment; an operator finds the cause with `daypass status`")
    .retry_after(std::time::Duration::from_secs(1), None)
}
