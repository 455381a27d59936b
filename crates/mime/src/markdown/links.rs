//! Addresses of links without what only follows the reader around.

use std::collections::HashSet;

use super::redirect;

/// Longer addresses are left out; the text of the link stays.
const ADDRESS_MAX_BYTES: usize = 2048;

/// Longer addresses are those of click counters, more often than not without a word of where they lead.
const LONG_BYTES: usize = 160;
/// Long addresses of one document are written out up to so many bytes in total, which is enough for the links that a receipt, a
/// login mail or a notification lives on. A newsletter has dozens more of them; of those the host is shown.
const LONG_TOTAL_MAX_BYTES: usize = 8192;

/// Parameters that only say which mail and reader a click came from.
const TRACKING: [&str; 46] = [
    "gclid",
    "dclid",
    "gbraid",
    "wbraid",
    "fbclid",
    "msclkid",
    "twclid",
    "ttclid",
    "yclid",
    "igshid",
    "mc_cid",
    "mc_eid",
    "_hsenc",
    "_hsmi",
    "hsctatracking",
    "mkt_tok",
    "vero_id",
    "vero_conv",
    "oly_enc_id",
    "oly_anon_id",
    "_kx",
    "wickedid",
    "s_cid",
    "ck_subscriber_id",
    "mc_tc",
    "trk",
    "trkemail",
    "lipi",
    "__s",
    "dm_i",
    "elqtrackid",
    "elqtrack",
    "elqaid",
    "elqat",
    "spmailingid",
    "spuserid",
    "spjobid",
    "spreportid",
    "sc_src",
    "sc_lid",
    "sc_uid",
    "sc_llid",
    "epik",
    "srsltid",
    "_branch_match_id",
    "ml_subscriber_hash",
];

fn is_tracking(parameter: &str) -> bool {
    let name = parameter.split('=').next().unwrap_or_default().to_ascii_lowercase();
    let name = name.strip_prefix("amp;").unwrap_or(&name);
    name.starts_with("utm_") || TRACKING.contains(&name)
}

/// The addresses of one document, asked for in its order.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Long addresses that have been written out.
    given: HashSet<String>,
    given_bytes: usize,
}

impl Links {
    /// The address to show; `None` when the link leads nowhere that a reader could go. A long one is written out once, and
    /// only while there is room; else the path gives way to an ellipsis, and the HTML has the whole.
    pub(super) fn show(&mut self, address: &str) -> Option<String> {
        let address = clean(address)?;
        if address.len() <= LONG_BYTES {
            return Some(address);
        }
        let total = self.given_bytes + address.len();
        if total > LONG_TOTAL_MAX_BYTES || self.given.contains(&address) {
            return Some(shortened(&address));
        }
        self.given_bytes = total;
        self.given.insert(address.clone());
        Some(address)
    }
}

/// Scheme and host, or the mailbox, of a long address.
fn shortened(address: &str) -> String {
    let scheme = address.find("//").map_or(0, |slashes| slashes + 2);
    let end = address
        .get(scheme..)
        .and_then(|rest| rest.find(['/', '?', '#']))
        .map_or(address.len(), |at| scheme + at);
    let host = crate::extract::clip(address.get(..end).unwrap_or_default(), LONG_BYTES);
    if scheme == 0 { format!("{host}?…") } else { format!("{host}/…") }
}

/// An address without tracking, as it can stand in Markdown.
fn clean(address: &str) -> Option<String> {
    let address: String = address.trim().chars().filter(|c| !c.is_control()).collect();
    let address = redirect::target(&address);
    let scheme = address.split_once(':')?.0.to_ascii_lowercase();
    if address.len() > ADDRESS_MAX_BYTES || !matches!(scheme.as_str(), "http" | "https" | "mailto" | "tel") {
        return None;
    }
    let (rest, fragment) = match address.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (address.as_str(), None),
    };
    let mut out = match rest.split_once('?') {
        None => rest.to_owned(),
        Some((path, query)) => {
            let kept: Vec<&str> = query
                .split('&')
                .filter(|parameter| !parameter.is_empty() && !is_tracking(parameter))
                .collect();
            if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
        }
    };
    if let Some(fragment) = fragment.filter(|fragment| !fragment.is_empty() && !is_tracking(fragment)) {
        out.push('#');
        out.push_str(fragment);
    }
    // What would end the address in Markdown.
    Some(
        out.replace(' ', "%20")
            .replace('(', "%28")
            .replace(')', "%29")
            .replace('<', "%3C")
            .replace('>', "%3E"),
    )
}

/// Whether the text of a link already is its address.
pub(super) fn says_itself(text: &str, address: &str) -> bool {
    let bare = |text: &str| {
        let text = text.trim().trim_end_matches('/').replace('\\', "").to_lowercase();
        ["https://", "http://", "mailto:", "tel:"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme).map(str::to_owned))
            .unwrap_or(text)
    };
    bare(text) == bare(address)
}

#[cfg(test)]
mod tests {
    use super::Links;

    #[test]
    fn long_addresses_are_written_once_and_while_there_is_room() {
        let mut links = Links::default();
        let long = |n: u32| format!("https://click.x.test/{n}/{}", "a".repeat(400));
        assert_eq!(links.show(&long(0)), Some(long(0)));
        assert_eq!(links.show(&long(0)).as_deref(), Some("https://click.x.test/…"));
        let written = (1..40).filter(|&n| links.show(&long(n)) == Some(long(n))).count();
        assert_eq!(written, 18);
        assert_eq!(links.show("https://x.test/short").as_deref(), Some("https://x.test/short"));
        let mail = format!("mailto:a@x.test?body={}", "a".repeat(4000));
        assert_eq!(links.show(&mail), None);
        assert_eq!(links.show(mail.get(..1000).unwrap_or_default()).as_deref(), Some("mailto:a@x.test?…"));
    }
}
