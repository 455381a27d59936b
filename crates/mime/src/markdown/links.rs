//! Addresses of links without what only follows the reader around.

/// Longer addresses are left out; the text of the link stays.
const ADDRESS_MAX_BYTES: usize = 2048;

/// Parameters that only say which mail and reader a click came from.
const TRACKING: [&str; 24] = [
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
];

fn is_tracking(parameter: &str) -> bool {
    let name = parameter.split('=').next().unwrap_or_default().to_ascii_lowercase();
    let name = name.strip_prefix("amp;").unwrap_or(&name);
    name.starts_with("utm_") || TRACKING.contains(&name)
}

/// The address to show; `None` when the link leads nowhere that a reader could go.
pub(super) fn clean(address: &str) -> Option<String> {
    let address: String = address.trim().chars().filter(|c| !c.is_control()).collect();
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
