//! How the node is: readiness for `/readyz` and `status`, and the numbers for `/metrics`.

use std::fmt;
use std::sync::Arc;

use access::{Clock, Timestamp};
use admin::{CertificateHealth, Health, NodeHealth, UpstreamHealth, Vitals};
use gateway::Views;
use gateway::connections::{Connections, Why};
use journal::{Journal, Writable};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::config::Environment;
use crate::node::bridge::Bridge;
use crate::node::configured::Configured;
use crate::node::doors::{BothDoors, Certificate, Certificates};
use crate::program;

/// How old the view may grow before the node refuses.
pub const VIEW_AGE_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// What is asked for health and metrics.
#[derive(Debug)]
pub struct NodeVitals {
    registry: Registry,
    pulse: Pulse,
}

/// Where the numbers come from.
#[derive(Debug, Clone)]
struct Pulse {
    node: Arc<str>,
    started: Timestamp,
    clock: Arc<dyn Clock>,
    views: Arc<Views>,
    journal: Journal,
    bridge: Arc<Bridge>,
    configured: Arc<Configured>,
    certificates: Arc<Certificates>,
    connections: Arc<Connections>,
    program: Option<String>,
}

impl NodeVitals {
    /// Vitals of the node of this name, which starts now.
    #[must_use]
    pub(super) fn new(
        node: Arc<str>,
        clock: Arc<dyn Clock>,
        views: Arc<Views>,
        journal: Journal,
        bridge: Arc<Bridge>,
        configured: Arc<Configured>,
        doors: &BothDoors,
    ) -> Self {
        let started = clock.now();
        let (certificates, connections) = (doors.certificates.clone(), doors.sources.connections.clone());
        let program = program::path(&Environment::process()).ok().map(|path| path.display().to_string());
        let pulse = Pulse {
            node,
            started,
            clock,
            views,
            journal,
            bridge,
            configured,
            certificates,
            connections,
            program,
        };
        let mut registry = Registry::with_prefix("daypass");
        registry.register_collector(Box::new(pulse.clone()));
        Self { registry, pulse }
    }
}

impl Vitals for NodeVitals {
    fn health(&self) -> Health {
        let (now, pulse) = (self.pulse.clock.now(), &self.pulse);
        let age = pulse.views.age(now);
        let mut why = Vec::new();
        if pulse.bridge.is_draining() {
            why.push("the node is shutting down".to_owned());
        }
        if !pulse.views.is_fresh(now) {
            why.push(format!(
                "the view of access has not been proven fresh for {} s: is the ledger locked?",
                age.as_secs()
            ));
        }
        let journal = pulse.journal.health();
        if journal.writable != Writable::Yes {
            let cause = journal.last_error.unwrap_or_else(|| "no room".to_owned());
            why.push(format!("the journal cannot be written: {cause}"));
        }
        let (certificates, acme) = (pulse.certificates.read(), pulse.certificates.acme.health());
        if acme.is_some() && pulse.certificates.acme.issued().identity().is_none() {
            why.push(
                "no certificate was issued to the listeners yet: `acme` tells how its order stands"
                    .to_owned(),
            );
        }
        let revision = pulse.views.latest().view.revision;
        Health {
            why,
            nodes: vec![NodeHealth {
                node: pulse.node.to_string(),
                revision,
                started: pulse.started,
                version: program::VERSION.to_owned(),
                pid: Some(std::process::id()),
                program: pulse.program.clone(),
            }],
            takeover: pulse.configured.failed_takeover(),
            view_age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            spooled: 0,
            configuration: pulse.configured.read(),
            upstreams: pulse.views.latest().unwell(now).into_iter().map(shown).collect(),
            certificates: certificates.iter().map(|shown| told(shown, now)).collect(),
            acme,
        }
    }

    fn metrics(&self, text: &mut String) {
        // Writing to a `String` cannot fail.
        let _ = prometheus_client::encoding::text::encode(text, &self.registry);
    }
}

fn shown(unwell: gateway::Unwell) -> UpstreamHealth {
    let gateway::Unwell { api, upstream, state, why, since } = unwell;
    UpstreamHealth { api: api.to_string(), upstream, state, why, since }
}

const DAY_MICROS: i64 = 86_400_000_000;

fn told(certificate: &Certificate, now: Timestamp) -> CertificateHealth {
    let until = certificate.validity.until;
    let left = until.as_micros().saturating_sub(now.as_micros());
    CertificateHealth { hosts: certificate.hosts.clone(), until, days_left: left.div_euclid(DAY_MICROS) }
}

type Labels = Vec<(&'static str, String)>;

impl Collector for Pulse {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_node(&mut encoder)?;
        self.encode_orders(&mut encoder)?;
        self.encode_connections(&mut encoder)?;
        self.encode_upstreams(&mut encoder)?;
        self.encode_requests(&mut encoder)?;
        self.encode_durations(&mut encoder)
    }
}

