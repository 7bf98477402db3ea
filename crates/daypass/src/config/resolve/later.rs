//! What the interface has and this version does not act on.
//!
//! A setting that would protect is an error: running without it would look like running with it. One that
//! would only give access or notify is a warning: without it nobody gains anything.

use super::super::api::{Api, Mode, Validate};
use super::super::file::Config;
use super::super::place::{Place, Placed};
use super::super::secret::Reference;
use super::Resolver;

impl Resolver<'_> {
    pub(super) fn refuse_what_is_not_enforced(&mut self, config: &Config) {
        self.refuse_fleet_stores(config);
        if let Some(archive) = &config.journal.archive {
            self.not_enforced(
                "journal.archive",
                archive.place,
                "remove it, and copy `<data>/journal` yourself",
            );
        }
        if let Some(retain) = &config.journal.retain {
            self.not_enforced("journal.retain", retain.place, "remove it: entries are kept for ever");
        }
        for api in config.apis.values() {
            self.refuse_unenforced_on_api(api);
        }
        for role in config.roles.values() {
            if let Some(when) = &role.when {
                self.not_enforced("when", when.place, "remove it, or remove the role's rules that need it");
            }
        }
        if let Some(guardrails) = &config.guardrails {
            self.not_enforced("guardrails", guardrails.place, "remove it, and use `deny:` in roles");
        }
        if let Some(alert) = config.alerts.first() {
            self.not_enforced("alerts", alert.place, "remove it, and watch `/metrics`");
        }
    }

    fn refuse_fleet_stores(&mut self, config: &Config) {
        let stores = [
            ("ledger", &*config.ledger.value, config.ledger.place, "sqlite"),
            ("limits_store", &*config.limits_store.value, config.limits_store.place, "memory"),
        ];
        for (key, value, place, embedded) in stores {
            if value == embedded {
                continue;
            }
            // It may carry a password.
            self.errors.hide(place);
            if value.contains("://") {
                let says = format!("this version keeps `{key}` in `{embedded}` only");
                self.refuse(place, says, format!("write `{key}: {embedded}`, and run one node"));
            } else {
                self.refuse(place, format!("`{key}` cannot be that"), format!("write `{key}: {embedded}`"));
            }
        }
    }

    fn refuse_unenforced_on_api(&mut self, api: &Api) {
        if api.mode.value == Mode::Observe {
            let says = "`mode: observe` is not there in this version, which refuses what it would refuse";
            self.refuse(api.mode.place, says, "write `mode: enforce`");
        }
        if api.validate.value != Validate::Off {
            let advice = "write `validate: off`: requests are then held to the contract's operations only";
            self.not_enforced("validate", api.validate.place, advice);
        }
        let concurrency = api.limits.concurrency.as_ref();
        if let Some(adaptive) = concurrency.filter(|limit| &*limit.value == "adaptive") {
            self.not_enforced("concurrency: adaptive", adaptive.place, "write a whole number, like `64`");
        }
        if let Some(mask) = api.mask.first() {
            self.not_enforced("mask", mask.place, "remove it, and deny the operations that show the field");
        }
        if let Some(personal) = api.personal.first() {
            self.not_enforced("personal", personal.place, "remove it");
        }
    }

    pub(super) fn not_enforced(&mut self, key: &str, place: Place, advice: &str) {
        let says = format!("this version does not enforce `{key}`, and refuses to run as if it did");
        self.refuse(place, says, advice);
    }

    pub(super) fn warn_of_what_is_not_in_force(&mut self, config: &Config) {
        let identity = &config.identity;
        self.not_in_force("identity.oidc", first(&identity.oidc));
        self.not_in_force("identity.jwt", first(&identity.jwt));
        self.not_in_force("identity.introspection", first(&identity.introspection));
        self.not_in_force("schedules", config.schedules.keys().map(|name| name.place).min());
        self.not_in_force("access", config.access.as_ref().map(|access| access.place));
        self.not_in_force("notify", first(&config.notify));
        self.not_in_force("hooks", config.hooks.keys().map(|name| name.place).min());
        for reference in config.references_for_later() {
            if let Err(why) = Reference::parse(&reference.value) {
                self.errors.hide(reference.place);
                self.refuse(reference.place, why.to_string(), why.advice());
            }
        }
    }

    fn not_in_force(&mut self, key: &str, place: Option<Place>) {
        let Some(place) = place else { return };
        let says = format!("`{key}` is not in force in this version: nobody gains access through it");
        let advice =
            "give access with `daypass grant` and `daypass service add`; it may stay for a later version";
        self.warn(place, says, advice);
    }
}

fn first<T>(list: &[Placed<T>]) -> Option<Place> {
    list.first().map(|item| item.place)
}
