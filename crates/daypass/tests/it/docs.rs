//! Every command that a document shows, run for real, and its output compared with what is shown.
//!
//! Not here: how a document is read (`document`), what may differ from run to run (`alike`).

mod alike;
mod document;
mod shell;

use std::fs;
use std::path::{Path, PathBuf};

use access::Clock as _;
use daypass::node::clock::SystemClock;
use document::{Step, steps};
use shell::Shell;

/// The section of `docs/start.md` that a first-time user follows.
const FIRST_PATH: &str = "From the binary to the first recorded refusal";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The Markdown files of a directory, and of those below it.
fn documents(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            match path.extension() {
                _ if path.is_dir() => left.push(path),
                Some(extension) if extension == "md" => found.push(path),
                _ => {}
            }
        }
    }
    found
}

/// Runs a document's commands; gives how many, or the first that is not as shown.
fn run(text: &str) -> Result<usize, String> {
    let steps = steps(text)?;
    let mut shell = Shell::start();
    for step in &steps {
        run_one(&mut shell, step)?;
    }
    Ok(steps.len())
}

fn run_one(shell: &mut Shell, step: &Step) -> Result<Vec<String>, String> {
    shell.run(step).map_err(|why| format!("{}: `{}`\n{why}", step.line, step.command))
}

fn check(path: &Path) -> usize {
    run(&fs::read_to_string(path).unwrap()).unwrap_or_else(|why| panic!("{}:{why}", path.display()))
}

#[test]
fn every_command_of_the_readme_answers_as_shown() {
    let ran = check(&root().join("README.md"));
    assert!(ran >= 8, "{ran} commands are no example");
}

#[test]
fn every_command_of_the_documents_answers_as_shown() {
    let documents = documents(&root().join("docs"));
    assert!(documents.iter().any(|path| path.ends_with("docs/start.md")));
    for path in documents {
        check(&path);
    }
}

#[test]
fn the_other_documents_at_the_root_show_no_command_that_is_not_run() {
    for name in ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"] {
        check(&root().join(name));
    }
}

#[test]
fn every_link_to_a_file_leads_somewhere() {
    let mut documents = documents(&root().join("docs"));
    documents.push(root().join("README.md"));
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            let there = target.contains("://") || document.parent().unwrap().join(file).exists();
            assert!(there, "{}: there is no `{target}`", document.display());
        }
    }
}

#[test]
fn the_first_recorded_refusal_takes_at_most_four_commands_and_a_minute() {
    let text = fs::read_to_string(root().join("docs/start.md")).unwrap();
    let mut steps = steps(&text).unwrap();
    let begin = steps.iter().position(|step| step.section == FIRST_PATH).unwrap();
    let mut path = steps.split_off(begin);
    path.retain(|step| step.section == FIRST_PATH);
    assert!(path.len() <= 4, "{} commands", path.len());
    let mut shell = Shell::start();
    for step in &steps {
        run_one(&mut shell, step).unwrap();
    }
    let clock = SystemClock::start();
    let begun = clock.now();
    let said: Vec<_> = path.iter().map(|step| run_one(&mut shell, step).unwrap()).collect();
    let took_ms = (clock.now().as_micros() - begun.as_micros()) / 1_000;
    println!("from `daypass init` to the first recorded refusal: {} commands, {took_ms} ms", path.len());
    let row = said.last().and_then(|lines| lines.last()).unwrap();
    assert!(row.contains(" refuse ") && row.contains(" credential_missing "), "{row}");
    assert!(took_ms < 60_000, "{took_ms} ms");
}

/// What is wrong with a document that consists of one block.
fn wrong(document: &str) -> String {
    run(document).expect_err("this document is wrong")
}

#[test]
fn a_document_whose_command_fails_is_wrong() {
    assert!(wrong("```sh\ntrue\nfalse\n```").starts_with("3: `false`\nexit code 1"));
    assert!(wrong("```console\n$ no-such-command\n```").contains("exit code 127"));
    assert!(wrong("```console\n$ echo 'open\n```").contains("exit code"));
    assert!(wrong("```console\n$ exit\n```").contains("the shell has ended"));
    assert_eq!(run("```console\n$ (exit 5)\n$ echo $?\n5\n```"), Ok(2));
    assert!(wrong("```console\n$ (exit 5)\n$ echo $?\n4\n```").contains("shown: 4\n said: 5"));
}

#[test]
fn a_document_that_shows_other_output_is_wrong() {
    assert_eq!(run("```console\n$ echo one; echo two\none\ntwo\n```"), Ok(1));
    assert!(wrong("```console\n$ echo one; echo two\none\n```").contains("said and not shown: two"));
    assert!(wrong("```console\n$ echo one\ntwo\n```").contains("shown: two\n said: one"));
    assert!(wrong("```console\n$ echo 2 ms\n1 s\n```").contains("said: 2 ms"));
    assert_eq!(run("```console\n$ echo 2 ms\n17 ms\n```"), Ok(1));
    assert_eq!(run("```console\n$ echo '{\"a\":1,\"b\":2}'\n{\"a\": 1,\n \"b\": 2}\n```"), Ok(1));
    assert!(wrong("```console\n$ echo '{\"a\":1}'\n{\"a\": 2}\n```").contains("said: {\"a\":1}"));
}

#[test]
fn an_id_stands_for_one_thing_and_can_be_typed_again() {
    let (shown, said) = ("key_01M80H6G8QNWHJ561AVBJKEQDH", "key_01M80HANDWC3EPSRE5SRVNBBP4");
    let document = |again: &str| {
        format!(
            "```console\n$ ID={said}; echo $ID\n{shown}\n$ test {shown} = $ID\n$ echo {again}\n{shown}\n```"
        )
    };
    assert_eq!(run(&document("$ID")), Ok(3));
    assert!(wrong(&document("key_01M80HANFJDA8Y56RWF25ZKJSA")).starts_with("5: "));
}

#[test]
fn no_command_escapes_the_runner() {
    assert!(wrong("```\n$ true\n```").contains("not ``"));
    assert!(wrong("```bash\ntrue\n```").contains("not `bash`"));
    assert!(wrong("```text\n$ true\n```").contains("shows a command"));
    assert!(wrong("- this:\n  ```sh\n  true\n  ```").contains("first column"));
    assert!(wrong("```sh\ntrue").contains("does not end"));
    assert!(wrong("<!-- not run: -->\n```sh\ncargo xtask test\n```").contains("needs a reason"));
    assert!(wrong("<!-- not run: slow -->\n```sh\ndaypass serve\n```").contains("only `cargo`"));
    assert_eq!(run("<!-- not run: it is this test -->\n```sh\ncargo xtask test\n```"), Ok(0));
}
