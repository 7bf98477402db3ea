//! The tour: what is said, what is typed, and what must come back.

/// One step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// What it shows.
    pub(super) says: &'static str,
    /// What is typed.
    pub(super) command: &'static str,
    /// A variable that keeps the answer for later steps, typed as `export NAME=$(…)`.
    pub(super) keep: Option<&'static str>,
    /// What the answer must contain.
    pub(super) expect: &'static [&'static str],
    /// What the answer must not contain.
    pub(super) never: &'static [&'static str],
}

const fn step(says: &'static str, command: &'static str, expect: &'static [&'static str]) -> Step {
    Step { says, command, keep: None, expect, never: &[] }
}

const fn keep(
    says: &'static str,
    name: &'static str,
    command: &'static str,
    expect: &'static [&'static str],
) -> Step {
    Step { keep: Some(name), ..step(says, command, expect) }
}

/// The tour, in order.
pub(super) const STEPS: &[Step] = &[
    step(
        "No pass, no request: without a credential nothing is forwarded, and the refusal is recorded.",
        r#"curl -s $ORDERS/v1/orders/7"#,
        &["\"code\":\"credential_missing\""],
    ),
    step(
        "Somebody at this machine gives alice a pass: one role, for half an hour, with a reason.",
        r#"daypass grant orders-responder --to alice --for 30m --reason "INC-42: orders are stuck""#,
        &["orders-responder", "alice"],
    ),
    keep("alice opens a session …", "ALICE", "daypass admin session alice", &["dpc_"]),
    keep(
        "… and mints a token from her grant. It is shown once; only its digest is kept.",
        "TOKEN",
        "DAYPASS_URL=$CONSOLE DAYPASS_SESSION=$ALICE daypass token",
        &["dpt_"],
    ),
    step(
        "The token reaches what her role names …",
        r#"curl -s -H "Authorization: Bearer $TOKEN" $ORDERS/v1/orders/7"#,
        &["\"id\":7"],
    ),
    step(
        "… such as the operation the incident needs …",
        r#"curl -s -X POST -H "Authorization: Bearer $TOKEN" $ORDERS/v1/fulfilment/7/restart"#,
        &["\"restarts\":1"],
    ),
    step(
        "… and nothing else. The refusal names the rule and the command that asks for more.",
        r#"curl -s -H "Authorization: Bearer $TOKEN" $ORDERS/v1/customers/10"#,
        &[
            "\"code\":\"operation_not_allowed\"",
            "deny orders:tag:customers",
            "daypass grant orders-admin --to alice",
        ],
    ),
    Step {
        never: &["dpt_", "demo-orders-key"],
        ..step(
            "The API sees who asks and under which grant. It never sees her token, and she never sees its key.",
            r#"curl -s -H "Authorization: Bearer $TOKEN" $ORDERS/v1/debug/headers"#,
            &["\"daypass-subject\":[\"user:alice\"]", "\"daypass-grant\":[\"grant_", "this API's own key"],
        )
    },
    step(
        "One canonical request: a path that two readers could take for different ones is refused.",
        r#"curl -s --path-as-is -H "Authorization: Bearer $TOKEN" $ORDERS/v1/orders/%2e%2e/customers/10"#,
        &["\"code\":\"request_malformed\""],
    ),
    keep(
        "alice narrows her pass for a script that she does not trust.",
        "NARROW",
        "DAYPASS_URL=$CONSOLE DAYPASS_SESSION=$ALICE daypass token --only 'GET /v1/orders/{id}' --for 5m",
        &["dpt_"],
    ),
    step(
        "The narrowed token reads an order, and no list of them.",
        r#"curl -s -H "Authorization: Bearer $NARROW" $ORDERS/v1/orders/3; curl -s -H "Authorization: Bearer $NARROW" $ORDERS/v1/orders"#,
        &["\"id\":3", "\"code\":\"operation_not_allowed\""],
    ),
    step(
        "Revoked means now: a stream of events is open when her access ends, and is cut.",
        r#"(curl -sN -H "Authorization: Bearer $TOKEN" $ORDERS/v1/feed/events >"${DAYPASS_CONFIG%/*}/events" || echo "curl was cut off") & until grep -q data: "${DAYPASS_CONFIG%/*}/events" 2>/dev/null; do sleep 0.1; done; daypass revoke --user alice --reason "INC-42 is over" -o json; wait"#,
        &["\"sse\":1", "\"acknowledged_ms\"", "curl was cut off"],
    ),
    step(
        "The next request is refused.",
        r#"curl -s -H "Authorization: Bearer $TOKEN" $ORDERS/v1/orders/7"#,
        &["\"code\":\"credential_revoked\""],
    ),
    keep("carol audits. She opens a session …", "CAROL", "daypass admin session carol", &["dpc_"]),
    step(
        "… and asks what alice did: every request is there, with the rule that decided.",
        "DAYPASS_URL=$CONSOLE DAYPASS_SESSION=$CAROL daypass audit search --user alice",
        &["restartFulfilment", "operation_not_allowed", "credential_revoked", "cut"],
    ),
    keep(
        "She takes one of them …",
        "ID",
        "DAYPASS_URL=$CONSOLE DAYPASS_SESSION=$CAROL daypass audit search --user alice --operation restartFulfilment -o jsonl | sed 's/.*\"id\":\"\\([^\"]*\\)\".*/\\1/'",
        &["-7"],
    ),
    step(
        "… and has it explained.",
        "DAYPASS_URL=$CONSOLE DAYPASS_SESSION=$CAROL daypass explain $ID",
        &["alice", "orders-responder", "allow orders:tag:incident"],
    ),
    keep(
        "A service gets a key of its own, for ninety days at most as said.",
        "KEY",
        "daypass service add reports --role orders-viewer --for 90d",
        &["dps_"],
    ),
    step(
        "It reads, and cannot write.",
        r#"curl -s -H "Authorization: Bearer $KEY" $ORDERS/v1/orders/7; curl -s -X POST -H "Authorization: Bearer $KEY" $ORDERS/v1/orders/7/cancel"#,
        &["\"id\":7", "\"code\":\"operation_not_allowed\""],
    ),
    step("The node says how it is.", "daypass status -o json", &["\"ready\":true", "\"lag_ms\""]),
];

impl Step {
    /// The command as a person types it.
    pub(super) fn typed(&self) -> String {
        match self.keep {
            Some(name) => format!("export {name}=$({})", self.command),
            None => self.command.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_writes_into_the_directory_it_is_typed_in() {
        for step in STEPS {
            for target in step.command.split('>').skip(1) {
                let elsewhere = ["/dev/null", "\"${DAYPASS_CONFIG%/*}/"];
                assert!(elsewhere.iter().any(|place| target.starts_with(place)), "{}", step.command);
            }
        }
    }
}
