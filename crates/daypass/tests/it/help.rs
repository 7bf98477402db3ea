//! What `--help`, completions and manual pages say, for every verb.

use std::fs;
use std::process::Command;

use expect_test::expect_file;
use tempfile::TempDir;

use crate::cli::daypass;

/// Every command, each with the words that lead to it.
fn commands(command: &clap::Command, words: &[String], found: &mut Vec<Vec<String>>) {
    found.push(words.to_vec());
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let words: Vec<_> = words.iter().cloned().chain([verb.get_name().to_owned()]).collect();
        commands(verb, &words, found);
    }
}

#[test]
fn every_verb_explains_itself_and_ends_with_examples() {
    let mut found = Vec::new();
    commands(&::daypass::cli::command(), &[], &mut found);
    assert!(found.len() > 25, "{} commands", found.len());
    for words in found {
        let output = Command::new(env!("CARGO_BIN_EXE_daypass"))
            .args(&words)
            .arg("--help")
            .env("NO_COLOR", "1")
            .env("DAYPASS_URL", "http://not-shown.example")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let name = if words.is_empty() { "daypass".to_owned() } else { words.join("-") };
        assert_eq!(output.status.code(), Some(0), "{name}");
        let examples = text.split_once("\nExamples:\n").expect("examples").1;
        let shown = format!("daypass {}", words.first().map_or("", String::as_str));
        assert!(examples.contains(shown.trim()), "{name}");
        let file = format!("./help/{name}.txt");
        expect_file![file].assert_eq(&text);
    }
}

#[test]
fn completions_and_manual_pages_cover_every_verb() {
    let directory = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = daypass(directory.path(), &["completions", shell]);
        assert!(String::from_utf8(output.stdout).unwrap().contains("revoke"), "{shell}");
    }
    assert!(daypass(directory.path(), &["man", "."]).status.success());
    let pages = fs::read_dir(directory.path()).unwrap().count();
    assert!(pages > 25, "{pages} pages");
    assert_eq!(daypass(directory.path(), &["man", "missing"]).status.code(), Some(1));
}
