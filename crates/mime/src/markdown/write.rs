//! Blocks as lines.

use super::blocks::Block;

/// The whole document without a line end behind it.
pub(super) fn write(blocks: &[Block]) -> String {
    let mut out = Vec::new();
    lines(blocks, &mut out);
    let mut text = out.join("\n");
    text.truncate(text.trim_end().len());
    text
}

/// Appends blocks with an empty line between two of them.
fn lines(blocks: &[Block], out: &mut Vec<String>) {
    for (n, block) in blocks.iter().enumerate() {
        if n > 0 {
            out.push(String::new());
        }
        match block {
            Block::Paragraph(text) => out.extend(text.lines().map(safe_start)),
            Block::Heading(level, text) => out.push(format!("{} {text}", "#".repeat(*level))),
            Block::List { start, items } => list(*start, items, out),
            Block::Quote(inner) => {
                let mut quoted = Vec::new();
                lines(inner, &mut quoted);
                out.extend(quoted.iter().map(|line| format!("> {line}").trim_end().to_owned()));
            }
            Block::Code(text) => {
                let mut fence = "```".to_owned();
                while text.contains(&fence) && fence.len() < 16 {
                    fence.push('`');
                }
                out.push(fence.clone());
                out.extend(text.lines().map(str::to_owned));
                out.push(fence);
            }
            Block::Table(rows) => table(rows, out),
            Block::Rule => out.push("---".to_owned()),
        }
    }
}

fn list(start: Option<usize>, items: &[Vec<Block>], out: &mut Vec<String>) {
    for (n, item) in items.iter().enumerate() {
        let mark = start.map_or_else(|| "- ".to_owned(), |first| format!("{}. ", first + n));
        let indent = " ".repeat(mark.len());
        let mut inner = Vec::new();
        lines(item, &mut inner);
        // Items stay close together: a nested list follows its text at once.
        if let [Block::Paragraph(text), Block::List { .. }] = item.as_slice() {
            inner.remove(text.lines().count());
        }
        for (n, line) in inner.iter().enumerate() {
            let lead = if n == 0 { &mark } else { &indent };
            out.push(if line.is_empty() { String::new() } else { format!("{lead}{line}") });
        }
    }
}

fn table(rows: &[Vec<String>], out: &mut Vec<String>) {
    for (n, row) in rows.iter().enumerate() {
        out.push(format!("| {} |", row.join(" | ")));
        if n == 0 {
            out.push(format!("|{}", " --- |".repeat(row.len())));
        }
    }
}

/// A line of a paragraph that would begin another block gets an escape.
fn safe_start(line: &str) -> String {
    let spaced = |rest: &str| rest.is_empty() || rest.starts_with(' ');
    let hashes = line.trim_start_matches('#');
    let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = line.len() - digits.len();
    if (1..=9).contains(&number) && digits.strip_prefix(['.', ')']).is_some_and(spaced) {
        let (head, tail) = line.split_at(number);
        return format!("{head}\\{tail}");
    }
    let ruled = !line.is_empty() && (line.chars().all(|c| c == '-') || line.chars().all(|c| c == '='));
    let special = hashes.len() < line.len() && line.len() - hashes.len() <= 6 && spaced(hashes)
        || line.strip_prefix(['-', '+', '*']).is_some_and(spaced)
        || line.starts_with('>')
        || line.starts_with("~~~")
        || ruled;
    if special { format!("\\{line}") } else { line.to_owned() }
}
