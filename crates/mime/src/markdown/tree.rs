//! What is visible of a sanitised document, as a tree of bounded depth.

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

use super::links::Links;
use super::style::{is_pixel, visibility};

/// Elements nested deeper are taken apart: their text belongs to the deepest one that is kept. Walking is recursive, and
/// this fits the stack of any thread.
const DEPTH_MAX: usize = 128;

/// A node; its children come after it.
#[derive(Debug)]
pub(super) struct Node {
    /// Name of the element in lower case; empty for text.
    pub(super) name: String,
    /// Of text.
    pub(super) text: String,
    attributes: Vec<(String, String)>,
    pub(super) children: Vec<usize>,
    /// It or something in it is a block.
    pub(super) has_block: bool,
    /// There is a table in it, itself left out.
    pub(super) has_table: bool,
    /// It or something in it has words to show.
    says: bool,
    /// Of a link that says something: where it leads.
    pub(super) address: Option<String>,
}

impl Node {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn is_block(&self) -> bool {
        is_block(&self.name)
    }
}

#[derive(Debug)]
struct Open {
    node: usize,
    hidden: bool,
    tiny: bool,
}

#[derive(Debug, Default)]
struct Builder {
    nodes: Vec<Node>,
    open: Vec<Open>,
    /// Open elements below the deepest one kept.
    beyond: usize,
}

/// A visible document; the root is node 0.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    pub(super) fn parse(html: &str) -> Self {
        let mut builder = Builder::default();
        builder.nodes.push(node("body", Vec::new()));
        builder.open.push(Open { node: 0, hidden: false, tiny: false });
        let queue = BufferQueue::default();
        queue.push_back(StrTendril::from(html));
        let tokenizer = Tokenizer::new(Sink(RefCell::new(builder)), TokenizerOpts::default());
        // The sink never asks to stop, so that one call reads everything.
        drop(tokenizer.feed(&queue));
        tokenizer.end();
        let mut nodes = tokenizer.sink.0.into_inner().nodes;
        for index in (0..nodes.len()).rev() {
            let (mut block, mut table, mut says) = (false, false, false);
            for &child in nodes.get(index).map_or(&[][..], |node| &node.children) {
                if let Some(child) = nodes.get(child) {
                    block |= child.has_block;
                    table |= child.has_table || child.name == "table";
                    says |= child.says;
                }
            }
            if let Some(node) = nodes.get_mut(index) {
                node.has_block = block || is_block(&node.name);
                node.has_table = table;
                let own =
                    if node.name == "img" { node.attribute("alt").unwrap_or_default() } else { &node.text };
                node.says = says || !own.trim().is_empty();
            }
        }
        let mut links = Links::default();
        for node in nodes.iter_mut().filter(|node| node.name == "a" && node.says) {
            node.address = node.attribute("href").and_then(|address| links.show(address));
        }
        Self { nodes }
    }

    pub(super) fn root(&self) -> Option<&Node> {
        self.nodes.first()
    }

    pub(super) fn children<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Node> {
        node.children.iter().filter_map(|&child| self.nodes.get(child))
    }
}

fn node(name: &str, attributes: Vec<(String, String)>) -> Node {
    Node {
        name: name.to_owned(),
        text: String::new(),
        attributes,
        children: Vec::new(),
        has_block: false,
        has_table: false,
        says: false,
        address: None,
    }
}

struct Sink(RefCell<Builder>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut builder = self.0.borrow_mut();
        match token {
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => builder.start(&tag),
            Token::TagToken(tag) => builder.end(&tag.name),
            Token::CharacterTokens(text) => builder.text(&text),
            Token::DoctypeToken(_)
            | Token::CommentToken(_)
            | Token::NullCharacterToken
            | Token::EOFToken
            | Token::ParseError(_) => {}
        }
        TokenSinkResult::Continue
    }
}

impl Builder {
    fn add(&mut self, node: Node) -> usize {
        let index = self.nodes.len();
        self.nodes.push(node);
        if let Some(parent) = self.open.last().and_then(|open| self.nodes.get_mut(open.node)) {
            parent.children.push(index);
        }
        index
    }

    fn text(&mut self, text: &str) {
        let Some((parent, false)) = self.open.last().map(|open| (open.node, open.hidden || open.tiny)) else {
            return;
        };
        let last = self.nodes.get(parent).and_then(|parent| parent.children.last().copied());
        if let Some(last) = last.and_then(|last| self.nodes.get_mut(last)).filter(|last| last.name.is_empty())
        {
            last.text.push_str(text);
            return;
        }
        let index = self.add(node("", Vec::new()));
        if let Some(node) = self.nodes.get_mut(index) {
            node.text.push_str(text);
        }
    }

    fn start(&mut self, tag: &Tag) {
        let Some((hidden, tiny)) = self.open.last().map(|open| (open.hidden, open.tiny)) else { return };
        let new = node(
            &tag.name,
            tag.attrs.iter().map(|a| (a.name.local.to_string(), a.value.to_string())).collect(),
        );
        let style = new.attribute("style").unwrap_or_default();
        let seen = visibility(style);
        let pixel = &*tag.name == "img" && is_pixel(new.attribute("width"), new.attribute("height"), style);
        let hidden = hidden || seen.hidden || pixel || new.attribute("hidden").is_some();
        let void = is_void(&tag.name);
        if void && hidden {
            return;
        }
        if !void && (self.beyond > 0 || self.open.len() >= DEPTH_MAX) {
            self.beyond += 1;
            return;
        }
        let index = if hidden {
            // What is hidden keeps its place on the stack, so that its end tag finds it; nothing leads to its node.
            self.nodes.push(new);
            self.nodes.len() - 1
        } else {
            self.add(new)
        };
        if !void {
            self.open.push(Open { node: index, hidden, tiny: seen.tiny_text.unwrap_or(tiny) });
        }
    }

    fn end(&mut self, name: &str) {
        if is_void(name) {
            return;
        }
        if self.beyond > 0 {
            self.beyond -= 1;
            return;
        }
        let found = self
            .open
            .iter()
            .rposition(|open| self.nodes.get(open.node).is_some_and(|node| node.name == name))
            .filter(|&at| at > 0);
        if let Some(at) = found {
            self.open.truncate(at);
        }
    }
}

fn is_void(name: &str) -> bool {
    matches!(
        name,
        "area"
            | "br"
            | "col"
            | "embed"
            | "hr"
            | "img"
            | "input"
            | "link"
            | "meta"
            | "source"
            | "track"
            | "wbr"
    )
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "caption"
            | "center"
            | "dd"
            | "details"
            | "dir"
            | "div"
            | "dl"
            | "dt"
            | "figcaption"
            | "figure"
            | "footer"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "header"
            | "hgroup"
            | "hr"
            | "legend"
            | "li"
            | "main"
            | "nav"
            | "ol"
            | "p"
            | "pre"
            | "section"
            | "summary"
            | "table"
            | "tbody"
            | "td"
            | "tfoot"
            | "th"
            | "thead"
            | "tr"
            | "ul"
    )
}
