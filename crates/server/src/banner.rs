//! What a person sees when a server starts: the key, once, and a first request to copy. On standard error, because
//! standard output carries the one `ready` line that programs wait for.

use std::io::Write as _;

use crate::config::{Config, Mode};
use crate::run::bootstrap_key_path;

/// Shows the first key when it was just made, and in `dev` how to begin.
pub(crate) fn show(config: &Config, public_url: &str, first_key: Option<&str>) -> std::io::Result<()> {
    std::io::stderr().write_all(text(config, public_url, first_key).as_bytes())
}

fn text(config: &Config, public_url: &str, first_key: Option<&str>) -> String {
    let mut text = String::new();
    let key_file = bootstrap_key_path(config);
    match (first_key, &key_file) {
        (Some(key), _) => {
            text.push_str(&format!("\nAPI key of the first organization (shown once): {key}\n"));
            if let Some(path) = &key_file {
                text.push_str(&format!("It is also in {}, readable by you alone.\n", path.display()));
            }
        }
        (None, Some(path)) => text.push_str(&format!("\nThe API key is in {}.\n", path.display())),
        (None, None) => {}
    }
    if config.mode == Mode::Dev {
        let key = match (first_key, &key_file) {
            (Some(key), _) => key.to_owned(),
            (None, Some(path)) => format!("$(cat {})", path.display()),
            (None, None) => "<your key>".to_owned(),
        };
        text.push_str(&format!(
            "Your first inbox:\n\n  curl -s -X POST {public_url}/v0/inboxes -H \"Authorization: Bearer {key}\"\n\n\
             Outbound mail is captured, private addresses are allowed for webhooks; this is a development server.\n\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_shown_with_a_request_to_copy() {
        let config = Config::defaults(Mode::Dev);
        let shown = text(&config, "http://127.0.0.1:8080", Some("am_us_1"));
        assert!(shown.contains("shown once): am_us_1\n"), "{shown}");
        assert!(shown.contains(
            "curl -s -X POST http://127.0.0.1:8080/v0/inboxes -H \"Authorization: Bearer am_us_1\""
        ));
        let config = Config::defaults(Mode::Serve);
        assert_eq!(text(&config, "http://127.0.0.1:8080", None), "");
    }
}
