//! What quoting adds, extraction takes away.

use podmail_mime::{
    Quoted,
    extract::{extract_html, extract_text},
    reply_html, reply_text,
};

#[test]
fn the_extracted_text_of_a_reply_is_the_text_of_its_author() {
    let sources = ["one\ntwo\n", "On Mon, Jun 1 Bob <b@x.test> wrote:\n> a\n> b\n", "-- \nBob", ""];
    for source in sources {
        let q = Quoted {
            from: "Bob <b@x.test>",
            date: 1_772_616_600,
            subject: None,
            to: &[],
            cc: &[],
            text: Some(source),
            html: None,
        };
        assert_eq!(extract_text(&reply_text("Thanks", &q)).as_deref(), Some("Thanks"), "{source:?}");
        assert_eq!(
            extract_html(&reply_html("<p>Thanks</p>", &q)).as_deref(),
            Some("<p>Thanks</p>"),
            "{source:?}"
        );
    }
}
