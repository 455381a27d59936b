//! The blocks of a document: paragraphs, headings, lists, quotes, code, tables. Tables that only arrange become plain
//! paragraphs.

use super::inline::{self, Mode};
use super::tree::{Node, Tree};

/// Lists and quotes nested deeper are not indented any more: each level repeats its mark on every line.
const NESTING_MAX: usize = 12;
/// A table with more columns is no table to read.
const COLUMNS_MAX: usize = 24;
/// A line of so many equal strokes is a rule.
const DRAWN_RULE_MIN_CHARS: usize = 8;
/// Longer cells are paragraphs.
const CELL_MAX_CHARS: usize = 300;

/// A block with its text in Markdown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    Paragraph(String),
    Heading(usize, String),
    List {
        start: Option<usize>,
        items: Vec<Vec<Block>>,
    },
    Quote(Vec<Block>),
    Code(String),
    /// The first row is the head.
    Table(Vec<Vec<String>>),
    Rule,
}

/// What blocks are collected into: finished ones, and the paragraph under way.
#[derive(Debug, Default)]
struct Page {
    done: Vec<Block>,
    run: String,
    nesting: usize,
}

impl Page {
    fn within(&self) -> Self {
        Self { nesting: self.nesting + 1, ..Self::default() }
    }

    /// Ends the paragraph; empty lines in it part it.
    fn flush(&mut self) {
        let run = std::mem::take(&mut self.run);
        for part in run.split("\n\n") {
            let lines: Vec<&str> = part.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            match lines.as_slice() {
                [] => {}
                [line] if is_drawn_rule(line) => self.rule(),
                _ => self.done.push(Block::Paragraph(lines.join("\n"))),
            }
        }
    }

    /// A rule between two blocks, not above the first and not twice.
    fn rule(&mut self) {
        if !matches!(self.done.last(), None | Some(Block::Rule)) {
            self.done.push(Block::Rule);
        }
    }

    fn finish(mut self) -> Vec<Block> {
        self.flush();
        self.done
    }
}

/// A rule made of characters, as meeting invitations and old newsletters have.
fn is_drawn_rule(line: &str) -> bool {
    let drawn = line.chars().filter(|&c| c != '\\').count();
    let mark = line.chars().find(|&c| c != '\\');
    drawn >= DRAWN_RULE_MIN_CHARS
        && mark.is_some_and(|mark| {
            matches!(mark, '_' | '-' | '=' | '*' | '~' | '–' | '—' | '─' | '━')
                && line.chars().all(|c| c == mark || c == '\\')
        })
}

/// The blocks of a whole document.
pub(super) fn blocks(tree: &Tree) -> Vec<Block> {
    let mut page = Page::default();
    if let Some(root) = tree.root() {
        children(tree, root, &mut page);
    }
    page.finish()
}

fn children(tree: &Tree, node: &Node, page: &mut Page) {
    for child in tree.children(node) {
        walk(tree, child, page);
    }
}

fn walk(tree: &Tree, node: &Node, page: &mut Page) {
    if !node.has_block {
        inline::write(tree, node, Mode::default(), &mut page.run);
        return;
    }
    match node.name.as_str() {
        // A whole card that is a link, unless the card holds a table.
        "a" if !node.has_table => inline::write(tree, node, Mode::default(), &mut page.run),
        "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => heading(tree, node, page),
        "ul" | "ol" | "dir" => list(tree, node, page),
        "blockquote" => quote(tree, node, page),
        "pre" => preformatted(tree, node, page),
        "table" => table(tree, node, page),
        "hr" => {
            page.flush();
            page.rule();
        }
        _ if node.is_block() => {
            page.flush();
            children(tree, node, page);
            page.flush();
        }
        _ => children(tree, node, page),
    }
}

fn one_line(tree: &Tree, node: &Node, mode: Mode) -> String {
    let mut run = String::new();
    inline::all(tree, node, Mode { one_line: true, ..mode }, &mut run);
    run.trim().to_owned()
}

fn heading(tree: &Tree, node: &Node, page: &mut Page) {
    page.flush();
    let level = node.name.trim_start_matches('h').parse().unwrap_or(1);
    let text = one_line(tree, node, Mode { bold: true, ..Mode::default() });
    if !text.is_empty() {
        page.done.push(Block::Heading(level, text));
    }
}

fn list(tree: &Tree, node: &Node, page: &mut Page) {
    page.flush();
    if page.nesting >= NESTING_MAX {
        children(tree, node, page);
        page.flush();
        return;
    }
    let mut items: Vec<Vec<Block>> = Vec::new();
    for child in tree.children(node) {
        let mut item = page.within();
        if child.name == "li" {
            children(tree, child, &mut item);
        } else {
            walk(tree, child, &mut item);
        }
        let mut item = item.finish();
        // A list directly in a list belongs to the item above.
        match items.last_mut().filter(|_| child.name != "li") {
            Some(above) => above.append(&mut item),
            None if !item.is_empty() => items.push(item),
            None => {}
        }
    }
    if !items.is_empty() {
        let start = node.attribute("start").and_then(|start| start.parse().ok()).unwrap_or(1_usize);
        page.done.push(Block::List { start: (node.name == "ol").then_some(start.min(1_000_000)), items });
    }
}

