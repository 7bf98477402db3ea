//! What a Markdown document shows to be typed, and what it says comes back.
//!
//! A `console` block shows commands after `$ ` and their output; a `sh` block shows commands alone. Any other
//! block shows none, and is refused if it does. A block is left out only below a line `<!-- not run: REASON -->`,
//! and only if it runs `cargo`.

/// A command, where it stands, and what is shown to come back.
#[derive(Debug)]
pub(super) struct Step {
    /// The document's line, from 1.
    pub(super) line: usize,
    /// The heading it stands under.
    pub(super) section: String,
    pub(super) command: String,
    /// The lines of output; `None` where the document shows none.
    pub(super) shown: Option<Vec<String>>,
    /// Whether the document goes on to show the exit code.
    pub(super) failure: Failure,
}

/// What a command's failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The document is wrong.
    Unexpected,
    /// `echo $?` comes next, and its output is compared.
    Shown,
}

/// The commands of a document, in order.
pub(super) fn steps(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut section = String::new();
    let mut above = "";
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let body: Vec<_> = lines.by_ref().take_while(|(_, line)| *line != "```").collect();
            if text.lines().nth(at + body.len() + 1) != Some("```") {
                return Err(format!("{}: the block does not end", at + 1));
            }
            let mut found = block(language, above, &body).map_err(|why| format!("{}: {why}", at + 1))?;
            found.iter_mut().for_each(|step| step.section.clone_from(&section));
            steps.append(&mut found);
        } else if line.trim_start().starts_with("```") {
            return Err(format!("{}: a block must begin in the first column", at + 1));
        } else if line.starts_with('#') {
            section = line.trim_start_matches('#').trim().to_owned();
        }
        if !line.trim().is_empty() {
            above = line;
        }
    }
    Ok(steps)
}

type Line<'a> = (usize, &'a str);

fn block(language: &str, above: &str, body: &[Line<'_>]) -> Result<Vec<Step>, String> {
    if let Some(reason) = above.strip_prefix("<!-- not run:") {
        return left_out(reason, body).map(|()| Vec::new());
    }
    let mut steps = match language {
        "console" => console(body)?,
        "sh" => script(body),
        "yaml" | "json" | "text" if body.iter().any(|(_, line)| line.starts_with("$ ")) => {
            return Err(format!("a `{language}` block shows a command: use `console` or `sh`"));
        }
        "yaml" | "json" | "text" => Vec::new(),
        other => return Err(format!("blocks are `console`, `sh`, `yaml`, `json` or `text`, not `{other}`")),
    };
    for at in 1..steps.len() {
        if steps[at].command == "echo $?" {
            steps[at - 1].failure = Failure::Shown;
        }
    }
    Ok(steps)
}

fn left_out(reason: &str, body: &[Line<'_>]) -> Result<(), String> {
    if reason.trim().trim_end_matches("-->").trim().is_empty() {
        return Err("`not run:` needs a reason".to_owned());
    }
    match body.iter().find(|(_, line)| !line.starts_with("cargo ")) {
        Some((_, line)) => Err(format!("only `cargo` may be left out, not `{line}`")),
        None => Ok(()),
    }
}

fn console(body: &[Line<'_>]) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = body.iter();
    while let Some((at, line)) = lines.next() {
        if let Some(command) = line.strip_prefix("$ ") {
            let rest = lines.by_ref().map(|(_, line)| line.strip_prefix('>').map_or(*line, unindented));
            steps.push(Step { shown: Some(Vec::new()), ..step(*at, whole(command, rest)) });
        } else {
            let shown = steps.last_mut().and_then(|step| step.shown.as_mut());
            shown.ok_or("a `console` block begins with `$ `")?.push((*line).to_owned());
        }
    }
    Ok(steps)
}

/// A line of a command after the shell's second prompt.
fn unindented(line: &str) -> &str {
    line.strip_prefix(' ').unwrap_or(line)
}

fn script(body: &[Line<'_>]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = body.iter();
    while let Some((at, line)) = lines.next() {
        if !line.trim().is_empty() && !line.starts_with('#') {
            steps.push(step(*at, whole(line, lines.by_ref().map(|(_, line)| *line))));
        }
    }
    steps
}

fn step(at: usize, command: String) -> Step {
    Step { line: at + 1, section: String::new(), command, shown: None, failure: Failure::Unexpected }
}

/// A command with the lines that belong to it: after `\`, and up to the end of a here-document called `EOF`.
fn whole<'a>(first: &str, mut rest: impl Iterator<Item = &'a str>) -> String {
    let mut command = first.to_owned();
    let until_eof = first.contains("<<'EOF'") || first.contains("<<EOF");
    let mut last = first;
    while if until_eof { last != "EOF" } else { last.ends_with('\\') } {
        let Some(line) = rest.next() else { break };
        command.push('\n');
        command.push_str(line);
        last = line;
    }
    command
}
