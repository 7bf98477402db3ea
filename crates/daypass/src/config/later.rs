//! Sections of the interface that this version reads but does not act on.
//!
//! They are typed so that a configuration written for a later version is checked as far as its shape goes.
//! What would protect is refused, and what would only give access or notify is warned about, in `resolve`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::place::Placed;
use super::text::{Duration, NameText, Reference, Text, Url};

/// An `OpenID` Connect provider.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OidcProvider {
    /// Its name here.
    pub name: NameText,
    /// Its issuer URL.
    pub issuer: Url,
    /// Daypass's client id there.
    pub client_id: Text,
    /// Daypass's client secret there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Placed<Reference>>,
    /// The claim that lists a person's groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_claim: Option<Text>,
}

/// An issuer of JWTs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtIssuer {
    /// Its issuer URL.
    pub issuer: Url,
    /// The audience that tokens must name.
    pub audience: Text,
    /// The claim that names the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_claim: Option<Text>,
    /// The claim that lists a subject's groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_claim: Option<Text>,
}

/// A server that says whose an opaque token is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Introspection {
    /// Its introspection endpoint.
    pub url: Url,
    /// Daypass's client id there.
    pub client_id: Text,
    /// Daypass's client secret there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Placed<Reference>>,
}

/// An on-call schedule.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// An iCalendar: a URL, or `file:PATH`.
    pub ical: Text,
}

/// Who may gain which role, and how.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Roles held at all times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standing: Vec<Placed<Standing>>,
    /// Roles held after asking.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_request: Vec<Placed<OnRequest>>,
    /// Roles held while an incident is open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_incident: Vec<Placed<OnIncident>>,
}

/// A role held at all times.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The role.
    pub role: NameText,
    /// Who holds it.
    pub to: Vec<Text>,
}

/// A role held after asking.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnRequest {
    /// The role.
    pub role: NameText,
    /// Who may ask.
    pub to: Vec<Text>,
    /// The longest grant.
    pub max: Duration,
    /// How it is approved: the first that is satisfied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approve: Vec<Approval>,
    /// Who may take it without approval, to be reviewed afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
}

/// One way in which a request is approved.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Because the asker is on call in this schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_call: Option<NameText>,
    /// By so many of `of`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub any: Option<u32>,
    /// Who approves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<Text>,
}

/// Access without approval, to be reviewed afterwards.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// Who may.
    pub to: Vec<Text>,
    /// For how long at most.
    pub max: Duration,
    /// How soon it must be reviewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_within: Option<Duration>,
}

/// A role held while an incident is open.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnIncident {
    /// Which webhook tells of it.
    pub source: NameText,
    /// The service it is about.
    pub service: Text,
    /// The role.
    pub grant: NameText,
    /// Who gains it.
    pub to: Text,
    /// For how long at most.
    pub max: Duration,
    /// How long it lasts after the incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<Duration>,
}

/// What to do about unusual traffic.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// What happens.
    pub when: Text,
    /// How much more than usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Text>,
    /// What to do.
    #[serde(rename = "do")]
    pub act: Vec<Text>,
}

/// Who is told.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// A URL that is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Url>,
    /// What its calls are signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Placed<Reference>>,
    /// A Slack token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<Placed<Reference>>,
    /// A Slack channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Text>,
}

/// An inbound webhook.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// What its calls are signed with.
    pub secret: Placed<Reference>,
}

/// A field of answers that only some may see.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaskRule {
    /// The field: `$.a.b` or `$.rows[*].a`.
    pub field: Text,
    /// The role that sees it.
    pub unless_role: NameText,
}

impl super::file::Config {
    /// References to secrets in sections that this version does not act on.
    pub(super) fn references_for_later(&self) -> impl Iterator<Item = &Placed<Reference>> {
        let oidc = self.identity.oidc.iter().filter_map(|oidc| oidc.client_secret.as_ref());
        let servers = self.identity.introspection.iter();
        let introspection = servers.filter_map(|server| server.client_secret.as_ref());
        let notify = self.notify.iter().flat_map(|one| [one.secret.as_ref(), one.slack.as_ref()]).flatten();
        let hooks = self.hooks.values().map(|hook| &hook.secret);
        oidc.chain(introspection).chain(notify).chain(hooks)
    }
}
