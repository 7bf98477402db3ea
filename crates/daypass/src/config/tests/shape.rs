//! Files that are no configuration in their shape.

use expect_test::expect;

use super::*;

#[test]
fn syntax_errors_stand_at_their_place() {
    check(
        "apis:\n  orders: { route: { prefix: '/orders }\n",
        &expect![[r#"
        daypass.yaml:2:30: unclosed quote
          2 |   orders: { route: { prefix: '/orders }
            |                              ^
            = check quotes, brackets and indentation at this place; `daypass config schema` has every key
    "#]],
    );
    check(
        "listen:\n  proxy: 127.0.0.1:1\n   console: 127.0.0.1:2\n",
        &expect![[r#"
        daypass.yaml:3:11: mapping values are not allowed in this context
          3 |    console: 127.0.0.1:2
            |           ^
            = check quotes, brackets and indentation at this place; `daypass config schema` has every key
    "#]],
    );
    check(
        "listen:\n\tproxy: 127.0.0.1:1\n",
        &expect![[r#"
        daypass.yaml:2:2: tabs disallowed within this context (block indentation)
          2 | 	proxy: 127.0.0.1:1
            | 	^
            = check quotes, brackets and indentation at this place; `daypass config schema` has every key
    "#]],
    );
    check(
        "apis: *orders\n",
        &expect![[r#"
        daypass.yaml:1:7: nothing in the file is named by this `*`
          1 | apis: *orders
            |       ^
            = mark the first place with `&name`, or put a text that starts with `*` in quotes
    "#]],
    );
    check(
        "apis: {}\n---\napis: {}\n",
        &expect![[r#"
        daypass.yaml:3:1: a second document starts here
          3 | apis: {}
            | ^
            = keep one document in the file: remove the `---`
    "#]],
    );
}

#[test]
fn unknown_keys_are_refused_and_the_nearest_is_named() {
    check(
        "lisen: {}\n",
        &expect![[r#"
        daypass.yaml:1:1: unknown key `lisen`
          1 | lisen: {}
            | ^^^^^
            = did you mean `listen`?
    "#]],
    );
    check_with(
        "roles: { viewer: { allow: ['orders:read'], rate: 5/s } }",
        &expect![[r#"
        daypass.yaml:2:44: unknown key `rate`
          2 | roles: { viewer: { allow: ['orders:read'], rate: 5/s } }
            |                                            ^^^^
            = use `allow`, `deny`, `when` or `limits`
    "#]],
    );
}

#[test]
fn keys_stand_once() {
    check(
        "data: a\ndata: b\n",
        &expect![[r#"
        daypass.yaml:2:1: the key `data` stands twice
          2 | data: b
            | ^^^^
            = keep one of them
    "#]],
    );
    check(
        "apis:\n  a: { route: { prefix: /a, host: a }, upstreams: [] }\n",
        &expect![[r#"
        daypass.yaml:2:29: only one key may stand here
          2 |   a: { route: { prefix: /a, host: a }, upstreams: [] }
            |                             ^^^^
            = keep one of them
    "#]],
    );
}

#[test]
fn a_time_to_drain_is_a_duration_and_has_a_bound() {
    check(
        "listen: { drain: 30 }\n",
        &expect![[r#"
            daypass.yaml: there is no API to protect
              = add `apis:` with a `route:` and `upstreams:` for each; `daypass init` writes a first one
            daypass.yaml:1:18: `30` is not a time to drain
              1 | listen: { drain: 30 }
                |                  ^^
                = write a duration from `0s` to `1h`, like `30s`
        "#]],
    );
    check(
        "listen: { drain: 61m }\n",
        &expect![[r#"
            daypass.yaml: there is no API to protect
              = add `apis:` with a `route:` and `upstreams:` for each; `daypass init` writes a first one
            daypass.yaml:1:18: `61m` is not a time to drain
              1 | listen: { drain: 61m }
                |                  ^^^
                = write a duration from `0s` to `1h`, like `30s`
        "#]],
    );
}

#[test]
fn values_of_another_type_are_refused() {
    check(
        "apis: [orders]\n",
        &expect![[r#"
        daypass.yaml:1:7: keys with values are expected here
          1 | apis: [orders]
            |       ^
            = write `key: value` lines below, or `{}`
    "#]],
    );
    check(
        "data: [a]\n",
        &expect![[r#"
        daypass.yaml:1:7: a single value is expected here
          1 | data: [a]
            |       ^
            = write one text, not a list or keys
    "#]],
    );
    check(
        "data:\n",
        &expect![[r#"
        daypass.yaml:1:5: a value is missing here
          1 | data:
            |     ^
            = write one, or remove the key
    "#]],
    );
    check(
        "journal: { durability: fsnyc }\n",
        &expect![[r#"
        daypass.yaml:1:24: `fsnyc` is not a choice here
          1 | journal: { durability: fsnyc }
            |                        ^^^^^
            = did you mean `fsync`?
    "#]],
    );
    check(
        "apis: { a: { route: { path: /a }, upstreams: [] } }\n",
        &expect![[r#"
        daypass.yaml:1:23: `path` is not a choice here
          1 | apis: { a: { route: { path: /a }, upstreams: [] } }
            |                       ^^^^
            = use `prefix` or `host`
    "#]],
    );
    check(
        "apis: { a: { upstreams: [] } }\n",
        &expect![[r#"
        daypass.yaml:1:14: `route` is missing here
          1 | apis: { a: { upstreams: [] } }
            |              ^^^^^^^^^
            = add `route:`
    "#]],
    );
    check(
        "apis: { a: { route: { prefix: /a }, upstreams: [http://a], limits: { burst: many } } }\n",
        &expect![[r#"
        daypass.yaml:1:77: a whole number is expected here
          1 | apis: { a: { route: { prefix: /a }, upstreams: [http://a], limits: { burst: many } } }
            |                                                                             ^^^^
            = write digits only, like `100`
    "#]],
    );
}

#[test]
fn an_api_is_needed() {
    check(
        "",
        &expect![[r#"
        daypass.yaml: there is no API to protect
          = add `apis:` with a `route:` and `upstreams:` for each; `daypass init` writes a first one
    "#]],
    );
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "a: &a0 [x]\n".to_owned();
    for level in 1..9 {
        let alias = format!("*a{}, ", level - 1).repeat(9);
        text.push_str(&format!("b{level}: &a{level} [{alias}]\n"));
    }
    assert!(load(&text).is_err());
    let directory = directory();
    fs::write(directory.path().join("bomb.yaml"), format!("openapi: 3.1.0\n{text}")).unwrap();
    let refused = contract::read_operations(directory.path(), "bomb.yaml", None).unwrap_err();
    expect!["the contract `bomb.yaml` is wrong at line 8, column 30: this is larger or deeper than a configuration may be"].assert_eq(&refused.to_string());
}

#[test]
fn a_file_is_found_read_and_bounded() {
    let directory = directory();
    let path = directory.path().join("daypass.yaml");
    assert!(matches!(Config::load(&path, &Environment::of([])), Err(ConfigError::Unreadable { .. })));
    fs::write(&path, [0xff]).unwrap();
    assert!(matches!(Config::load(&path, &Environment::of([])), Err(ConfigError::NotText { .. })));
    fs::write(&path, vec![b'#'; CONFIG_BYTES_MAX as usize + 1]).unwrap();
    assert!(matches!(Config::load(&path, &Environment::of([])), Err(ConfigError::NotText { .. })));
    fs::write(&path, "apis: { a: { route: { prefix: /a }, upstreams: [http://a], openapi: orders.yaml } }")
        .unwrap();
    let loaded = Config::load(&path, &Environment::of([])).unwrap();
    assert_eq!(loaded.settings.data, directory.path().join("./daypass-data"));
    assert_eq!(Config::data_directory(&path).unwrap(), loaded.settings.data);
    assert_eq!(locate(Some(Path::new("a.yaml"))).unwrap(), Path::new("a.yaml"));
}

#[test]
fn a_data_directory_has_a_name() {
    for data in ["''", "' '"] {
        let said = load(&format!(
            "data: {data}\napis: {{ a: {{ route: {{ prefix: /a }}, upstreams: [http://a] }} }}"
        ));
        let said = said.unwrap_err().to_string();
        assert!(said.contains("`data` names no directory") && said.contains("1:7"), "{said}");
    }
}
