use super::*;

fn cors(text: &str, expected: &Expect) {
    let api = "apis: { orders: { route: { prefix: /orders }, upstreams: [http://127.0.0.1:7001],";
    check(
        &format!("{api}\n  cors: {text} }} }}\nroles: {{ viewer: {{ allow: ['orders:read'] }} }}"),
        expected,
    );
}

#[test]
fn origins_are_named_as_browsers_write_them() {
    cors(
        "{ origins: ['https://app.example.com', 'http://localhost:3000'], headers: [Content-Type], credentials: true, max_age: 1d }",
        &expect![[r#"
            ok
        "#]],
    );
    cors(
        "{ origins: ['*'], expose: [X-Request-Id] }",
        &expect![[r#"
        ok
    "#]],
    );
    cors(
        "{ origins: [] }",
        &expect![[r#"
        daypass.yaml:2:20: `cors` names no origin
          2 |   cors: { origins: [] } } }
            |                    ^
            = write them like `[https://app.example.com]`
    "#]],
    );
    cors(
        "{ origins: ['https://app.example.com/', 'https://A.example', 'https://a.example', 'https://a.example'] }",
        &expect![[r#"
            daypass.yaml:2:21: `https://app.example.com/` is not an origin
              2 |   cors: { origins: ['https://app.example.com/', 'https://A.example', 'https://a.example', 'https://a.example'] } } }
                |                     ^^^^^^^^^^^^^^^^^^^^^^^^^^
                = write what browsers send: the scheme, the host in lower case, and the port where the scheme does not imply it, without a path: `https://app.example.com`
            daypass.yaml:2:49: `https://A.example` is not an origin
              2 |   cors: { origins: ['https://app.example.com/', 'https://A.example', 'https://a.example', 'https://a.example'] } } }
                |                                                 ^^^^^^^^^^^^^^^^^^^
                = write what browsers send: the scheme, the host in lower case, and the port where the scheme does not imply it, without a path: `https://app.example.com`
            daypass.yaml:2:91: `https://a.example` stands twice
              2 |   cors: { origins: ['https://app.example.com/', 'https://A.example', 'https://a.example', 'https://a.example'] } } }
                |                                                                                           ^^^^^^^^^^^^^^^^^^^
                = keep one of them
        "#]],
    );
    cors(
        "{ origins: ['*', 'https://a.example'] }",
        &expect![[r#"
        daypass.yaml:2:21: `*` stands for every origin
          2 |   cors: { origins: ['*', 'https://a.example'] } } }
            |                     ^^^
            = keep it alone, or name the origins
    "#]],
    );
}

#[test]
fn what_browsers_would_not_do_is_refused() {
    cors(
        "{ origins: ['*'], credentials: true }",
        &expect![[r#"
        daypass.yaml:2:40: browsers give nothing they hold to an API that is open to every origin
          2 |   cors: { origins: ['*'], credentials: true } } }
            |                                        ^^^^
            = name the origins, or write `credentials: false`
    "#]],
    );
    cors(
        "{ origins: ['https://a.example'], headers: ['*'], expose: ['x y'] }",
        &expect![[r#"
        daypass.yaml:2:53: `*` is not the name of a header that is forwarded
          2 |   cors: { origins: ['https://a.example'], headers: ['*'], expose: ['x y'] } } }
            |                                                     ^^^
            = name each one, in letters, digits and `-`
        daypass.yaml:2:68: `x y` is not the name of a header that is forwarded
          2 |   cors: { origins: ['https://a.example'], headers: ['*'], expose: ['x y'] } } }
            |                                                                    ^^^^^
            = name each one, in letters, digits and `-`
    "#]],
    );
    cors(
        "{ origins: ['https://a.example'], max_age: 2d }",
        &expect![[r#"
        daypass.yaml:2:52: `2d` is not how long a preflight may be remembered
          2 |   cors: { origins: ['https://a.example'], max_age: 2d } } }
            |                                                    ^^
            = write a whole number and `s`, `m` or `h`, like `10m`; at most `1d`
    "#]],
    );
}
