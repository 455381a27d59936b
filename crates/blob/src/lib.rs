//! Message bytes outside of the database: a local folder or S3, through the `object_store` crate. An object is made
//! durable before the row that refers to it commits; a referenced object is never missing.
//!
//! Bytes are zstd-compressed in both places, here and inline in the database, by [`compress`].

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{BackoffConfig, ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _, RetryConfig};

/// Compressed bytes up to this size lie inline beside their row; larger ones become objects.
pub const INLINE_BYTES: usize = 64 * 1024;
/// One request to S3, its body included.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// A connection to S3.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How often a request to S3 that failed on the way is made again, and how long all of it may take.
const RETRIES: (usize, Duration) = (4, Duration::from_secs(60));
/// Name of the object that [`Blobs::probe`] writes.
const PROBE: &str = "podmail-probe";
/// Low: arrival must not wait for a few percent of disk.
const LEVEL: i32 = 1;

/// Failures of the blob store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or bucket refused or broke.
    #[error("blob store: {0}")]
    Store(#[from] object_store::Error),
    /// The URL names no store that is known here.
    #[error("blob URL: {0}")]
    Url(String),
    /// The data folder could not be made.
    #[error("blob folder: {0}")]
    Folder(#[source] std::io::Error),
    /// Stored bytes could not be decompressed.
    #[error("stored bytes are damaged: {0}")]
    Damaged(#[source] std::io::Error),
}

/// Where large message bytes go.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    prefix: String,
}

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name, as [`Blobs::put`] takes it.
    pub name: String,
    /// When it was last written, by the store's clock; microseconds since 1970.
    pub modified_micros: i64,
}

/// A listing that is being read.
pub struct Listing {
    found: BoxStream<'static, object_store::Result<ObjectMeta>>,
    prefix: ObjectPath,
}

impl std::fmt::Debug for Listing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listing").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Listing {
    /// The next objects, `most` of them unless the end comes first; none: it has come.
    pub async fn next(&mut self, most: usize) -> Result<Vec<Object>, Error> {
        let found: Vec<ObjectMeta> = self.found.by_ref().take(most).try_collect().await?;
        let names = found.into_iter().map(|object| {
            let parts = object.location.prefix_match(&self.prefix);
            let parts: Vec<_> = parts.into_iter().flatten().map(|part| part.as_ref().to_owned()).collect();
            Object { name: parts.join("/"), modified_micros: object.last_modified.timestamp_micros() }
        });
        Ok(names.collect())
    }
}

impl Blobs {
    /// Opens `file:///folder` or `s3://bucket/prefix` (endpoint and credentials from the usual AWS variables, given in
    /// `variables`); without a URL, the folder `default_folder`.
    pub fn open(
        url: Option<&str>,
        default_folder: &Path,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let Some(url) = url else { return Self::folder(default_folder) };
        let parsed = url::Url::parse(url).map_err(|error| Error::Url(format!("`{url}`: {error}")))?;
        match parsed.scheme() {
            "file" => {
                let path =
                    parsed.to_file_path().map_err(|()| Error::Url(format!("`{url}` is no absolute path")))?;
                Self::folder(&path)
            }
            "s3" => {
                let bucket =
                    parsed.host_str().ok_or_else(|| Error::Url(format!("`{url}` names no bucket")))?;
                let client = ClientOptions::new().with_timeout(REQUEST_MAX).with_connect_timeout(CONNECT_MAX);
                let retry = RetryConfig {
                    max_retries: RETRIES.0,
                    retry_timeout: RETRIES.1,
                    backoff: BackoffConfig::default(),
                };
                let mut builder = AmazonS3Builder::new()
                    .with_bucket_name(bucket)
                    .with_client_options(client)
                    .with_retry(retry);
                for (name, value) in variables {
                    if let Ok(key) = name.to_ascii_lowercase().parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                Ok(Self {
                    store: Arc::new(builder.build()?),
                    prefix: parsed.path().trim_matches('/').to_owned(),
                })
            }
            scheme => {
                Err(Error::Url(format!("`{scheme}` is not known; use file:///… or s3://bucket/prefix")))
            }
        }
    }

    /// A local folder; made when missing. Files and folders are synced before a put returns.
    pub fn folder(path: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(path).map_err(Error::Folder)?;
        let store = LocalFileSystem::new_with_prefix(path)?.with_fsync(true);
        Ok(Self { store: Arc::new(store), prefix: String::new() })
    }

    /// Stores an object; durable when this returns.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        self.store.put(&self.path(name), bytes.into()).await?;
        Ok(())
    }

    /// Reads an object; `None` when there is none.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, Error> {
        match self.store.get(&self.path(name)).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes an object; no error when there is none.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// All objects, in no particular order, to be read piece by piece; nothing is asked for before. What is put or
    /// removed meanwhile may or may not be among them.
    pub fn list(&self) -> Listing {
        let prefix = (!self.prefix.is_empty()).then(|| ObjectPath::from(self.prefix.as_str()));
        // Fused: a piece that ends with the listing is followed by one more question.
        Listing { found: self.store.list(prefix.as_ref()).fuse().boxed(), prefix: prefix.unwrap_or_default() }
    }

    /// Writes, reads and removes an object, so that a missing bucket or right shows before mail needs it.
    ///
    /// # Errors
    /// What the first mail would meet.
    pub async fn probe(&self) -> Result<(), Error> {
        self.put(PROBE, Bytes::from_static(b"podmail")).await?;
        self.get(PROBE).await?;
        self.delete(PROBE).await
    }

    fn path(&self, name: &str) -> ObjectPath {
        if self.prefix.is_empty() {
            ObjectPath::from(name)
        } else {
            ObjectPath::from(format!("{}/{name}", self.prefix))
        }
    }
}

/// Compresses message bytes.
pub fn compress(raw: &[u8]) -> Vec<u8> {
    thread_local! {
        // Its tables are larger than most messages: made once per thread.
        static COMPRESSOR: RefCell<zstd::bulk::Compressor<'static>> =
            RefCell::new(zstd::bulk::Compressor::new(LEVEL).expect("the level is one of zstd's"));
    }
    COMPRESSOR
        .with_borrow_mut(|compressor| compressor.compress(raw))
        .expect("compressing into memory cannot fail")
}

/// Decompresses bytes made by [`compress`]; refuses more than `max` bytes.
pub fn decompress(bytes: &[u8], max: usize) -> Result<Vec<u8>, Error> {
    thread_local! {
        static DECOMPRESSOR: RefCell<zstd::bulk::Decompressor<'static>> =
            RefCell::new(zstd::bulk::Decompressor::new().expect("no dictionary that could be wrong"));
    }
    // Room for what the frame says that it holds, not for all that it may.
    let said = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten();
    let room = said.and_then(|said| usize::try_from(said).ok()).map_or(max, |said| said.min(max));
    DECOMPRESSOR.with_borrow_mut(|decompressor| decompressor.decompress(bytes, room)).map_err(Error::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_bytes_come_back_and_bombs_do_not() {
        let raw = b"abc".repeat(10_000);
        assert_eq!(decompress(&compress(&raw), raw.len()).expect("whole"), raw);
        assert!(decompress(&compress(&raw), 100).is_err());
    }

    #[test]
    fn an_unknown_scheme_is_refused_with_the_known_ones() {
        let error = Blobs::open(Some("ftp://x/y"), Path::new("."), std::iter::empty()).expect_err("refused");
        assert!(error.to_string().contains("file:///"), "{error}");
    }
}
