//! The `Authorization` header.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use podmail_app::Unauthorized;

/// The secret in the header. The scheme is matched exactly, with one space.
pub(crate) fn secret(headers: &HeaderMap) -> Result<&str, Unauthorized> {
    let missing = Unauthorized::MissingAuthorization;
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Err(missing("Send the header `Authorization: Bearer <api key>`; there was none."));
    };
    // `Bearer ` without a key arrives without the space too: white space around values is not part of them.
    if value == "Bearer" {
        return Err(missing("There was no key after `Bearer`."));
    }
    let Some(secret) = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")) else {
        return Err(missing("Use the scheme `Bearer`, spelled so, then one space and the key."));
    };
    if secret.is_empty() {
        return Err(missing("There was no key after `Bearer`."));
    }
    if secret.chars().any(char::is_whitespace) {
        return Err(missing("There was white space in the key; send it as it was given out."));
    }
    if is_session_token(secret) {
        return Err(Unauthorized::InvalidTokenType);
    }
    Ok(secret)
}

/// Three parts of base64url with dots between them.
fn is_session_token(secret: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'='))
    };
    secret.split('.').count() == 3 && secret.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_header_yields_a_secret() {
        for (header, want) in [
            (Some("Bearer am_us_x"), Ok("am_us_x")),
            (None, Err("missing")),
            (Some("bearer am_us_x"), Err("missing")),
            (Some("Basic am_us_x"), Err("missing")),
            (Some("Bearer"), Err("empty")),
            (Some("Bearer "), Err("empty")),
            (Some("Bearer  am_us_x"), Err("missing")),
            (Some("Bearer am us"), Err("missing")),
            (Some("Bearer eyJh.eyJz.c2ln"), Err("token")),
            (Some("Bearer a.b"), Ok("a.b")),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(AUTHORIZATION, header.parse().unwrap());
            }
            let got = secret(&headers).map_err(|error| match error {
                Unauthorized::MissingAuthorization(fix) if fix.contains("no key") => "empty",
                Unauthorized::MissingAuthorization(_) => "missing",
                Unauthorized::InvalidTokenType => "token",
                Unauthorized::UnknownApiKey | Unauthorized::ApiKeyExpired => "key",
            });
            assert_eq!(got, want, "{header:?}");
        }
    }
}
