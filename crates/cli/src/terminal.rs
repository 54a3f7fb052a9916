//! What goes wrong, told so that it can be read.

use std::io::{self, IsTerminal, Write};

/// Columns that every terminal has.
const COLUMNS: usize = 80;

/// Says on standard error what went wrong with this program. On a terminal lines are broken between words; what a program reads, or a
/// log keeps, stays in the lines it has.
pub(super) fn complain(program: &str, text: &str) {
    let text = format!("{program}: {text}");
    if io::stderr().is_terminal() { note(&wrapped(&text, COLUMNS)) } else { note(&text) }
}

/// A line on standard error. Where none can be written (a full disk, a terminal that is gone) nobody could be told of it:
/// `eprintln!` would panic.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The text in lines of at most `columns` columns. Text in backticks is to be copied, so it stays on one line with what
/// it leans on; a word longer than a line has a line of its own.
fn wrapped(text: &str, columns: usize) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut current = String::new();
        for word in words(line) {
            let is_first = current.trim().is_empty();
            if !is_first && current.chars().count() + 1 + word.chars().count() > columns {
                lines.push(std::mem::replace(&mut current, "  ".to_owned()));
            } else if !is_first {
                current.push(' ');
            }
            current.push_str(word);
        }
        lines.push(current);
    }
    lines.join("\n")
}

/// The words of a line; a space between backticks parts nothing.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    line.split(move |c| {
        is_quoted ^= c == '`';
        c == ' ' && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_broken_between_words() {
        let text = "the first line is short\nmode is production, but secret_key is not set. Make one with `openssl rand -base64 48`.";
        assert_eq!(
            wrapped(text, 50),
            "the first line is short\n\
             mode is production, but secret_key is not set.\n\
             \x20 Make one with `openssl rand -base64 48`."
        );
        assert_eq!(wrapped("as  it   stands", 80), "as  it   stands");
        assert_eq!(wrapped("", 80), "");
    }

    #[test]
    fn what_is_copied_stays_whole() {
        let wide = format!("name it /{} or run `mainstay serve --listen 127.0.0.1:0`, then go on", "x".repeat(40));
        let lines = wrapped(&wide, 30);
        assert_eq!(lines.lines().count(), 5, "{lines}");
        assert!(lines.contains(" `mainstay serve --listen 127.0.0.1:0`,\n"), "{lines}");
        assert_eq!(lines.split_whitespace().collect::<Vec<_>>(), wide.split_whitespace().collect::<Vec<_>>());
    }
}
