//! Where code stands in text: between runs of backticks of the same length.

use std::{collections::HashMap, ops::Range};

use super::work;

/// A run this long opens a block, which may go over lines; a shorter one must
/// be closed on its line.
const BLOCK: usize = 3;

/// The code in mrkdwn or Markdown, its backticks included, in order. A run that
/// is never closed is text, and so is a single backtick behind a backslash,
/// where `escapes` says that this is an escape. Linear, whatever the runs are.
pub fn code_ranges(text: &str, escapes: bool) -> Vec<Range<usize>> {
    let runs = runs(text.as_bytes());
    // From the end, so that the nearest run of a length is always the one known.
    let mut nearest = HashMap::new();
    let mut closers = vec![None; runs.len()];
    for (index, run) in runs.iter().enumerate().rev() {
        let line = if run.ticks() >= BLOCK { 0 } else { run.line };
        closers[index] = nearest.insert((run.ticks(), line), index);
    }
    let mut ranges = Vec::new();
    let mut index = 0;
    while let Some(run) = runs.get(index) {
        let escaped = escapes && run.ticks() == 1 && is_escaped(&text[..run.range.start]);
        match closers[index].filter(|_| !escaped) {
            Some(closer) => {
                ranges.push(run.range.start..runs[closer].range.end);
                index = closer + 1;
            }
            None => index += 1,
        }
    }
    ranges
}

/// Whether a backslash stands here that is not escaped itself.
fn is_escaped(before: &str) -> bool {
    let backslashes = before.bytes().rev().take_while(|byte| *byte == b'\\').count();
    work::did(backslashes);
    backslashes % 2 == 1
}

struct Run {
    range: Range<usize>,
    line: usize,
}

impl Run {
    fn ticks(&self) -> usize {
        self.range.len()
    }
}

fn runs(text: &[u8]) -> Vec<Run> {
    let (mut runs, mut line, mut at) = (Vec::new(), 0, 0);
    while let Some(next) = memchr::memchr2(b'`', b'\n', &text[at..]) {
        work::did(next + 1);
        at += next;
        if text[at] == b'\n' {
            line += 1;
            at += 1;
        } else {
            let ticks = text[at..].iter().take_while(|byte| **byte == b'`').count();
            work::did(ticks);
            runs.push(Run { range: at..at + ticks, line });
            at += ticks;
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_close_runs_of_their_length() {
        let found =
            |text: &'static str| code_ranges(text, true).into_iter().map(|range| &text[range]).collect::<Vec<_>>();
        assert_eq!(found("a `b` `` c ` d `` `e"), ["`b`", "`` c ` d ``"]);
        assert_eq!(found("`a\n`b`"), ["`b`"]);
        assert_eq!(found("```\na `b`\n``` `c`"), ["```\na `b`\n```", "`c`"]);
        assert_eq!(found("```a` b`"), ["` b`"]);
        assert_eq!(found(r"\` `a` \\`b`"), ["`a`", "`b`"]);
        assert_eq!(code_ranges(r"\`a`", false).first(), Some(&(1..4)));
        assert_eq!(found(""), Vec::<&str>::new());
    }
}
