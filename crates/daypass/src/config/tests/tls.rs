use super::*;

#[test]
fn certificates_and_keys_belong_together() {
    check_with(
        "listen: { tls: { certificate: 'file:cert.pem', key: 'file:key.pem', others: [{ certificate: 'file:cert.pem', key: 'file:key.pem' }] } }",
        &expect![[r#"
            ok
        "#]],
    );
    let pair = |certificate: &str, key: &str, expected: &Expect| {
        check_with(&format!("listen: {{ tls: {{ certificate: '{certificate}', key: '{key}' }} }}"), expected);
    };
    pair(
        "file:cert.pem",
        "file:other.key",
        &expect![[r#"
        daypass.yaml:2:53: the private key does not belong to the certificate
          2 | listen: { tls: { certificate: 'file:cert.pem', key: 'file:other.key' } }
            |                                                     ^^^^^^^^^^^^^^^^
            = write the certificate, then those between it and its authority, into `certificate`, and its own key into `key`
    "#]],
    );
    pair(
        "file:key.pem",
        "file:key.pem",
        &expect![[r#"
            daypass.yaml:2:31: the file holds no certificate in PEM
              2 | listen: { tls: { certificate: 'file:key.pem', key: 'file:key.pem' } }
                |                               ^^^^^^^^^^^^^^
                = write the certificate, then those between it and its authority, into `certificate`, and its own key into `key`
        "#]],
    );
    pair(
        "file:cert.pem",
        "file:cert.pem",
        &expect![[r#"
            daypass.yaml:2:53: the file holds no private key in PEM
              2 | listen: { tls: { certificate: 'file:cert.pem', key: 'file:cert.pem' } }
                |                                                     ^^^^^^^^^^^^^^^
                = write the certificate, then those between it and its authority, into `certificate`, and its own key into `key`
        "#]],
    );
    pair(
        "file:empty.txt",
        "file:key.pem",
        &expect![[r#"
            daypass.yaml:2:31: the file holds no certificate in PEM
              2 | listen: { tls: { certificate: 'file:empty.txt', key: 'file:key.pem' } }
                |                               ^^^^^^^^^^^^^^^^
                = write the certificate, then those between it and its authority, into `certificate`, and its own key into `key`
        "#]],
    );
    pair(
        "file:cert.pem",
        "hunter2",
        &expect![[r#"
            daypass.yaml:2:53: certificates and keys are given as files
              2 | listen: { tls: { certificate: 'file:cert.pem', key: ********* } }
                |                                                     ^^^^^^^^^
                = write `file:PATH`
        "#]],
    );
    pair(
        "env:CERTIFICATE",
        "file:key.pem",
        &expect![[r#"
            daypass.yaml:2:31: certificates and keys are given as files
              2 | listen: { tls: { certificate: *****************, key: 'file:key.pem' } }
                |                               ^^^^^^^^^^^^^^^^^
                = write `file:PATH`
        "#]],
    );
}

#[test]
fn what_is_said_of_tls_to_upstreams_means_something() {
    let mut told = String::new();
    let mut load_api = |upstreams: &str, tls: &str| {
        let api = format!("a: {{ route: {{ prefix: /a }}, upstreams: [{upstreams}], upstream_tls: {tls} }}");
        let loaded = load(&format!("apis:\n  {api}\n"));
        told.push_str(&loaded.map_or_else(|error| error.to_string(), |_| "ok\n".to_owned()));
    };
    let pinned =
        "{ ca: 'file:cert.pem', certificate: 'file:cert.pem', key: 'file:key.pem', server_name: a.internal }";
    load_api("https://a, 'h2://[::1]:8443'", pinned);
    load_api("http://a", pinned);
    load_api("https://a", "{ ca: 'file:key.pem' }");
    load_api("https://a", "{ ca: 'file:cert.pem', certificate: 'file:cert.pem' }");
    load_api("https://a", "{ ca: 'file:cert.pem', server_name: 'a b' }");
    expect![[r#"
        ok
        daypass.yaml:2:68: `upstream_tls` is about `https://` and `h2://` upstreams, and this API has none
          2 |   a: { route: { prefix: /a }, upstreams: [http://a], upstream_tls: { ca: 'file:cert.pem', certificate: 'file:cert.pem', key: 'file:key.pem', server_name: a.internal } }
            |                                                                    ^
            = write `https://` before the upstream's host, or remove it
        daypass.yaml:2:75: the file holds no certificate of an authority in PEM
          2 |   a: { route: { prefix: /a }, upstreams: [https://a], upstream_tls: { ca: 'file:key.pem' } }
            |                                                                           ^^^^^^^^^^^^^^
            = put the authorities' own certificates there, in PEM
        daypass.yaml:2:105: a certificate and its key go together
          2 |   a: { route: { prefix: /a }, upstreams: [https://a], upstream_tls: { ca: 'file:cert.pem', certificate: 'file:cert.pem' } }
            |                                                                                                         ^^^^^^^^^^^^^^^
            = add the other of the two
        daypass.yaml:2:43: no certificate can be for `a b`
          2 |   a: { route: { prefix: /a }, upstreams: [https://a], upstream_tls: { ca: 'file:cert.pem', server_name: 'a b' } }
            |                                           ^^^^^^^^^
            = write the name or address that the upstream's certificate is for
    "#]].assert_eq(&told);
}

#[test]
fn what_is_said_of_certificates_of_callers_means_something() {
    let mut told = String::new();
    let mut load_tls = |more: &str| {
        let loaded = load(&format!(
            "listen:\n  tls: {{ certificate: 'file:cert.pem', key: 'file:key.pem', {more} }}\napis: {{ a: {{ route: {{ prefix: /a }}, upstreams: [http://a] }} }}\n"
        ));
        told.push_str(
            &loaded.map_or_else(|error| error.to_string(), |loaded| format!("ok\n{}", loaded.warnings)),
        );
    };
    load_tls("client_ca: 'file:clients.pem'");
    load_tls("client_ca: 'file:clients.pem', client_crl: ['file:clients.crl']");
    load_tls("client_ca: 'file:clients.pem', client_crl: ['file:stale.crl']");
    load_tls("client_ca: 'file:clients.pem', client_crl: ['file:clients.pem', 'file:empty.txt']");
    load_tls("client_ca: 'file:clients.pem', client_crl: []");
    load_tls("client_ca: 'file:key.pem'");
    load_tls("client_ca: 'file:missing'");
    load_tls("client_crl: ['file:clients.crl']");
    expect![[r#"
        ok
        ok
        ok
        daypass.yaml:2:105: a list of this file was due to be followed on 2026-01-02T00:00:00.000000Z: certificates that it covers are refused
          2 |   tls: { certificate: 'file:cert.pem', key: 'file:key.pem', client_ca: 'file:clients.pem', client_crl: ['file:stale.crl'] }
            |                                                                                                         ^^^^^^^^^^^^^^^^
            = put the newest list there, and reload
        daypass.yaml:2:105: the file holds no revocation list that can be used, in PEM or DER: there is none
          2 |   tls: { certificate: 'file:cert.pem', key: 'file:key.pem', client_ca: 'file:clients.pem', client_crl: ['file:clients.pem', 'file:empty.txt'] }
            |                                                                                                         ^^^^^^^^^^^^^^^^^^
            = put lists of the certificates' issuers there, as the authority publishes them
        daypass.yaml:2:125: the file holds no revocation list that can be used, in PEM or DER: it is no list
          2 |   tls: { certificate: 'file:cert.pem', key: 'file:key.pem', client_ca: 'file:clients.pem', client_crl: ['file:clients.pem', 'file:empty.txt'] }
            |                                                                                                                             ^^^^^^^^^^^^^^^^
            = put lists of the certificates' issuers there, as the authority publishes them
        daypass.yaml:2:104: a listener has 1 to 64 files of revocation lists
          2 |   tls: { certificate: 'file:cert.pem', key: 'file:key.pem', client_ca: 'file:clients.pem', client_crl: [] }
            |                                                                                                        ^
            = name each file once, or remove the key: then no list is looked at
        daypass.yaml:2:72: the file holds no certificate of an authority in PEM
          2 |   tls: { certificate: 'file:cert.pem', key: 'file:key.pem', client_ca: 'file:key.pem' }
            |                                                                        ^^^^^^^^^^^^^^
            = put the authorities' own certificates there, in PEM
        daypass.yaml:2:72: the file `missing` cannot be read: No such file or directory (os error 2)
          2 |   tls: { certificate: 'file:cert.pem', key: 'file:key.pem', client_ca: 'file:missing' }
            |                                                                        ^^^^^^^^^^^^^^
            = put it there, readable by the server's user
        daypass.yaml:2:73: revocation lists are about certificates of `client_ca`, which is not there
          2 |   tls: { certificate: 'file:cert.pem', key: 'file:key.pem', client_crl: ['file:clients.crl'] }
            |                                                                         ^
            = add `client_ca: file:PATH`, or remove the lists
    "#]].assert_eq(&told);
}

#[test]
fn a_certificate_outside_its_time_is_told_of() {
    let directory = directory();
    let text = "listen: { tls: { certificate: 'file:once.pem', key: 'file:once.key' } }
apis: { a: { route: { prefix: /a }, upstreams: [http://a] } }";
    let once = AUTHORITY.sign(&["a"], InForce::Once);
    fs::write(directory.path().join("once.pem"), once.certificate).unwrap();
    fs::write(directory.path().join("once.key"), once.key).unwrap();
    let source = Source { path: "daypass.yaml".into(), text: text.into() };
    let loaded = Config::resolve(source, directory.path(), &Environment::of([])).unwrap();
    expect![[r#"
        daypass.yaml:1:31: this certificate ended on 2002-01-01T00:00:00.000000Z: nobody believes it any more
          1 | listen: { tls: { certificate: 'file:once.pem', key: 'file:once.key' } }
            |                               ^^^^^^^^^^^^^^^
            = put one there that is in force, and reload
    "#]]
    .assert_eq(&loaded.warnings.to_string());
}

#[test]
fn what_is_said_of_an_acme_authority_means_something() {
    let mut told = String::new();
    let mut load_tls = |keys: &str| {
        let loaded = load(&format!(
            "listen:\n  tls: {{ {keys} }}\napis: {{ a: {{ route: {{ prefix: /a }}, upstreams: [http://a] }} }}\n"
        ));
        told.push_str(
            &loaded.map_or_else(|error| error.to_string(), |loaded| format!("ok\n{}", loaded.warnings)),
        );
    };
    let acme = |directory: &str, domains: &str, contact: &str| {
        format!(
            "acme: {{ directory: '{directory}', domains: [{domains}], contact: ['{contact}'], ca: 'file:cert.pem' }}"
        )
    };
    let (directory, contact) = ("https://ca.example/directory", "mailto:ops@example.com");
    let right = acme(directory, "a.example, b.example", contact);
    load_tls(&right);
    load_tls(&format!("{right}, others: [{{ certificate: 'file:cert.pem', key: 'file:key.pem' }}]"));
    load_tls(&format!("{right}, certificate: 'file:cert.pem', key: 'file:key.pem'"));
    load_tls(&acme("http://ca.example/directory", "'*.example', A.example, 127.0.0.1", "ops@example.com"));
    load_tls(&acme(directory, "", contact));
    load_tls(&acme(directory, "a.example, a.example", contact));
    load_tls("client_ca: 'file:clients.pem'");
    load_tls("certificate: 'file:cert.pem'");
    expect![[r#"
        ok
        ok
        daypass.yaml:2:167: the listeners' certificate is either a file or had from an authority
          2 |   tls: { acme: { directory: 'https://ca.example/directory', domains: [a.example, b.example], contact: ['mailto:ops@example.com'], ca: 'file:cert.pem' }, certificate: 'file:cert.pem', key: 'file:key.pem' }
            |                                                                                                                                                                       ^^^^^^^^^^^^^^^
            = remove `certificate` and `key`, or `acme`; `others` may stay
        daypass.yaml:2:29: this is no directory of an ACME authority
          2 |   tls: { acme: { directory: 'http://ca.example/directory', domains: ['*.example', A.example, 127.0.0.1], contact: ['ops@example.com'], ca: 'file:cert.pem' } }
            |                             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
            = write its URL, like `https://acme-v02.api.letsencrypt.org/directory`
        daypass.yaml:2:70: no certificate can be had for `*.example`
          2 |   tls: { acme: { directory: 'http://ca.example/directory', domains: ['*.example', A.example, 127.0.0.1], contact: ['ops@example.com'], ca: 'file:cert.pem' } }
            |                                                                      ^^^^^^^^^^^
            = write a host's name in lower case; wildcards and addresses cannot be proven here
        daypass.yaml:2:83: no certificate can be had for `A.example`
          2 |   tls: { acme: { directory: 'http://ca.example/directory', domains: ['*.example', A.example, 127.0.0.1], contact: ['ops@example.com'], ca: 'file:cert.pem' } }
            |                                                                                   ^^^^^^^^^
            = write a host's name in lower case; wildcards and addresses cannot be proven here
        daypass.yaml:2:94: no certificate can be had for `127.0.0.1`
          2 |   tls: { acme: { directory: 'http://ca.example/directory', domains: ['*.example', A.example, 127.0.0.1], contact: ['ops@example.com'], ca: 'file:cert.pem' } }
            |                                                                                              ^^^^^^^^^
            = write a host's name in lower case; wildcards and addresses cannot be proven here
        daypass.yaml:2:116: `ops@example.com` is no address to write to
          2 |   tls: { acme: { directory: 'http://ca.example/directory', domains: ['*.example', A.example, 127.0.0.1], contact: ['ops@example.com'], ca: 'file:cert.pem' } }
            |                                                                                                                    ^^^^^^^^^^^^^^^^^
            = write `mailto:` and an address
        daypass.yaml:2:70: a certificate is for 1 to 64 names
          2 |   tls: { acme: { directory: 'https://ca.example/directory', domains: [], contact: ['mailto:ops@example.com'], ca: 'file:cert.pem' } }
            |                                                                      ^
            = write the names under which callers reach the proxy
        daypass.yaml:2:82: `a.example` stands here twice
          2 |   tls: { acme: { directory: 'https://ca.example/directory', domains: [a.example, a.example], contact: ['mailto:ops@example.com'], ca: 'file:cert.pem' } }
            |                                                                                  ^^^^^^^^^
            = remove one of them
        daypass.yaml:2:8: `listen.tls` names no certificate
          2 |   tls: { client_ca: 'file:clients.pem' }
            |        ^
            = add `certificate: file:PATH` and `key: file:PATH`, or `acme:`
        daypass.yaml:2:23: a certificate and its key go together
          2 |   tls: { certificate: 'file:cert.pem' }
            |                       ^^^^^^^^^^^^^^^
            = add the other of the two
    "#]].assert_eq(&told);
}
