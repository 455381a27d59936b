//! Bodies of messages as Markdown, in pages of characters. Made at reading, from what the message shows anyway: nothing
//! is stored, and every other member of the message stays as it is.

use podmail_api_types::messages::{MarkdownPage, Message, ReadableMessage};

use crate::error::Result;
use crate::messages::heavy;

/// Which body becomes Markdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The whole body.
    Whole,
    /// What the author newly wrote, without the quoted conversation.
    Extracted,
}

/// A request for readable bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readable {
    /// Which body.
    pub source: Source,
    /// The page begins behind so many characters.
    pub offset: usize,
    /// Characters of the page at most.
    pub limit: usize,
}

impl Readable {
    /// Adds to each message a page of its body; the conversion runs beside the reactor.
    ///
    /// # Errors
    /// `Internal` when the process ends meanwhile.
    pub async fn add(self, messages: Vec<Message>) -> Result<Vec<ReadableMessage>> {
        heavy(move || {
            messages
                .into_iter()
                .map(|message| {
                    let body = Some(self.page(&self.markdown(&message)));
                    ReadableMessage { message, body }
                })
                .collect()
        })
        .await
    }

    /// From the HTML when there is one, else from the text.
    fn markdown(self, message: &Message) -> String {
        let (html, text) = match self.source {
            Source::Whole => (&message.html, &message.text),
            Source::Extracted => (&message.extracted_html, &message.extracted_text),
        };
        // An HTML body that only quotes has no extracted HTML; its text must not stand in for it.
        if message.html.is_some() {
            return html.as_deref().map(podmail_mime::html_to_markdown).unwrap_or_default();
        }
        text.as_deref().map(podmail_mime::text_to_markdown).unwrap_or_default()
    }

    fn page(self, whole: &str) -> MarkdownPage {
        let markdown_length = whole.chars().count();
        let markdown = whole.chars().skip(self.offset).take(self.limit).collect();
        let end = self.offset.saturating_add(self.limit);
        MarkdownPage {
            markdown,
            markdown_length,
            markdown_next_offset: (end < markdown_length).then_some(end),
        }
    }
}
