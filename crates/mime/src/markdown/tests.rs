//! Small documents with their exact Markdown.

use super::{html_to_markdown, html_to_visible_text, text_to_markdown};

fn check(table: &[(&str, &str)]) {
    for (html, want) in table {
        assert_eq!(html_to_markdown(html), *want, "{html}");
    }
}

#[test]
fn content_becomes_markdown() {
    check(&[
        (
            "<h1>Big <b>news</b></h1><p>One\n two&nbsp; three</p><p>Four</p>",
            "# Big news\n\nOne two three\n\nFour",
        ),
        ("<p>a<br>b<br><br>c</p>", "a\nb\n\nc"),
        (
            "<p>so <b>bold </b>and <i>leaning</i>, <code>x = 1</code></p>",
            "so **bold** and *leaning*, `x = 1`",
        ),
        ("<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>", "- a\n  - b\n- c"),
        ("<ol start=3><li>a</li><li><p>b</p><p>c</p></li></ol>", "3. a\n4. b\n\n   c"),
        ("<blockquote><p>a</p><blockquote>b</blockquote></blockquote>", "> a\n>\n> > b"),
        ("<pre>fn x() {\n  y\n}</pre>", "```\nfn x() {\n  y\n}\n```"),
        ("<p>a</p><hr><hr><p>b</p>", "a\n\n---\n\nb"),
        ("<p>__________</p><p>a</p><p>__________</p><p>b<br>==========</p>", "a\n\n---\n\nb\n\\=========="),
        (
            "<a href=\"https://x.test/?utm_source=a&id=7&fbclid=z#utm_medium=q\">Open</a>",
            "[Open](https://x.test/?id=7)",
        ),
        (
            "<a href=\"https://x.test/\">https://x.test</a> <a href=\"mailto:a@x.test\">a@x.test</a>",
            "https://x.test a@x.test",
        ),
        ("see<a href=\"https://x.test/a(b)\"> here </a>now", "see [here](https://x.test/a%28b%29) now"),
        (
            "<a href=\"https://x.test\"><img src=\"https://x.test/l.png\" alt=\"Acme\"></a>",
            "[Acme](https://x.test)",
        ),
        (
            "<table><tr><th>Item</th><th>Price</th></tr><tr><td>A|B</td><td>1</td></tr></table>",
            "| Item | Price |\n| --- | --- |\n| A\\|B | 1 |",
        ),
        (
            "<table><tr><td><b>Item</b></td><td><b>Price</b></td></tr><tr><td>A</td><td>1</td></tr></table>",
            "| Item | Price |\n| --- | --- |\n| A | 1 |",
        ),
        (
            "<table><tr><td><b>A</b></td><td><b>1</b></td></tr><tr><td><b>B</b></td><td><b>2</b></td></tr></table>",
            "|  |  |\n| --- | --- |\n| **A** | **1** |\n| **B** | **2** |",
        ),
        (
            "<table><tr><td><table><tr><td>One</td></tr><tr><td><p>Two</p></td></tr></table></td></tr></table>",
            "One\n\nTwo",
        ),
        (
            "<table role=\"presentation\"><tr><td>Total</td><td>9.00</td></tr><tr><td>Tax</td><td>1.00</td></tr></table>",
            "Total 9.00\nTax 1.00",
        ),
    ]);
}

#[test]
fn only_what_is_visible_is_kept() {
    check(&[
        ("<div style=\"display:none\">x</div>a", "a"),
        ("<div style=\"DISPLAY : none !important\">x<p>y</p></div>a", "a"),
        ("<p hidden>x</p>a", "a"),
        ("<span style=\"visibility:hidden\">x</span>a", "a"),
        ("<div style=\"max-height:0;overflow:hidden\">x</div>a", "a"),
        ("<div style=\"height:0px;overflow:hidden\">x</div>a", "a"),
        ("<div style=\"font-size:1px;color:#fff\">x</div>a", "a"),
        ("<td style=\"font-size:0\"><div style=\"font-size:14px\">seen</div></td>", "seen"),
        ("<div style=\"text-indent:-9999px\">x</div>a", "a"),
        ("<style>p{}</style><script>x</script><!--[if mso]><p>x</p><![endif]-->a", "a"),
        ("<head><title>x</title></head><body>a</body>", "a"),
        ("a<img src=\"https://t.test/o\" width=\"1\" height=\"1\" alt=\"pixel\">", "a"),
        ("Hi&zwnj;&nbsp;&#847;&zwnj;&nbsp;&#8203; there", "Hi there"),
    ]);
}

#[test]
fn metacharacters_are_escaped_where_they_would_mean_something() {
    check(&[
        ("<p>a * b snake_case 5 &lt; 6</p>", "a * b snake_case 5 < 6"),
        ("<p>*note* _x_ `y` &lt;b&gt;</p>", "\\*note\\* \\_x\\_ \\`y\\` \\<b>"),
        (
            "<p># no heading</p><p>1. no list</p><p>- no item</p><p>&gt; no quote</p>",
            "\\# no heading\n\n1\\. no list\n\n\\- no item\n\n\\> no quote",
        ),
        ("<p>* no item</p>", "\\* no item"),
        ("<p>#1 and 1.5 [x]</p>", "#1 and 1.5 [x]"),
    ]);
}

#[test]
fn hostile_documents_end() {
    for html in [
        "<div>".repeat(100_000),
        "<blockquote>".repeat(500) + "x",
        "<ul><li>".repeat(240) + "x",
        "<table><tr><td>".repeat(160) + "x",
        "<b><i>".repeat(250) + "x",
        "<a href=x>".repeat(10_000),
        format!("<table><tr>{}</tr></table>", "<td colspan=1000>x".repeat(5_000)),
    ] {
        let markdown = html_to_markdown(&html);
        assert!(markdown.len() <= html.len() * 4, "{}", markdown.len());
    }
}

#[test]
fn text_keeps_its_lines() {
    assert_eq!(text_to_markdown("\n\na  \n\n\n\n> b\n  c\n\n"), "a\n\n> b\n  c");
    assert_eq!(text_to_markdown(" \n"), "");
}

#[test]
fn visible_words_are_those_that_a_person_sees() {
    for (html, want) in [
        ("<p>One <b>two</b></p><p>three</p>", "One two\nthree"),
        ("<table><tr><td>cellone</td><td>celltwo</td></tr></table>", "cellone\ncelltwo"),
        ("<ul><li>a<li>b</ul>x<br>y", "a\nb\nx\ny"),
        ("<p style=\"display:none\">secret</p><div hidden>secret</div><p>shown</p>", "shown"),
        (
            "<style>.h{display:none}</style><p class=h>secret</p><span style=\"font-size:0\">secret</span>ok",
            "ok",
        ),
        ("<a href=\"https://x.test/\">link</a>", "link"),
    ] {
        assert_eq!(html_to_visible_text(html), want, "{html}");
    }
}
