//! Where redirects of link protection and click counting lead, when their address says so. Nothing is fetched: a redirect
//! that keeps its target to itself stays as it is.

/// A redirect that leads to a redirect is followed so many times.
const HOPS_MAX: usize = 4;

/// Parameters that carry a target in the addresses of click counters.
const TARGET_PARAMETERS: [&str; 14] = [
    "url",
    "u",
    "q",
    "target",
    "targeturl",
    "target_url",
    "redirect",
    "redirecturl",
    "redirect_url",
    "dest",
    "destination",
    "link",
    "to",
    "r",
];

/// Words in a host or path that only click counters have.
const COUNTER_WORDS: [&str; 13] = [
    "click",
    "clicks",
    "clk",
    "track",
    "tracking",
    "tracker",
    "trk",
    "redirect",
    "redir",
    "ct",
    "lnk",
    "links",
    "clicktracking",
];

/// The address behind all redirects that name their target.
pub(super) fn target(address: &str) -> String {
    let mut address = address.to_owned();
    for _ in 0..HOPS_MAX {
        match hop(&address).filter(|next| is_web_address(next)) {
            Some(next) => address = next,
            None => break,
        }
    }
    address
}

fn hop(address: &str) -> Option<String> {
    let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"))?;
    let (host, tail) = rest.split_at(rest.find(['/', '?', '#'])?);
    let host = host.to_ascii_lowercase();
    let tail = tail.split('#').next()?;
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let parameter = |wanted: &[&str]| {
        query.split('&').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let name = name.strip_prefix("amp;").unwrap_or(name).to_ascii_lowercase();
            wanted
                .contains(&name.as_str())
                .then(|| decode(value))
                .flatten()
                .filter(|value| is_web_address(value))
        })
    };
    match host.as_str() {
        "urldefense.com" | "urldefense.proofpoint.com" if path.starts_with("/v3/__") => {
            let inner = tail.strip_prefix("/v3/__")?.split_once("__;")?.0;
            // Replaced characters are listed behind it in a code of their own.
            return (!inner.contains('*')).then(|| inner.to_owned());
        }
        "urldefense.com" | "urldefense.proofpoint.com" => {
            let raw = query.split('&').find_map(|pair| pair.strip_prefix("u="))?;
            return decode(&raw.replace('-', "%").replace('_', "/"));
        }
        "linkprotect.cudasvc.com" => return parameter(&["a"]),
        "l.facebook.com" | "lm.facebook.com" => return parameter(&["u"]),
        "www.google.com" | "google.com" if path == "/url" => return parameter(&["q", "url"]),
        "www.youtube.com" if path == "/redirect" => return parameter(&["q"]),
        "deref-gmx.net" | "deref-mail.com" => return parameter(&["redirecturl"]),
        "slack-redir.net" => return parameter(&["url"]),
        _ if host.ends_with(".safelinks.protection.outlook.com") => return parameter(&["url"]),
        _ => {}
    }
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let counts = host.split('.').chain(segments.iter().copied().take(4)).any(|word| {
        let word = word.split_once('.').map_or(word, |(word, _)| word).to_ascii_lowercase();
        COUNTER_WORDS.contains(&word.as_str())
    });
    if host.ends_with(".awstrack.me") || matches!(segments.first(), Some(&("L0" | "CL0"))) {
        return decode(segments.get(1)?);
    }
    if !counts {
        return None;
    }
    parameter(&TARGET_PARAMETERS)
        .or_else(|| segments.iter().filter_map(|segment| decode(segment)).find(|whole| is_web_address(whole)))
}

/// Whether this is an absolute address with a host of more than one label.
fn is_web_address(address: &str) -> bool {
    let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"));
    rest.and_then(|rest| rest.split(['/', '?', '#']).next()).is_some_and(|host| {
        host.contains('.')
            && !host.starts_with('.')
            && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | ':'))
    }) && !address.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Percent signs resolved; `None` when the result is no text.
fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
        rest = match (first, hex(tail.first()), hex(tail.get(1))) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).ok()?);
                tail.get(2..)?
            }
            _ => {
                out.push(first);
                tail
            }
        };
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn redirects_that_name_their_target_are_skipped() {
        for (address, want) in [
            (
                "https://nam02.safelinks.protection.outlook.com/?url=https%3A%2F%2Fx.test%2Fa%3Fb%3D1&data=05%7C&reserved=0",
                "https://x.test/a?b=1",
            ),
            ("https://urldefense.com/v3/__https://x.test/a?b=1__;!!AbC!dEf$", "https://x.test/a?b=1"),
            (
                "https://urldefense.proofpoint.com/v2/url?u=https-3A__x.test_a-5Fb&d=Dw&c=1",
                "https://x.test/a_b",
            ),
            ("https://www.google.com/url?q=https://x.test/a&sa=D", "https://x.test/a"),
            (
                "https://abc.r.eu-west-1.awstrack.me/L0/https:%2F%2Fx.test%2Fa/1/0102-1/ab=1",
                "https://x.test/a",
            ),
            ("https://mail.x.test/CL0/https:%2F%2Fx.test%2Fb/1/0102-1/ab=1", "https://x.test/b"),
            (
                "https://click.x.test/?url=https%3A%2F%2Ftrack.y.test%2Fr%3Fu%3Dhttps%253A%252F%252Fz.test%252F",
                "https://z.test/",
            ),
            ("https://x.test/track/click/1/https%3A%2F%2Fy.test%2Fa", "https://y.test/a"),
            // What keeps its target to itself, or needs it, stays.
            (
                "https://x.test/login?redirect=https%3A%2F%2Fx.test%2Fa",
                "https://x.test/login?redirect=https%3A%2F%2Fx.test%2Fa",
            ),
            (
                "https://share.test/sharer?u=https%3A%2F%2Fx.test",
                "https://share.test/sharer?u=https%3A%2F%2Fx.test",
            ),
            (
                "https://click.x.test/?url=javascript:alert(1)",
                "https://click.x.test/?url=javascript:alert(1)",
            ),
            (
                "https://click.x.test/?url=https%3A%2F%2Fx%20y.test",
                "https://click.x.test/?url=https%3A%2F%2Fx%20y.test",
            ),
            ("https://click.x.test/?qs=abcdef", "https://click.x.test/?qs=abcdef"),
            ("https://click.x.test", "https://click.x.test"),
            ("mailto:a@x.test?subject=click", "mailto:a@x.test?subject=click"),
        ] {
            assert_eq!(target(address), want, "{address}");
        }
    }
}
