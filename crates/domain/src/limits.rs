//! Every limit of the product, with the error that it gives; limits of protocols stand beside the loops they bound.

/// Bytes of one JSON request: 413 `payload_too_large`.
pub const REQUEST_BYTES: usize = 6 * 1024 * 1024;
/// Bytes of one message from the internet, encoding included: SMTP 552 5.3.4.
pub const INBOUND_MESSAGE_BYTES: usize = 31_457_280;
/// `Received` headers of an inbound message: SMTP 554 5.4.6.
pub const RECEIVED_HEADERS: usize = 50;
/// Recipients of one send over to, cc and bcc: 400.
pub const SEND_RECIPIENTS: usize = 50;
/// Attachments of one send: 400, path `["attachments"]`.
pub const SEND_ATTACHMENTS: usize = 100;
/// Characters of a label: 400.
pub const LABEL_CHARS: usize = 256;
/// Labels of a message, without those that only the server sets: 400.
pub const LABELS_PER_MESSAGE: usize = 100;
/// Characters of a `client_id` or an `Idempotency-Key`: 400.
pub const CLIENT_ID_CHARS: usize = 256;
/// Characters of a pod's or key's name: 400.
pub const NAME_CHARS: usize = 256;
/// Characters of a display name: 400.
pub const DISPLAY_NAME_CHARS: usize = 256;
/// Bytes of a user name (RFC 5321 §4.5.3.1.1): 400.
pub const USERNAME_BYTES: usize = 64;
/// Metadata members of an inbox after merging: 400.
pub const METADATA_KEYS: usize = 256;
/// Characters of a metadata key or string: 400.
pub const METADATA_CHARS: usize = 256;
/// Items of a page when the request names none.
pub const PAGE_DEFAULT: usize = 50;
/// Items of a page at most; a larger `limit` is echoed and the token continues.
pub const PAGE_MAX: usize = 500;
/// `limit` on searches, filtered lists and thread get: 400 `too_big`.
pub const PAGE_FILTERED_MAX: usize = 100;
/// Message ids of a batch-get: 400.
pub const BATCH_GET_IDS: usize = 500;
/// Message ids of a batch-update: 400.
pub const BATCH_UPDATE_IDS: usize = 50;
/// A thread update is refused at this many messages: 422.
pub const THREAD_UPDATE_MESSAGES: usize = 100;
/// Ids in `References` of a reply: the first and the latest 49.
pub const REFERENCES: usize = 50;
/// `pod_ids` or `inbox_ids` of a webhook: 400.
pub const WEBHOOK_CHANNELS: usize = 10;
/// Characters of a webhook's URL: 400.
pub const WEBHOOK_URL_CHARS: usize = 2048;
/// Custom headers of a webhook: 400.
pub const WEBHOOK_HEADERS: usize = 20;
/// Characters of a custom header's name: 400.
pub const WEBHOOK_HEADER_NAME_CHARS: usize = 256;
/// Characters of a custom header's value: 400.
pub const WEBHOOK_HEADER_VALUE_CHARS: usize = 4096;
/// Bytes of a webhook body: bodies of the message are left out first, see `app::events`.
pub const EVENT_BODY_BYTES: usize = 1_048_576;
/// Seconds a signed download link works: 403 afterwards.
pub const DOWNLOAD_LINK_SECONDS: u64 = 3600;
/// Hours an idempotency key is remembered after its send.
pub const IDEMPOTENCY_HOURS: u64 = 24;
/// Days in which the `client_id` of a sent draft still names it.
pub const SENT_DRAFT_DAYS: u64 = 30;
/// Bytes of all attachments of one draft, decoded: 400.
pub const DRAFT_ATTACHMENT_BYTES: u64 = 30 * 1024 * 1024;
/// Bytes of all attachments that one message goes out with, decoded, those of a forwarded message among them: 400.
pub const SEND_ATTACHMENT_BYTES: u64 = 30 * 1024 * 1024;
/// Bytes of a whole message that goes out: 400.
pub const SENT_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// Hours in which the same mail again is not stored a second time.
pub const DUPLICATE_HOURS: u64 = 24;
/// Days another organization waits for a deleted address of the shared domain: 403 `resource_taken`.
pub const ADDRESS_HOLD_DAYS: u64 = 30;
/// Seconds between two forced checks of a domain: 429.
pub const DOMAIN_VERIFY_SECONDS: u64 = 10;
/// Characters of the reason of a list entry: 400.
pub const LIST_REASON_CHARS: usize = 1024;
/// Characters of a full-text query: 400.
pub const SEARCH_CHARS: usize = 256;
/// Characters of a filter value in a list request: 400.
pub const FILTER_CHARS: usize = 1024;
/// Values of one list parameter: 400.
pub const FILTER_VALUES: usize = 100;
/// Characters of `markdown` in an answer when the request names none.
pub const BODY_CHARS_DEFAULT: usize = 20_000;
/// Characters of `markdown` in an answer at most: 400 `too_big`.
pub const BODY_CHARS_MAX: usize = 250_000;
/// Largest `body_offset`, above every body's length: 400 `too_big`.
pub const BODY_OFFSET_MAX: usize = 1 << 32;
