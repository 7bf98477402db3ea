//! Envoy, plain: the one filter is the router.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{CONNECTIONS_MAX, Site};
use crate::bench::proxy::Front;

pub(super) fn command(site: &Site<'_>, program: &Path) -> Result<Command> {
    let conf = site.write("envoy.yaml", &conf(site))?;
    let mut command = site.under.command(program);
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c"]).arg(conf);
    command.stderr(site.log("error.log")?);
    Ok(command)
}

fn conf(site: &Site<'_>) -> String {
    let Site { port, backend, tls, .. } = site;
    let transport = match site.front {
        // The codec tells HTTP/1.1 from HTTP/2 by the first bytes.
        Front::Clear | Front::H2c => String::new(),
        Front::Tls => format!(
            "      transport_socket:
        name: tls
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_params: {{ tls_maximum_protocol_version: TLSv1_3 }}
            tls_certificates:
            - certificate_chain: {{ filename: {} }}
              private_key: {{ filename: {} }}
",
            tls.certificate.display(),
            tls.key.display()
        ),
    };
    format!(
        "\
static_resources:
  listeners:
  - name: bench
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          codec_type: AUTO
          route_config:
            virtual_hosts:
            - name: bench
              domains: [\"*\"]
              routes: [{{ match: {{ prefix: /bench/ }}, route: {{ cluster: backend, prefix_rewrite: / }} }}]
          http_filters:
          - name: router
            typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
{transport}  clusters:
  - name: backend
    type: STATIC
    connect_timeout: 5s
    circuit_breakers:
      thresholds: [{{ max_connections: {CONNECTIONS_MAX}, max_pending_requests: {CONNECTIONS_MAX}, max_requests: {CONNECTIONS_MAX} }}]
    load_assignment:
      cluster_name: backend
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {backend} }} }} }}
"
    )
}
