//! HTML bodies in the shape that mail clients give them.

use super::super::extract_html;
use super::checks::check_html;

#[test]
fn quote_containers_of_known_clients_are_cut() {
    for quote in [
        "<div class=\"gmail_quote gmail_quote_container\"><div dir=\"ltr\" class=\"gmail_attr\">On Mon Bob wrote:<br></div>old</div>",
        "<div dir=ltr class='x gmail_quote'>old</div>",
        "<BLOCKQUOTE type=\"cite\">old</BLOCKQUOTE>",
        "<div id=\"appendonsend\"></div>old",
        "<hr style=\"display:inline-block;width:98%\" tabindex=\"-1\">old",
        "<hr width='98%'>old",
        "<div id=\"divRplyFwdMsg\" dir=\"ltr\">old</div>",
        "<div id=\"x_divRplyFwdMsg\">old</div>",
        "<div class=\"moz-cite-prefix\">Lee, 11/19/26:<br></div>old",
        "<div id=\"yahoo_quoted_1\" class=\"yahoo_quoted\">old</div>",
        "<span id=\"OLK_SRC_BODY_SECTION\">old</span>",
        "<div>On Thu, Nov 19, 2026 at 4:12 PM <b>Lee</b> &lt;lee@x.test&gt;&nbsp;wrote:</div>old",
        "<p class=\"MsoNormal\"><b><span lang=\"EN\">From:</span></b> Lee &lt;lee@x.test&gt;<br><b>Sent:</b> Monday</p>old",
        "<p><b>From:</b> Lee<br><b>Sent:</b> Monday<br><b>To:</b> dana@x.test</p>old",
        "<p>De&nbsp;: Chlo&eacute; &lt;chloe@x.test&gt;</p>",
        "<div>Am 19.11.2026 um 16:12 schrieb J&ouml;rg &lt;j@x.test&gt;:</div>old",
        "<p>Le 19 nov. 2026 &agrave; 16:12, Chlo&eacute; a &eacute;crit&nbsp;:</p>old",
        "<p>Le 19 nov. 2026 à 16:12, Chloé<br>a écrit :</p>old",
        "<div>El jue, 19 nov 2026 José escribió:<br></div>old",
        "<div>czw., 19 lis 2026 o 16:12 Anna napisał(a):</div>old",
        "<div>Ayşe, 19 Kas 2026 tarihinde şunu yazdı:</div>old",
        "<div>Wang 于2026年11月19日周四 16:12写道\u{ff1a}<br></div>old",
        "<p><span>发件人:</span> Wang</p>old",
        "<p>علي كتب:</p>old",
        "<p>-----Original Message-----<br>From: Lee</p>old",
        "<p>----- Ursprüngliche Nachricht -----</p>old",
    ] {
        let body = format!("<p>Yes &amp; no</p>{quote}");
        assert_eq!(extract_html(&body).as_deref(), Some("<p>Yes &amp; no</p>"), "quote: {quote}");
    }
}

#[test]
fn prose_and_forwards_are_kept() {
    for body in [
        "<p>Based on what you wrote: no.</p><p>Sealant from: Acme</p>",
        "<p>Wie Bob schrieb, ist es fertig: alles gut</p>",
        "<p>FYI</p><p>---------- Forwarded message ---------<br>From: Bob &lt;b@x.test&gt;</p><blockquote>old</blockquote>",
        "<div>FYI</div><div class=\"gmail_quote\"><div>---------- Forwarded message ---------<br>From: Bob</div>old</div>",
        "<p>FYI</p><blockquote type=\"cite\"><div>Begin forwarded message:</div><b>From: </b>b@x.test</blockquote>",
        "<h1>Delivery has failed to these recipients or groups:</h1><blockquote>old</blockquote>",
        "<img src=\"cid:photo\">",
        "a < b and c > d <3",
    ] {
        assert_eq!(extract_html(body).as_deref(), Some(body));
    }
}

#[test]
fn an_attribution_behind_other_text_leaves_that_text() {
    check_html(&[
        ("<div>Thanks<br>On Mon, Bob wrote:<br>old</div>", "<div>Thanks<br>"),
        ("<p>Thanks. On Mon, Jun 1 Bob wrote: old</p>", "<p>Thanks."),
        ("<p>Danke! Am 01.06.2026 schrieb Bob &lt;b@x.test&gt;: alt</p>", "<p>Danke!"),
        ("<pre>Thanks\n\nOn Mon, Bob wrote:\n&gt; old</pre>", "<pre>Thanks"),
    ]);
}

#[test]
fn a_signature_below_the_quote_is_rescued() {
    check_html(&[
        (
            "<p>Yes</p><blockquote>old</blockquote><div class=\"gmail_signature\">Dana</div>",
            "<p>Yes</p><div class=\"gmail_signature\">Dana</div>",
        ),
        ("<p>Yes</p><blockquote>old</blockquote><br>-- <br>Dana", "<p>Yes</p><br>-- <br>Dana"),
        (
            "<p>Yes</p><blockquote>old</blockquote><p>Regards, Dana</p><p>This email is confidential.</p>",
            "<p>Yes</p><p>Regards, Dana</p>",
        ),
        ("<p>Yes</p><blockquote>old</blockquote><p>Nothing of the kind</p>", "<p>Yes</p>"),
        (
            "<p>Yes</p><blockquote>old</blockquote><p>Regards, Dana</p><div class=gmail_quote>x</div>",
            "<p>Yes</p>",
        ),
    ]);
    let long = format!("<p>Yes</p><blockquote>old</blockquote><p>Regards {}</p>", "x".repeat(400));
    assert_eq!(extract_html(&long).as_deref(), Some("<p>Yes</p>"));
}

#[test]
fn comments_and_footers_are_dropped() {
    check_html(&[
        ("<!-- a --><p>Yes<!--[if mso]><b>no</b><![endif]--></p><!-- open <p>no</p>", "<p>Yes</p>"),
        ("<style>/* a */p{}/* b */</style><p>Yes /* no */</p>", "<style>p{}</style><p>Yes /* no */</p>"),
        ("<!-- <blockquote> --><p>Yes</p>", "<p>Yes</p>"),
        (
            "<div>Yes</div><div><br></div><div>Sent from my iPhone</div><div>x</div>",
            "<div>Yes</div><div><br></div>",
        ),
        ("<div>Yes<br>Sent from my iPhone</div>", "<div>Yes<br>"),
        ("<p>Yes</p><p>No longer interested? <a href=\"https://x.test/u\">Unsubscribe</a></p>", "<p>Yes</p>"),
        ("<p>I want to unsubscribe</p>", "<p>I want to unsubscribe</p>"),
    ]);
}

#[test]
fn an_outlook_reply_with_a_style_sheet_loses_its_quote() {
    let head = "<html xmlns:o=\"urn:x\"><head><style><!-- p.MsoNormal {margin:0} --></style></head><body lang=\"EN-US\"><div class=\"WordSection1\">";
    let new = "<p class=\"MsoNormal\">Approved.<o:p></o:p></p><p class=\"MsoNormal\"><o:p>&nbsp;</o:p></p>";
    let quote = "<div><div style=\"border-top:solid #E1E1E1 1.0pt\"><p class=\"MsoNormal\"><b>From:</b> Lee Park &lt;lee@x.test&gt; <br><b>Sent:</b> Thursday<br></p></div></div><p>old</p></div></body></html>";
    let body = format!("{head}{new}{quote}");
    let want = format!("{head}{new}<div><div style=\"border-top:solid #E1E1E1 1.0pt\">");
    assert_eq!(extract_html(&body), Some(want));
}
