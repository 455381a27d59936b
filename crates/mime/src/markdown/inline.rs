//! Runs of text: white space collapsed, emphasis, code, links, alternative texts.

use super::links;
use super::tree::{Node, Tree};

/// How a run is written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mode {
    /// Line breaks and blocks become spaces (headings, cells, texts of links).
    pub(super) one_line: bool,
    /// Already bold, or bold by itself.
    pub(super) bold: bool,
    pub(super) italic: bool,
    /// Brackets would end the text of the link.
    pub(super) link: bool,
    /// A bar would end the cell.
    pub(super) cell: bool,
}

/// Appends what a node says.
pub(super) fn write(tree: &Tree, node: &Node, mode: Mode, out: &mut String) {
    match node.name.as_str() {
        "" => text(&node.text, mode, out),
        "br" if mode.one_line => space(out),
        "br" => line(out),
        "img" => text(node.attribute("alt").unwrap_or_default(), mode, out),
        "b" | "strong" if !mode.bold => marked(tree, node, "**", Mode { bold: true, ..mode }, out),
        "i" | "em" | "cite" if !mode.italic => marked(tree, node, "*", Mode { italic: true, ..mode }, out),
        "s" | "strike" | "del" => marked(tree, node, "~~", mode, out),
        "code" | "tt" | "kbd" | "samp" => code(tree, node, mode, out),
        "a" if !mode.link => link(tree, node, mode, out),
        _ => {
            let apart = node.is_block();
            if apart {
                space(out);
            }
            all(tree, node, mode, out);
            if apart {
                space(out);
            }
        }
    }
}

pub(super) fn all(tree: &Tree, node: &Node, mode: Mode, out: &mut String) {
    for child in tree.children(node) {
        write(tree, child, mode, out);
    }
}

/// One space, unless a line begins here or one is there.
fn space(out: &mut String) {
    if !out.is_empty() && !out.ends_with([' ', '\n']) {
        out.push(' ');
    }
}

fn line(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
}

/// Characters that fill a preview or mark where a word may break.
fn is_filler(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// Text with Markdown's own characters escaped where they would mean something.
fn text(raw: &str, mode: Mode, out: &mut String) {
    let mut rest = raw.chars().filter(|&c| !is_filler(c)).peekable();
    while let Some(c) = rest.next() {
        if c.is_whitespace() {
            space(out);
            continue;
        }
        if c.is_control() {
            continue;
        }
        let before = out.chars().next_back().filter(|c| !c.is_whitespace());
        let after = rest.peek().copied().filter(|c| !c.is_whitespace());
        // Joiners belong between letters; alone they are filler.
        if matches!(c, '\u{200c}' | '\u{200d}' | '\u{200e}' | '\u{200f}')
            && (before.is_none() || after.is_none())
        {
            continue;
        }
        let within_word =
            before.is_some_and(char::is_alphanumeric) && after.is_some_and(char::is_alphanumeric);
        let special = match c {
            '`' => true,
            '\\' => after.is_some_and(|c| c.is_ascii_punctuation()),
            '*' => before.is_some() || after.is_some(),
            '_' => (before.is_some() || after.is_some()) && !within_word,
            '[' | ']' if mode.link => true,
            ']' => after == Some('('),
            '<' => after.is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?')),
            '|' => mode.cell,
            _ => false,
        };
        if special {
            out.push('\\');
        }
        out.push(c);
    }
}

/// Puts marks around what a node says, white space outside of them.
fn marked(tree: &Tree, node: &Node, mark: &str, mode: Mode, out: &mut String) {
    let mut inner = String::new();
    all(tree, node, mode, &mut inner);
    let core = inner.trim();
    if core.is_empty() || core.contains('\n') {
        append(&inner, out);
        return;
    }
    if opens_with_space(tree, node) {
        space(out);
    }
    // Marks that touch others or stand in a word would not be read as such.
    if out.ends_with('*') || out.chars().next_back().is_some_and(char::is_alphanumeric) {
        append(&inner, out);
        return;
    }
    out.push_str(mark);
    out.push_str(core);
    out.push_str(mark);
    if inner.ends_with([' ', '\n']) {
        space(out);
    }
}

/// Whether the first thing in a node is white space, which a run of its own swallows.
fn opens_with_space(tree: &Tree, node: &Node) -> bool {
    let mut at = node;
    loop {
        if at.name.is_empty() {
            return at.text.starts_with(char::is_whitespace);
        }
        let Some(first) = tree.children(at).next() else { return at.is_block() };
        at = first;
    }
}

fn append(inner: &str, out: &mut String) {
    let inner =
        if out.is_empty() || out.ends_with([' ', '\n']) { inner.trim_start_matches(' ') } else { inner };
    out.push_str(inner);
}

/// The text of a node as it stands.
pub(super) fn plain(tree: &Tree, node: &Node, out: &mut String) {
    match node.name.as_str() {
        "" => out.push_str(&node.text),
        "br" => out.push('\n'),
        _ => {
            for child in tree.children(node) {
                plain(tree, child, out);
            }
        }
    }
}

fn code(tree: &Tree, node: &Node, mode: Mode, out: &mut String) {
    let mut inner = String::new();
    plain(tree, node, &mut inner);
    let inner = inner.split_whitespace().collect::<Vec<_>>().join(" ");
    if inner.is_empty() || inner.contains('`') || mode.cell && inner.contains('|') {
        all(tree, node, mode, out);
        return;
    }
    out.push('`');
    out.push_str(&inner);
    out.push('`');
}

fn link(tree: &Tree, node: &Node, mode: Mode, out: &mut String) {
    let mut inner = String::new();
    all(tree, node, Mode { one_line: true, link: true, ..mode }, &mut inner);
    let core = inner.trim();
    if core.is_empty() {
        if !inner.is_empty() {
            space(out);
        }
        return;
    }
    if opens_with_space(tree, node) {
        space(out);
    }
    match &node.address {
        Some(address) if !links::says_itself(core, address) => {
            out.push('[');
            out.push_str(core);
            out.push_str("](");
            out.push_str(&if mode.cell { address.replace('|', "%7C") } else { address.clone() });
            out.push(')');
        }
        Some(_) | None => out.push_str(core),
    }
    if inner.ends_with(' ') {
        space(out);
    }
}
