//! The certificates that outgoing TLS trusts.

use std::collections::HashSet;
use std::path::Path;

use rustls::RootCertStore;

/// Where systems keep their bundle of root certificates.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The system's root certificates together with those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
///
/// Certificates that cannot be read are left out. The store may be empty: then no verified connection will
/// succeed, which is logged once here and no reason not to start. Reads files, so call it once at start-up.
#[must_use]
pub fn trusted_roots() -> RootCertStore {
    let mut found = rustls_native_certs::load_native_certs();
    // With SSL_CERT_FILE set that is all one gets from the line above; the system's roots stay trusted.
    if let Some(bundle) = SYSTEM_BUNDLES.iter().map(Path::new).find(|path| path.is_file()) {
        let system = rustls_native_certs::load_certs_from_paths(Some(bundle), None);
        found.certs.extend(system.certs);
        found.errors.extend(system.errors);
    }
    for error in &found.errors {
        tracing::debug!(%error, "a root certificate could not be read");
    }
    let mut seen = HashSet::new();
    found.certs.retain(|certificate| seen.insert(certificate.to_vec()));
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!("no root certificates found: outgoing TLS that needs verification will fail");
    } else {
        tracing::debug!(added, ignored, "root certificates loaded");
    }
    roots
}
