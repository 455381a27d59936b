//! `format=flowed` (RFC 3676): soft line breaks are joined, stuffed spaces removed.

/// Joins the soft-broken lines of `text` (LF line ends). `delsp`: the space before a soft break is not content.
pub(crate) fn unflow(text: &str, delsp: bool) -> String {
    let mut out = String::with_capacity(text.len());
    // Quote depth of the paragraph that the next line may continue.
    let mut open: Option<usize> = None;
    let mut first = true;
    for line in text.split('\n') {
        let unquoted = line.trim_start_matches('>');
        let depth = line.len() - unquoted.len();
        let content = unquoted.strip_prefix(' ').unwrap_or(unquoted);
        let signature = content == "-- ";
        if open != Some(depth) || signature {
            if !first {
                out.push('\n');
            }
            if depth > 0 {
                out.extend(std::iter::repeat_n('>', depth));
                if !content.is_empty() {
                    out.push(' ');
                }
            }
        }
        first = false;
        let soft = content.ends_with(' ') && !signature;
        out.push_str(if soft && delsp { content.strip_suffix(' ').unwrap_or(content) } else { content });
        open = soft.then_some(depth);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::unflow;

    #[test]
    fn soft_breaks_join_within_one_quote_depth() {
        for (input, delsp, want) in [
            ("one \ntwo\nthree\n", false, "one two\nthree\n"),
            ("one \ntwo", true, "onetwo"),
            ("> a \n> b\n>> c \nd", false, "> a b\n>> c \nd"),
            (" >stuffed\n From x", false, ">stuffed\nFrom x"),
            ("text \n-- \nBob", false, "text \n-- \nBob"),
            ("", false, ""),
        ] {
            assert_eq!(unflow(input, delsp), want, "{input:?}");
        }
    }
}
