//! Subjects of sent mail.

/// Line breaks become a space, trailing white space goes.
#[must_use]
pub fn clean_subject(subject: &str) -> String {
    let joined = subject.replace("\r\n", " ").replace(['\r', '\n'], " ").replace('\0', "");
    joined.trim_end().to_owned()
}

/// `Re: ` before the original subject, not doubled; `Re:` alone when there is none.
#[must_use]
pub fn reply_subject(original: Option<&str>) -> String {
    prefixed(original, "Re:", &["re:"])
}

/// `Fwd: ` before the original subject, not doubled for `fwd:` and `fw:`.
#[must_use]
pub fn forward_subject(original: Option<&str>) -> String {
    prefixed(original, "Fwd:", &["fwd:", "fw:"])
}

fn prefixed(original: Option<&str>, prefix: &str, known: &[&str]) -> String {
    let original = clean_subject(original.unwrap_or_default());
    let original = original.trim_start();
    let has =
        |known: &&str| original.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known));
    if known.iter().any(has) {
        original.to_owned()
    } else if original.is_empty() {
        prefix.to_owned()
    } else {
        format!("{prefix} {original}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_not_doubled() {
        for (original, reply, forward) in [
            (Some("Plan"), "Re: Plan", "Fwd: Plan"),
            (Some("RE: Plan"), "RE: Plan", "Fwd: RE: Plan"),
            (Some("FW: Plan"), "Re: FW: Plan", "FW: Plan"),
            (Some("a\r\nb "), "Re: a b", "Fwd: a b"),
            (None, "Re:", "Fwd:"),
        ] {
            assert_eq!(reply_subject(original), reply);
            assert_eq!(forward_subject(original), forward);
        }
    }
}
