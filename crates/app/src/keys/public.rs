//! Public keys: P-256 points that an agent registers so that others can check what it signed. A registered key opens
//! nothing by itself; requests that it signs are not accepted.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use podmail_api_types::keys as wire;
use podmail_domain::{Permissions, Timestamp};
use podmail_store::{ApiKey, KeyLevel, KeyRegistered, NewPublicKey, PublicKey};
use serde_json::{Map, Value};

use super::{RequestedFlags, expiry, gone, granted};
use crate::auth::sha256;
use crate::{App, Caller, Error, Issue, IssueCode, Result};

/// Members of a public P-256 JWK (RFC 7518, section 6.2.1); there are no others.
const MEMBERS: [&str; 4] = ["kty", "crv", "x", "y"];
/// Characters of a coordinate: 32 bytes in base64url without padding.
const COORDINATE_CHARS: usize = 43;
/// Unknown members that one issue names, and characters of each; more is left out.
const UNKNOWN_MAX: usize = 20;
/// The start of a point that is written with both coordinates (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;
/// Characters of the fingerprint in the name of a key that was given none.
const NAME_CHARS: usize = 8;

/// A public P-256 key whose point lies on the curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicJwk {
    x: String,
    y: String,
}

impl PublicJwk {
    /// Reads the JWK of a request. Private or any other further members are refused.
    ///
    /// # Errors
    /// Every violation, below the path `public_key`.
    pub fn read(members: &Map<String, Value>) -> std::result::Result<Self, Vec<Issue>> {
        let at = |name: &str| ["public_key".into(), name.into()];
        let mut issues = Vec::new();
        for (name, want) in [("kty", "EC"), ("crv", "P-256")] {
            if members.get(name).and_then(Value::as_str) != Some(want) {
                issues.push(Issue {
                    path: at(name).into(),
                    code: IssueCode::InvalidValue { values: vec![want.to_owned()] },
                    message: format!("Invalid {name}: expected \"{want}\""),
                });
            }
        }
        let mut point = vec![UNCOMPRESSED];
        let [x, y] = ["x", "y"].map(|name| {
            let text = members.get(name).and_then(Value::as_str).unwrap_or_default();
            match URL_SAFE_NO_PAD.decode(text) {
                Ok(bytes) if text.len() == COORDINATE_CHARS => point.extend(bytes),
                Ok(_) | Err(_) => issues.push(Issue::format(
                    at(name),
                    "base64url",
                    format!("Invalid {name}: expected {COORDINATE_CHARS} characters of base64url"),
                )),
            }
            text.to_owned()
        });
        let unknown: Vec<String> = members
            .keys()
            .filter(|name| !MEMBERS.contains(&name.as_str()))
            .take(UNKNOWN_MAX)
            .map(|name| name.chars().take(UNKNOWN_MAX).collect())
            .collect();
        if !unknown.is_empty() {
            issues.push(Issue {
                path: vec!["public_key".into()],
                message: format!("Unrecognized keys: {}", unknown.join(", ")),
                code: IssueCode::UnrecognizedKeys { keys: unknown },
            });
        }
        if issues.is_empty() && ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).is_err() {
            issues.push(Issue::custom(["public_key".into()], "Invalid public_key: not a point on P-256"));
        }
        if issues.is_empty() { Ok(Self { x, y }) } else { Err(issues) }
    }

    /// The JWK as RFC 7638, section 3, writes it to be hashed.
    fn canonical(&self) -> String {
        // Nothing in base64url needs an escape.
        format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, self.x, self.y)
    }
}

/// The thumbprint of RFC 7638: SHA-256 of the canonical form in base64url without padding.
fn fingerprint(canonical: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(canonical.as_bytes()))
}

/// A public key to be registered.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The key.
    pub jwk: PublicJwk,
    /// Validated.
    pub client_id: Option<String>,
    /// Already checked.
    pub name: Option<String>,
    /// Its flags.
    pub permissions: RequestedFlags,
    /// In the future.
    pub expires_at: Option<Timestamp>,
}

