//! Extraction is total, and linear in what strangers send.

use super::super::{extract_html, extract_text};

const SEEDS: [&str; 6] = [
    "Süß 👍🏽\u{200f}\n\nOn Mon, Jun 1, 2026\nBob <b@x.test>\nwrote:\n> é\u{301}\n>> ü\n\n-- \nÄl\nSent from my iPhone",
    "Ok! Le 1 juin 2026 à 10:00, Bob <b@x.test> a écrit : > x\r\n_____\r\nVon: Bob\r\nGesendet: 1\r\n",
    "\u{feff}好的\n\nBob <b@x.test> 于2026年6月1日周一 10:00写道:\n\n> 你好\n\u{2028}\u{0}\n\u{202e}abc",
    "<div>Süß &amp; &eacute;&#x1F600;&#99999999; &bogus; <!-- c --><br>On Mon Bob &lt;b@x.test&gt; wrote:<blockquote>ü</blockquote>-- <br>Äl</div>",
    "<style>/* ü */p{}</style><p class=\"MsoNormal\"><b>Från:</b> Bob <b@x.test><hr style='width:98%'><a href=x>Unsubscribe",
    "<pre>a\n> ü\nكتب:</pre><div id=x_divRplyFwdMsg title='<>\"'>写道:<![endif]--><",
];

#[test]
fn no_prefix_and_no_suffix_of_a_body_panics() {
    for seed in SEEDS {
        for (at, _) in seed.char_indices() {
            let (prefix, suffix) = seed.split_at(at);
            for part in [prefix, suffix] {
                let (text, html) = (extract_text(part), extract_html(part));
                assert!(text.is_none_or(|text| !text.is_empty()), "part: {part}");
                assert!(html.is_none_or(|html| !html.is_empty()), "part: {part}");
            }
        }
    }
}

#[test]
fn pieces_in_any_order_do_not_panic() {
    let pieces = [
        "\n",
        "> ",
        "On ",
        "wrote:",
        "--",
        "_____",
        "From:",
        "b@x.test",
        " 2026 10:00 ",
        "ş",
        "写道:",
        "<div>",
        "</",
        "<!--",
        "-->",
        "\"",
        "<a x='",
        "&#0;",
        "İ",
        "\u{1f468}\u{200d}\u{1f469}",
        "schrieb",
        "<style",
        "/*",
        "<pre>\n",
        "ẞ",
    ];
    // A fixed linear congruence: every run tries the same few thousand bodies.
    let mut state = 7_usize;
    for _ in 0..3000 {
        let mut body = String::new();
        for _ in 0..12 {
            state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
            body.push_str(pieces[(state >> 8) % pieces.len()]);
        }
        let (text, html) = (extract_text(&body), extract_html(&body));
        assert!(text.is_none_or(|text| text.len() <= body.len() + 1), "body: {body}");
        assert!(html.is_none_or(|html| html.len() <= body.len()), "body: {body}");
    }
}

#[test]
fn large_repetitions_end_soon() {
    for piece in [
        "\n",
        "_____\n",
        ">",
        "> a\n\n",
        "On ",
        "On a\n",
        " On 1/1 b@x.test wrote: ",
        "--\n",
        "From: a\n",
        "@ wrote ",
        "<",
        "<a ",
        "<a '\"",
        "<!--",
        "<style>",
        "<div>",
        "</blockquote>",
        "&",
        "&#",
        "sent from samsung @",
        "2026 10:00\n",
        "this email ",
        "https://a ",
        "view ",
        "schrieb ",
        "<br>",
        "<blockquote",
        "- ",
        "a@",
        "unsubscribe ",
        "<pre>\n",
        "to unsubscribe\nI ",
        "a@b.",
        "a wrote: ",
        "schrieb x <br>",
    ] {
        let body = piece.repeat(100_000 / piece.len());
        // Unoptimised regexes are slow; a quadratic step over this much would still run into the test time limit.
        assert!(extract_text(&body).is_none_or(|text| text.len() <= body.len()), "piece: {piece}");
        assert!(extract_html(&body).is_none_or(|html| html.len() <= body.len()), "piece: {piece}");
    }
}

#[test]
fn a_body_past_the_examined_part_is_kept() {
    let body = format!("{}\n> a\n> b", "word ".repeat(300_000));
    assert_eq!(extract_text(&body), Some(body));
}
