//! Quoting the original below a reply and inside a forward, in the form that mail programs (and reply extraction) know.

use mail_parser::DateTime;

use crate::html;

/// Latest time that is printed: the end of the year 9999.
const MAX_TIME: i64 = 253_402_300_799;

const DIVIDER: &str = "---------- Forwarded message ---------";
const BLOCKQUOTE: &str = "<blockquote class=\"gmail_quote\" \
    style=\"margin:0 0 0 .8ex;border-left:1px solid #ccc;padding-left:1ex\">";

/// The message that is quoted.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a> {
    /// `Name <addr>` or `addr`.
    pub from: &'a str,
    /// Unix seconds.
    pub date: i64,
    /// Subject, if any.
    pub subject: Option<&'a str>,
    /// Mailboxes of To.
    pub to: &'a [String],
    /// Mailboxes of Cc.
    pub cc: &'a [String],
    /// Text body, LF line ends.
    pub text: Option<&'a str>,
    /// HTML body as [`crate::sanitize_html`] leaves it: what stands in it is passed on.
    pub html: Option<&'a str>,
}

impl Quoted<'_> {
    /// Text body, or the HTML one with its tags stripped.
    fn as_text(&self) -> Option<String> {
        self.text.map(str::to_owned).or_else(|| self.html.map(html::to_text_with_links))
    }

    /// HTML body, or the text one escaped.
    fn as_html(&self) -> Option<String> {
        self.html.map(str::to_owned).or_else(|| self.text.map(html::from_text))
    }

    fn attribution(&self) -> String {
        let from = if self.from.trim().is_empty() { "someone" } else { self.from };
        format!("On {}, {from} wrote:", time(self.date))
    }

    /// Name and value of the lines under the divider.
    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = Vec::new();
        if !self.from.trim().is_empty() {
            fields.push(("From", self.from.to_owned()));
        }
        fields.push(("Date", time(self.date)));
        fields.push(("Subject", self.subject.unwrap_or_default().to_owned()));
        for (name, list) in [("To", self.to), ("Cc", self.cc)] {
            if !list.is_empty() {
                fields.push((name, list.join(", ")));
            }
        }
        fields
    }
}

