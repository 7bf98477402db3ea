//! The examples that each `--help` ends with.

pub(super) const DAYPASS: &str = "\
Examples:
  daypass demo --tour
  daypass init --api orders --upstream http://127.0.0.1:7001 --openapi orders.yaml
  daypass serve

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 refused, 4 not found,
5 verification failed, 6 timed out waiting";

pub(super) const SERVE: &str = "\
Environment:
  DAYPASS_LOG    What is logged, like `debug` or `info,gateway=debug` [default: info]
  DAYPASS_CORES  How many threads the proxy has [default: as many as this process may run on]

Examples:
  daypass serve
  daypass serve --config /etc/daypass/daypass.yaml";

pub(super) const INIT: &str = "\
Examples:
  daypass init --api orders --upstream http://127.0.0.1:7001
  daypass init --api orders --upstream http://127.0.0.1:7001 --openapi orders.yaml
  daypass init --api orders --upstream https://orders.internal
  daypass init --api orders --upstream h2c://10.0.0.7:50051 --config orders/daypass.yaml --force";

pub(super) const CHECK: &str = "\
Examples:
  daypass check
  daypass check --config staging.yaml -o json";

pub(super) const DEMO: &str = "\
Examples:
  daypass demo
  daypass demo --tour";

pub(super) const CONFIG: &str = "\
Examples:
  daypass config schema > daypass.schema.json
  daypass config show";

pub(super) const CONFIG_SCHEMA: &str = "\
Examples:
  daypass config schema > daypass.schema.json";

pub(super) const CONFIG_SHOW: &str = "\
Examples:
  daypass config show
  daypass config show -o json";

pub(super) const WHOAMI: &str = "\
Examples:
  daypass whoami
  daypass whoami -o json";

pub(super) const APIS: &str = "\
Examples:
  daypass apis
  daypass apis orders";

pub(super) const ROLES: &str = "\
Examples:
  daypass roles
  daypass roles -o json";

pub(super) const GRANTS: &str = "\
Examples:
  daypass grants
  daypass grants --user alice -o jsonl";

pub(super) const GRANT: &str = "\
Examples:
  daypass grant orders-viewer --to alice --for 1h --reason 'ticket 4711'
  daypass grant orders-admin --to bob --for 30m --reason 'stuck orders' --incident INC-7";

pub(super) const TOKEN: &str = "\
Examples:
  daypass token
  TOKEN=$(daypass token grant_01J9ZC5A7V3Q8M4X2K6T0B1RWE --for 10m)
  daypass token --only 'GET /v1/orders/{id}' --only 'GET /v1/orders'";

pub(super) const REVOKE: &str = "\
Examples:
  daypass revoke --user alice --reason 'laptop stolen'
  daypass revoke --grant grant_01J9ZC5A7V3Q8M4X2K6T0B1RWE --reason 'done early'
  daypass revoke --all --reason 'drill' -o json";

pub(super) const SERVICE: &str = "\
Examples:
  KEY=$(daypass service add ci --role orders-viewer --for 90d)
  daypass service list";

pub(super) const SERVICE_ADD: &str = "\
Examples:
  KEY=$(daypass service add ci --role orders-viewer --for 90d)
  daypass service add nightly --role orders-viewer --role orders-editor --for 30d -o json";

pub(super) const SERVICE_ROTATE: &str = "\
Examples:
  KEY=$(daypass service rotate ci)
  daypass service rotate ci --for 90d -o json";

pub(super) const SERVICE_REMOVE: &str = "\
Examples:
  daypass service remove ci";

pub(super) const SERVICE_LIST: &str = "\
Examples:
  daypass service list
  daypass service list -o json";

pub(super) const AUDIT: &str = "\
Examples:
  daypass audit search --user alice --since 1h
  daypass audit tail";

pub(super) const AUDIT_SEARCH: &str = "\
Examples:
  daypass audit search --user alice --since 1h
  daypass audit search --decision refuse --since 2026-11-22T03:00:00Z -o jsonl
  daypass audit search --api orders --operation refundOrder --limit 10";

pub(super) const AUDIT_TAIL: &str = "\
Examples:
  daypass audit tail
  daypass audit tail -o jsonl";

pub(super) const EXPLAIN: &str = "\
Examples:
  daypass explain 01a2b3c4-d5e6-7f80-9a1b-2c3d4e5f6071";

pub(super) const STATUS: &str = "\
Examples:
  daypass status
  daypass status -o json";

pub(super) const ADMIN: &str = "\
Examples:
  DAYPASS_SESSION=$(daypass admin session alice)";

pub(super) const ADMIN_SESSION: &str = "\
Examples:
  DAYPASS_SESSION=$(daypass admin session alice)
  daypass admin session alice --for 8h -o json";

pub(super) const COMPLETIONS: &str = "\
Examples:
  daypass completions bash > /etc/bash_completion.d/daypass
  daypass completions zsh > ~/.zfunc/_daypass";

pub(super) const MAN: &str = "\
Examples:
  daypass man /usr/local/share/man/man1";
