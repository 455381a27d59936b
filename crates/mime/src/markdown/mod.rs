//! Bodies as Markdown for readers who pay for every character: what a person sees of a message, and nothing else.
//!
//! The document is sanitised first, so that what is walked here is well formed and bounded; then [`tree`] keeps what is
//! visible, [`blocks`] tells layout from content, and [`write`] writes it down. Line breaks inside of a paragraph are plain
//! line ends. Total like everything that reads strangers' bytes; time and output are linear in the input.

mod blocks;
mod inline;
mod links;
mod redirect;
mod style;
mod tree;
mod write;

use crate::sanitize_html;

/// Whether these declarations keep an element out of sight.
pub(crate) fn hides(declarations: &str) -> bool {
    style::visibility(declarations).hidden
}

/// An HTML body as Markdown: visible content only, without tracking images and tracking parameters. Possibly empty.
#[must_use]
pub fn html_to_markdown(html: &str) -> String {
    let tree = tree::Tree::parse(&sanitize_html(html));
    write::write(&blocks::blocks(&tree))
}

/// The words that a person sees of an HTML body, for searching: no marks, no targets of links; blocks and cells are lines.
#[must_use]
pub fn html_to_visible_text(html: &str) -> String {
    let tree = tree::Tree::parse(&sanitize_html(html));
    let mut out = String::new();
    if let Some(root) = tree.root() {
        visible(&tree, root, &mut out);
    }
    out.truncate(out.trim_end().len());
    out
}

fn visible(tree: &tree::Tree, node: &tree::Node, out: &mut String) {
    let apart = node.is_block() || matches!(node.name.as_str(), "br" | "td" | "th");
    if apart && !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    out.push_str(&node.text);
    for child in tree.children(node) {
        visible(tree, child, out);
    }
    if apart && !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
}

/// A text body as Markdown: the lines as they stand, as people write them for reading; only superfluous white space goes.
#[must_use]
pub fn text_to_markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = false;
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() {
            blank = !out.is_empty();
            continue;
        }
        if blank {
            out.push('\n');
            blank = false;
        }
        out.push_str(line);
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests;