/// The new text, then the attribution and the original with `> ` before each line. An original without a body is not quoted.
#[must_use]
pub fn reply_text(new: &str, q: &Quoted<'_>) -> String {
    let Some(original) = q.as_text() else {
        return new.to_owned();
    };
    let mut out = format!("{}\n\n{}\n", new.trim_end_matches(['\r', '\n']), q.attribution());
    for line in original.trim_end_matches('\n').split('\n') {
        out.push_str(if line.is_empty() || line.starts_with('>') { ">" } else { "> " });
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// What was new in a text that [`reply_text`] made, whatever it says; `None` for any other text.
#[must_use]
pub fn new_text(reply: &str) -> Option<&str> {
    let mut rest = reply.trim_end_matches('\n');
    while let Some((above, line)) = rest.rsplit_once('\n') {
        if !line.starts_with('>') {
            let ours = line.starts_with("On ") && line.contains(" UTC, ") && line.ends_with(" wrote:");
            return ours.then(|| above.strip_suffix('\n')).flatten();
        }
        rest = above;
    }
    None
}

/// The new HTML, then the attribution and the original in a `blockquote`.
#[must_use]
pub fn reply_html(new: &str, q: &Quoted<'_>) -> String {
    let Some(original) = q.as_html() else {
        return new.to_owned();
    };
    let attribution = html::escape(&q.attribution());
    html::append(
        new,
        &format!(
            "<div class=\"gmail_quote\"><br><div dir=\"ltr\" class=\"gmail_attr\">{attribution}<br></div>\
             {BLOCKQUOTE}{original}</blockquote></div>"
        ),
    )
}

/// The new text, if any, then the divider, the fields of the original and its body.
#[must_use]
pub fn forward_text(new: Option<&str>, q: &Quoted<'_>) -> String {
    let new = new.unwrap_or_default().trim_end_matches(['\r', '\n']);
    let mut out = String::from(new);
    if !new.is_empty() {
        out.push_str("\n\n");
    }
    out.push_str(DIVIDER);
    for (name, value) in q.fields() {
        out.push_str(format!("\n{name}: {value}").trim_end_matches(' '));
    }
    out.push_str("\n\n");
    out.push_str(&q.as_text().unwrap_or_default());
    out
}

/// The same in HTML.
#[must_use]
pub fn forward_html(new: Option<&str>, q: &Quoted<'_>) -> String {
    let new = new.unwrap_or_default();
    let fields: String =
        q.fields().iter().map(|(name, value)| format!("{name}: {}<br>", html::escape(value))).collect();
    let gap = if new.is_empty() { "" } else { "<br>" };
    let original = q.as_html().unwrap_or_default();
    html::append(
        new,
        &format!(
            "{gap}<div class=\"gmail_quote\"><div dir=\"ltr\" class=\"gmail_attr\">{DIVIDER}<br>{fields}</div>\
             <br>{original}</div>"
        ),
    )
}

/// `Wed, Mar 4, 2026 at 9:30 AM UTC`.
fn time(seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let t = DateTime::from_timestamp(seconds.clamp(0, MAX_TIME));
    let day = DAYS.get(usize::from(t.day_of_week())).copied().unwrap_or_default();
    let month = MONTHS.get(usize::from(t.month).saturating_sub(1)).copied().unwrap_or_default();
    let (hour, half) = match t.hour {
        0 => (12, "AM"),
        h @ 1..=11 => (h, "AM"),
        12 => (12, "PM"),
        h => (h - 12, "PM"),
    };
    format!("{day}, {month} {}, {} at {hour}:{:02} {half} UTC", t.day, t.year, t.minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted<'a>(text: Option<&'a str>, html: Option<&'a str>, to: &'a [String]) -> Quoted<'a> {
        Quoted { from: "Bob <b@x.test>", date: 1_772_616_600, subject: Some("Plan"), to, cc: &[], text, html }
    }

    #[test]
    fn times_read_as_mail_programs_write_them() {
        for (seconds, want) in [
            (1_772_616_600, "Wed, Mar 4, 2026 at 9:30 AM UTC"),
            (0, "Thu, Jan 1, 1970 at 12:00 AM UTC"),
            (43_200, "Thu, Jan 1, 1970 at 12:00 PM UTC"),
            (82_859, "Thu, Jan 1, 1970 at 11:00 PM UTC"),
            (i64::MAX, "Fri, Dec 31, 9999 at 11:59 PM UTC"),
        ] {
            assert_eq!(time(seconds), want);
        }
    }

    #[test]
    fn replies_quote_line_by_line() {
        assert_eq!(
            reply_text("Thanks\n", &quoted(Some("one\n\n> two\n"), None, &[])),
            "Thanks\n\nOn Wed, Mar 4, 2026 at 9:30 AM UTC, Bob <b@x.test> wrote:\n> one\n>\n>> two\n"
        );
        assert_eq!(
            reply_text("Thanks", &quoted(None, Some("<p>a</p><p>b</p>"), &[])),
            "Thanks\n\nOn Wed, Mar 4, 2026 at 9:30 AM UTC, Bob <b@x.test> wrote:\n> a\n> b\n"
        );
        assert_eq!(reply_text("Thanks", &quoted(None, None, &[])), "Thanks");
    }

    #[test]
    fn html_replies_wrap_the_original() {
        let got = reply_html("<p>Thanks</p>", &quoted(Some("a < b\nc"), None, &[]));
        assert_eq!(
            got,
            format!(
                "<p>Thanks</p><div class=\"gmail_quote\"><br><div dir=\"ltr\" class=\"gmail_attr\">On Wed, Mar 4, 2026 at \
                 9:30 AM UTC, Bob &lt;b@x.test&gt; wrote:<br></div>{BLOCKQUOTE}a &lt; b<br>\nc</blockquote></div>"
            )
        );
    }

    #[test]
    fn nothing_in_the_original_runs_or_leaves_the_quote() {
        let hostile = "</div></blockquote><p onclick=x()>hi</p><script>alert(1)</script></div><div>open";
        let original = "<p>hi</p><div>open</div>";
        let shown = crate::sanitize_html(hostile);
        let q = quoted(None, Some(&shown), &[]);
        let reply = reply_html("<p>Thanks</p>", &q);
        assert!(reply.ends_with(&format!("{BLOCKQUOTE}{original}</blockquote></div>")), "{reply}");
        let forward = forward_html(None, &q);
        assert!(forward.ends_with(&format!("</div><br>{original}</div>")), "{forward}");
    }

    #[test]
    fn what_was_new_in_a_reply_is_found_again_whatever_it_says() {
        for new in [
            "Thanks",
            "> a\n> b\nmine",
            "On Monday I wrote: hello",
            "On Wed, Mar 4, 2026 at 9:30 AM UTC, I wrote:\n> this\n\nand that",
            "---------- Forwarded message ---------\nFrom: x",
        ] {
            for original in ["a", "> old\n\nOn Tue, Mar 3, 2026 at 9:30 AM UTC, x wrote:\n> older"] {
                assert_eq!(
                    new_text(&reply_text(new, &quoted(Some(original), None, &[]))),
                    Some(new),
                    "{new}"
                );
            }
            assert_eq!(new_text(new), None, "{new}");
        }
    }

    #[test]
    fn a_message_without_a_sender_is_quoted_without_a_gap() {
        let q = Quoted { from: "", ..quoted(Some("a"), None, &[]) };
        assert_eq!(
            reply_text("Thanks", &q),
            "Thanks\n\nOn Wed, Mar 4, 2026 at 9:30 AM UTC, someone wrote:\n> a\n"
        );
        assert!(forward_text(None, &q).starts_with(&format!("{DIVIDER}\nDate: ")));
    }

    #[test]
    fn forwards_carry_fields_and_body() {
        let to = ["a@x.test".to_owned(), "C <c@x.test>".to_owned()];
        let fields = "---------- Forwarded message ---------\nFrom: Bob <b@x.test>\nDate: Wed, Mar 4, 2026 at 9:30 AM UTC\n\
                      Subject: Plan\nTo: a@x.test, C <c@x.test>\n\nbody\n";
        assert_eq!(forward_text(None, &quoted(Some("body\n"), None, &to)), fields);
        assert_eq!(forward_text(Some("FYI"), &quoted(Some("body\n"), None, &to)), format!("FYI\n\n{fields}"));
        let shown = crate::sanitize_html("<html><body><b>x</b></body></html>");
        let html = forward_html(Some("<p>FYI</p>"), &quoted(None, Some(&shown), &to));
        assert!(html.starts_with("<p>FYI</p><br><div class=\"gmail_quote\">"), "{html}");
        assert!(html.ends_with("To: a@x.test, C &lt;c@x.test&gt;<br></div><br><b>x</b></div>"), "{html}");
    }
}