fn quote(tree: &Tree, node: &Node, page: &mut Page) {
    page.flush();
    if page.nesting >= NESTING_MAX {
        children(tree, node, page);
        page.flush();
        return;
    }
    let mut inner = page.within();
    children(tree, node, &mut inner);
    let inner = inner.finish();
    if !inner.is_empty() {
        page.done.push(Block::Quote(inner));
    }
}

fn preformatted(tree: &Tree, node: &Node, page: &mut Page) {
    page.flush();
    let mut text = String::new();
    inline::plain(tree, node, &mut text);
    let text: Vec<&str> = text.lines().map(str::trim_end).collect();
    let text = text.join("\n");
    let text = text.trim_matches('\n');
    if !text.trim().is_empty() {
        page.done.push(Block::Code(text.to_owned()));
    }
}

/// The rows of a table, whatever sections they stand in.
fn rows<'a>(tree: &'a Tree, table: &'a Node) -> Vec<&'a Node> {
    let mut rows = Vec::new();
    for child in tree.children(table) {
        match child.name.as_str() {
            "tr" => rows.push(child),
            "tbody" | "thead" | "tfoot" => rows.extend(tree.children(child).filter(|row| row.name == "tr")),
            _ => {}
        }
    }
    rows
}

fn is_cell(node: &Node) -> bool {
    matches!(node.name.as_str(), "td" | "th")
}

fn table(tree: &Tree, node: &Node, page: &mut Page) {
    page.flush();
    let rows = rows(tree, node);
    for child in tree.children(node).filter(|child| child.name == "caption") {
        walk(tree, child, page);
    }
    if let Some(cells) = data(tree, node, &rows) {
        page.done.push(Block::Table(cells));
        return;
    }
    for row in rows {
        layout_row(tree, row, page);
    }
    page.flush();
}

/// A row that only arranges: short cells make one line, others stand below each other.
fn layout_row(tree: &Tree, row: &Node, page: &mut Page) {
    let cells: Vec<&Node> = tree.children(row).filter(|cell| is_cell(cell)).collect();
    let simple =
        cells.len() > 1 && cells.iter().all(|cell| tree.children(cell).all(|inner| !inner.has_block));
    if simple {
        let texts: Vec<String> = cells
            .iter()
            .map(|cell| one_line(tree, cell, Mode::default()))
            .filter(|text| !text.is_empty())
            .collect();
        if !texts.is_empty() {
            page.run.push_str(&texts.join(" "));
            page.run.push('\n');
        }
        return;
    }
    page.flush();
    for cell in cells {
        children(tree, cell, page);
        page.flush();
    }
}

/// The cells of a table that holds data: rows of short cells in columns, with a head, or not declared to be mere layout.
fn data(tree: &Tree, table: &Node, rows: &[&Node]) -> Option<Vec<Vec<String>>> {
    if table.has_table {
        return None;
    }
    let headed = rows.iter().any(|row| tree.children(row).any(|cell| cell.name == "th"));
    let layout = matches!(table.attribute("role"), Some("presentation" | "none"));
    if layout && !headed {
        return None;
    }
    let mut grid = Vec::new();
    for row in rows {
        let mut cells: Vec<String> = Vec::new();
        for cell in tree.children(row).filter(|cell| is_cell(cell)) {
            let head = cell.name == "th";
            let text = one_line(tree, cell, Mode { cell: true, bold: head, ..Mode::default() });
            if text.chars().count() > CELL_MAX_CHARS {
                return None;
            }
            cells.push(text);
            let span = cell.attribute("colspan").and_then(|span| span.parse::<usize>().ok()).unwrap_or(1);
            for _ in 1..span.min(COLUMNS_MAX) {
                cells.push(String::new());
            }
            if cells.len() > COLUMNS_MAX {
                return None;
            }
        }
        if cells.iter().any(|cell| !cell.is_empty()) {
            grid.push(cells);
        }
    }
    let width = grid.iter().map(Vec::len).max().unwrap_or(0);
    let used: Vec<usize> = (0..width)
        .filter(|&n| grid.iter().any(|row| row.get(n).is_some_and(|cell| !cell.is_empty())))
        .collect();
    // Mostly single cells are paragraphs one below the other.
    let filled = grid.iter().filter(|row| row.iter().filter(|cell| !cell.is_empty()).count() > 1).count();
    if grid.len() < 2 || used.len() < 2 || filled * 2 <= grid.len() {
        return None;
    }
    let mut cells: Vec<Vec<String>> = grid
        .iter()
        .map(|row| used.iter().map(|&n| row.get(n).cloned().unwrap_or_default()).collect())
        .collect();
    let first_is_head = rows.first().is_some_and(|row| tree.children(row).any(|cell| cell.name == "th"));
    if !first_is_head && !take_bold_head(&mut cells) {
        cells.insert(0, vec![String::new(); used.len()]);
    }
    Some(cells)
}

/// Word processors and old templates write heads as bold cells: a first row that is all bold, above rows that are not.
fn take_bold_head(cells: &mut [Vec<String>]) -> bool {
    let bold = |cell: &String| {
        cell.strip_prefix("**")
            .and_then(|rest| rest.strip_suffix("**"))
            .is_some_and(|text| !text.contains("**"))
    };
    let Some((head, rows)) = cells.split_first_mut() else { return false };
    let all = |row: &[String]| row.iter().all(|cell| cell.is_empty() || bold(cell));
    if !all(head) || rows.iter().any(|row| all(row)) {
        return false;
    }
    for cell in head {
        *cell = cell.trim_matches('*').to_owned();
    }
    true
}