impl App {
    /// Registers a public key at the level of the caller's scope, or returns the one that was registered under the
    /// same `client_id` before.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another key has the `client_id`, [`Error::AlreadyExists`] when it names a key that
    /// lies elsewhere; the rules of flags and expiry as for any other key.
    pub async fn register_public_key(
        &self,
        caller: &Caller,
        level: KeyLevel,
        new: Registration,
    ) -> Result<wire::PublicKeyCredential> {
        let jwk = new.jwk.canonical();
        let shown: String = fingerprint(&jwk).chars().take(NAME_CHARS).collect();
        let key = NewPublicKey {
            name: new.name.unwrap_or_else(|| format!("AgentID key {shown}")),
            permissions: spelled_out(granted(caller, new.permissions)?),
            expires_at: expiry(caller, new.expires_at)?,
            public: PublicKey { jwk, client_id: new.client_id, created_by: caller.api_key_id },
        };
        match self.store().register_public_key(&caller.scope, level, key, self.now()).await? {
            KeyRegistered::Created(key) | KeyRegistered::Existing(key) => match super::render(key)? {
                wire::Credential::PublicKey(credential) => Ok(credential),
                wire::Credential::Bearer(_) => Err(Error::internal("a registered key has no public key")),
            },
            KeyRegistered::OtherKey => {
                Err(Error::Conflict("Another public key is registered under this client_id".to_owned()))
            }
            KeyRegistered::Elsewhere => {
                Err(Error::AlreadyExists { resource: super::RESOURCE, suggestions: Vec::new(), fix: None })
            }
            KeyRegistered::Gone => Err(gone(&caller.scope)),
        }
    }
}

/// The flags with each one named: a registered key always shows what it may do.
pub(super) fn spelled_out(permissions: Permissions) -> Permissions {
    if !permissions.unrestricted() {
        return permissions;
    }
    let all: BTreeMap<String, bool> =
        permissions.granted().into_iter().map(|flag| (flag.as_str().to_owned(), true)).collect();
    Permissions(Some(all))
}

pub(super) fn render(key: ApiKey, public: PublicKey) -> Result<wire::PublicKeyCredential> {
    let fingerprint = fingerprint(&public.jwk);
    Ok(wire::PublicKeyCredential {
        r#type: wire::PublicKeyType::PublicKey,
        api_key_id: key.api_key_id,
        client_id: public.client_id,
        name: key.name,
        public_key: wire::PublicKeyMaterial {
            jwk: serde_json::from_str(&public.jwk).map_err(Error::internal)?,
            fingerprint,
        },
        pod_id: key.pod_id,
        inbox_id: key.inbox.map(|inbox| inbox.id),
        used_at: key.used_at,
        permissions: key.permissions.0.unwrap_or_default(),
        created_by: wire::ApiKeyCreator { api_key_id: public.created_by },
        created_at: key.created_at,
        updated_at: key.updated_at,
        expires_at: key.expires_at,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The key of RFC 7515, appendix A.3.
    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

    fn read(value: Value) -> std::result::Result<PublicJwk, Vec<String>> {
        let Value::Object(members) = value else { panic!("an object") };
        PublicJwk::read(&members)
            .map_err(|issues| issues.into_iter().map(|issue| issue.message).collect::<Vec<_>>())
    }

    #[test]
    fn a_key_is_a_point_on_the_curve_and_nothing_else() {
        let good = json!({ "kty": "EC", "crv": "P-256", "x": X, "y": Y });
        let key = read(good.clone()).expect("a point");
        assert_eq!(
            key.canonical(),
            format!("{{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"{X}\",\"y\":\"{Y}\"}}")
        );
        for (member, value, issues) in [
            ("kty", json!("RSA"), 1),
            ("crv", json!("P-384"), 1),
            ("x", json!(Y), 1),
            ("x", json!(format!("{X}A")), 1),
            ("y", json!("A".repeat(42)), 1),
            ("y", json!(5), 1),
            ("y", json!(format!("{}=", "A".repeat(42))), 1),
            ("d", json!("secret"), 1),
        ] {
            let mut bad = good.clone();
            bad[member] = value;
            assert_eq!(read(bad.clone()).expect_err("refused").len(), issues, "{bad}");
        }
        assert_eq!(read(json!({ "d": 1 })).expect_err("refused").len(), 5);
    }

    #[test]
    fn the_fingerprint_is_the_thumbprint_of_rfc_7638() {
        // The example of RFC 7638, section 3.1, which hashes an RSA key.
        let text = concat!(
            r#"{"e":"AQAB","kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6"#,
            "tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaS",
            r#"qzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw"#,
            r#"0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}"#
        );
        assert_eq!(fingerprint(text), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }
}