impl Pulse {
    fn encode_node(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let info: Labels = vec![("version", program::VERSION.to_owned()), ("node", self.node.to_string())];
        encoder.encode_descriptor("build", "What runs here.", None, MetricType::Info)?.encode_info(&info)?;
        let (now, journal) = (self.clock.now(), self.journal.health());
        let writable = u64::from(journal.writable == Writable::Yes);
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: f64| {
            encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(&value)
        };
        gauge(
            "view_age",
            "Since when the view was last proven fresh.",
            Some(&Unit::Seconds),
            self.views.age(now).as_secs_f64(),
        )?;
        gauge(
            "view_revision",
            "The ledger revision of the view.",
            None,
            self.views.latest().view.revision.number() as f64,
        )?;
        gauge("journal_writable", "1 while requests can be recorded.", None, writable as f64)?;
        gauge(
            "journal_lag",
            "How long records have waited to be written.",
            Some(&Unit::Seconds),
            journal.lag_ms as f64 / 1e3,
        )?;
        if let Some(first) = self.certificates.read().first() {
            let left = first.validity.until.as_micros().saturating_sub(now.as_micros());
            gauge(
                "certificate_remaining",
                "Until the first of the listeners' certificates ends; negative once it has.",
                Some(&Unit::Seconds),
                left as f64 / 1e6,
            )?;
        }
        gauge("journal_leaves", "Leaves in the journal.", None, journal.size as f64)?;
        gauge("journal_size", "Size of all segments.", Some(&Unit::Bytes), journal.bytes as f64)
    }

    /// Where certificates are had from an authority.
    fn encode_orders(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(orders) = self.certificates.acme.orders() else { return Ok(()) };
        let help = "Orders of the listeners' certificate since the start, by outcome.";
        let mut counter = encoder.encode_descriptor("acme_orders", help, None, MetricType::Counter)?;
        for (outcome, count) in [("issued", orders.issued), ("failed", orders.failed)] {
            let labels: Labels = vec![("outcome", outcome.to_owned())];
            counter.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    fn encode_connections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Connections of clients of the proxy.";
        let open = i64::try_from(self.connections.open()).unwrap_or(i64::MAX);
        encoder.encode_descriptor("connections_open", help, None, MetricType::Gauge)?.encode_gauge(&open)?;
        let help = "Connections that were closed before anything was asked, by reason.";
        let mut refused =
            encoder.encode_descriptor("connections_refused", help, None, MetricType::Counter)?;
        for why in Why::ALL {
            let labels: Labels = vec![("why", why.word().to_owned())];
            let count = self.connections.turned_away(why);
            refused.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    /// One for each that is in the configuration and not well: there are no others.
    fn encode_upstreams(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "1 for each upstream that is passed over or sent nothing.";
        let mut gauge = encoder.encode_descriptor("upstream_unwell", help, None, MetricType::Gauge)?;
        for unwell in self.views.latest().unwell(self.clock.now()) {
            let labels: Labels = vec![
                ("api", unwell.api.to_string()),
                ("upstream", unwell.upstream),
                ("state", unwell.state.to_owned()),
            ];
            gauge.encode_family(&labels)?.encode_gauge(&1_i64)?;
        }
        Ok(())
    }

    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kept = self.bridge.kept();
        let help = "Requests the upstream answered, by class of status.";
        let mut answered = encoder.encode_descriptor("requests_answered", help, None, MetricType::Counter)?;
        for (api, kept) in &kept {
            for (class, count) in kept.meter.read().answered {
                let labels: Labels = vec![("api", label(api.as_ref())), ("class", format!("{class}xx"))];
                answered.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let help = "Requests refused, failed or cut, by reason.";
        let mut refused = encoder.encode_descriptor("requests_refused", help, None, MetricType::Counter)?;
        for (api, kept) in &kept {
            for (reason, count) in kept.meter.read().reasons {
                let labels: Labels = vec![("api", label(api.as_ref())), ("reason", reason.code().to_owned())];
                refused.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let help = "Requests whose client left before their end.";
        let mut abandoned =
            encoder.encode_descriptor("requests_abandoned", help, None, MetricType::Counter)?;
        for (api, kept) in &kept {
            let labels: Labels = vec![("api", label(api.as_ref()))];
            let count = kept.meter.read().abandoned;
            abandoned.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    fn encode_durations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "From a request's arrival to its end.";
        let seconds = Some(&Unit::Seconds);
        let mut durations =
            encoder.encode_descriptor("request_duration", help, seconds, MetricType::Histogram)?;
        for (api, kept) in self.bridge.kept() {
            let reading = kept.meter.read();
            let count = reading.durations.iter().map(|(_, count)| count).sum();
            let labels: Labels = vec![("api", label(api.as_ref()))];
            durations.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                reading.duration_seconds,
                count,
                &reading.durations,
                None,
            )?;
        }
        Ok(())
    }
}

fn label(api: Option<&access::ApiName>) -> String {
    api.map_or_else(|| "none".to_owned(), ToString::to_string)
}
