//! The server's certificate: from PEM files, or self-signed in `dev`, read again on `SIGHUP`.
//!
//! Listeners hold a [`TlsReceiver`] and take the current value for each connection, so a renewed
//! certificate serves the next handshake. A certificate that does not load leaves the old one in place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use podmail_jobs::Tasks;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::{Config, Mode, TlsConfig};

/// The TLS settings in effect; borrow or clone the `Arc` for each connection.
pub type TlsReceiver = watch::Receiver<Arc<ServerConfig>>;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or holds no PEM of the expected kind.
    #[error("{setting} cannot be read from {path}: {reason}", path = path.display())]
    File {
        /// `tls.certificate` or `tls.key`.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The files are readable but do not make a server identity, for example because the key is another's.
    #[error("tls.certificate and tls.key do not fit together: {0}")]
    Identity(#[from] rustls::Error),
    /// A self-signed certificate cannot be made.
    #[error("cannot make a self-signed certificate: {0}")]
    SelfSigned(#[from] rcgen::Error),
    /// The process cannot listen for `SIGHUP`.
    #[error("cannot listen for SIGHUP")]
    Signal(#[source] std::io::Error),
}

/// Loads the certificate and keeps it current; `None` when none is configured (never in `dev`).
///
/// Must be called within a runtime.
///
/// # Errors
///
/// When the configured files do not make a server identity.
pub fn start(config: &Config, tasks: &Tasks) -> Result<Option<TlsReceiver>, TlsError> {
    // Also without files: from here on the signal does not end the process.
    let mut hangups = signal(SignalKind::hangup()).map_err(TlsError::Signal)?;
    let Some(files) = &config.tls else {
        if config.mode == Mode::Serve {
            return Ok(None);
        }
        let names =
            [config.hostname.clone(), config.domain.clone(), "localhost".to_owned(), "127.0.0.1".to_owned()];
        let (sender, receiver) = watch::channel(self_signed(&names)?);
        // Kept for as long as there are receivers, although nothing is ever sent.
        let token = tasks.token();
        tasks.spawn("tls.keep", async move {
            token.cancelled().await;
            drop(sender);
        });
        return Ok(Some(receiver));
    };
    let (sender, receiver) = watch::channel(from_files(files)?);
    let (files, token) = (files.clone(), tasks.token());
    tasks.spawn_essential("tls.reload", async move {
        while let Some(Some(())) = token.run_until_cancelled(hangups.recv()).await {
            reload(&files, &sender).await;
        }
    });
    Ok(Some(receiver))
}

/// Reads the files once more; keeps what is in effect when that fails.
async fn reload(files: &TlsConfig, sender: &watch::Sender<Arc<ServerConfig>>) {
    let files = files.clone();
    match tokio::task::spawn_blocking(move || from_files(&files)).await {
        Ok(Ok(config)) => {
            sender.send_replace(config);
            tracing::info!("certificate read again");
        }
        Ok(Err(error)) => tracing::error!(%error, "certificate not replaced: {error}"),
        Err(error) => tracing::error!(%error, "certificate not replaced"),
    }
}

/// TLS 1.2 and 1.3 with the certificate of the files.
///
/// # Errors
///
/// Unreadable files, or a key that is not the certificate's.
pub fn from_files(files: &TlsConfig) -> Result<Arc<ServerConfig>, TlsError> {
    let unusable = |setting, path: &Path, error: rustls_pki_types::pem::Error| TlsError::File {
        setting,
        path: path.to_owned(),
        reason: if matches!(error, rustls_pki_types::pem::Error::NoItemsFound) {
            format!("there is no PEM of a {setting} in it")
        } else {
            error.to_string()
        },
    };
    let path = &files.certificate;
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unusable("tls.certificate", path, error))?;
    if certificates.is_empty() {
        return Err(unusable("tls.certificate", path, rustls_pki_types::pem::Error::NoItemsFound));
    }
    let path = &files.key;
    let key = PrivateKeyDer::from_pem_file(path).map_err(|error| unusable("tls.key", path, error))?;
    server_config(certificates, key)
}

/// TLS 1.2 and 1.3 with a fresh certificate that nobody has signed.
///
/// # Errors
///
/// When a name does not fit into a certificate.
pub fn self_signed(names: &[String]) -> Result<Arc<ServerConfig>, TlsError> {
    let made = rcgen::generate_simple_self_signed(names)?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    server_config(vec![made.cert.der().clone()], key.into())
}

fn server_config(
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_pair(folder: &Path, name: &str) -> TlsConfig {
        let made = rcgen::generate_simple_self_signed(["mx.example".to_owned()]).unwrap();
        let files = TlsConfig {
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        };
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn a_pair_of_files_loads_and_a_mixed_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (write_pair(folder.path(), "one"), write_pair(folder.path(), "two"));
        from_files(&one).unwrap();
        let mixed = TlsConfig { certificate: one.certificate.clone(), key: two.key };
        assert!(matches!(from_files(&mixed), Err(TlsError::Identity(_))));
        let swapped = TlsConfig { certificate: one.key, key: one.certificate };
        let error = from_files(&swapped).unwrap_err().to_string();
        assert!(error.starts_with("tls.certificate cannot be read from "), "{error}");
        let missing = TlsConfig { certificate: folder.path().join("none"), key: folder.path().join("none") };
        assert!(matches!(from_files(&missing), Err(TlsError::File { setting: "tls.certificate", .. })));
    }

    #[tokio::test]
    async fn a_renewed_certificate_replaces_the_old_one_and_a_broken_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let files = write_pair(folder.path(), "live");
        let first = from_files(&files).unwrap();
        let (sender, receiver) = watch::channel(Arc::clone(&first));
        write_pair(folder.path(), "live");
        reload(&files, &sender).await;
        let second = Arc::clone(&receiver.borrow());
        assert!(!Arc::ptr_eq(&first, &second));
        std::fs::write(&files.key, "").unwrap();
        reload(&files, &sender).await;
        assert!(Arc::ptr_eq(&second, &receiver.borrow()));
    }

    #[tokio::test]
    async fn serve_without_a_certificate_has_no_tls_and_dev_makes_one() {
        let tasks = Tasks::new();
        assert!(start(&Config::defaults(Mode::Serve), &tasks).unwrap().is_none());
        assert!(start(&Config::defaults(Mode::Dev), &tasks).unwrap().is_some());
        assert_eq!(tasks.shutdown(std::time::Duration::from_secs(30)).await, podmail_jobs::Stopped::Clean);
    }
}
