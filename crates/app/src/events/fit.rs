//! Keeps the body of an event within the cap that receivers rely on: bodies of the message go first, what identifies it
//! stays.

use bytes::Bytes;
use podmail_api_types::webhooks::MessageReceived;
use podmail_domain::limits;

/// Characters of a text that is cut because nothing else is left to leave out.
const TEXT_CHARS: usize = 1000;

/// The JSON of the event, at most `limits::EVENT_BODY_BYTES` long.
pub(super) fn fit(mut event: MessageReceived) -> Bytes {
    let steps: [fn(&mut MessageReceived); 6] = [
        |_| {},
        |event| (event.message.text, event.message.html) = (None, None),
        |event| (event.message.extracted_text, event.message.extracted_html) = (None, None),
        |event| event.message.headers.clear(),
        |event| halve(&mut event.thread.attachments),
        |event| event.message.references.clear(),
    ];
    for step in steps {
        step(&mut event);
        if let Some(body) = within(&event) {
            return body;
        }
    }
    // Thousands of recipients or attachments. Each round halves all lists, so that there are few of them.
    loop {
        halve(&mut event.thread.attachments);
        halve(&mut event.thread.recipients);
        halve(&mut event.thread.senders);
        halve(&mut event.message.attachments);
        for list in [&mut event.message.to, &mut event.message.cc, &mut event.message.bcc] {
            halve(list);
        }
        halve(&mut event.message.reply_to);
        if let Some(body) = within(&event) {
            return body;
        }
        let left = event.thread.attachments.len()
            + event.thread.recipients.len()
            + event.thread.senders.len()
            + event.message.attachments.len()
            + event.message.to.len()
            + event.message.cc.len()
            + event.message.bcc.len();
        if left == 0 {
            break;
        }
    }
    for text in [&mut event.message.subject, &mut event.thread.subject].into_iter().flatten() {
        cut(text);
    }
    cut(&mut event.message.from);
    within(&event).unwrap_or_default()
}

fn halve<T>(list: &mut Vec<T>) {
    list.truncate(list.len() / 2);
}

fn cut(text: &mut String) {
    if let Some((at, _)) = text.char_indices().nth(TEXT_CHARS) {
        text.truncate(at);
    }
}

fn within(event: &MessageReceived) -> Option<Bytes> {
    let body = super::json(event);
    (body.len() <= limits::EVENT_BODY_BYTES).then_some(body)
}

#[cfg(test)]
mod tests {
    use podmail_api_types::messages::Attachment;
    use podmail_api_types::webhooks::Envelope;
    use podmail_domain::{
        AttachmentId, EventId, InboxId, MessageId, OrganizationId, PodId, ThreadId, Timestamp,
    };
    use serde_json::Value;

    use super::*;

    const UUID: &str = "0192f3c1-7e5a-7c3d-9b0e-4a1f6d2c8b71";

    fn event(html: usize, extracted: usize, header: usize, attachments: usize) -> MessageReceived {
        let organization_id = OrganizationId::parse(UUID).unwrap();
        let attachment = Attachment {
            attachment_id: AttachmentId::parse(UUID).unwrap(),
            size: 1,
            filename: Some("n".repeat(200)),
            content_type: None,
            content_disposition: None,
            content_id: None,
        };
        let time = Timestamp::from_seconds(1_772_355_600);
        let message = podmail_api_types::messages::Message {
            organization_id,
            pod_id: PodId::default_of(organization_id),
            inbox_id: InboxId::parse("a@b.test").unwrap(),
            thread_id: ThreadId::parse(UUID).unwrap(),
            message_id: MessageId::new("<m@b.test>"),
            labels: vec!["received".to_owned()],
            timestamp: time,
            from: "x@y.test".to_owned(),
            reply_to: Vec::new(),
            to: vec!["a@b.test".to_owned()],
            cc: Vec::new(),
            bcc: Vec::new(),
            subject: Some("s".to_owned()),
            preview: None,
            text: Some("t".to_owned()),
            html: Some("h".repeat(html)),
            extracted_text: Some("e".repeat(extracted)),
            extracted_html: None,
            attachments: vec![attachment; attachments],
            in_reply_to: None,
            references: Vec::new(),
            authentication_results: None,
            opened_at: None,
            headers: [("X".to_owned(), "x".repeat(header))].into(),
            size: 1,
            updated_at: time,
            created_at: time,
        };
        let thread = crate::events::alone(&message);
        let envelope = Envelope {
            kind: "event",
            event_type: "message.received",
            event_id: EventId::parse("evt_1").unwrap(),
        };
        MessageReceived { envelope, message, thread }
    }

    #[test]
    fn a_body_that_fits_is_sent_whole() {
        let body: Value = serde_json::from_slice(&fit(event(900_000, 10, 10, 3))).unwrap();
        assert_eq!(body["message"]["html"].as_str().map(str::len), Some(900_000));
        assert_eq!(body["message"]["text"], "t");
        assert_eq!(body["type"], "event");
        assert_eq!(body["event_type"], "message.received");
        assert_eq!(body["event_id"], "evt_1");
    }

    #[test]
    fn what_is_left_out_goes_in_the_documented_order() {
        let mb = 1_200_000;
        for (html, extracted, header, attachments, gone, kept) in [
            (mb, 10, 10, 3, vec!["text", "html"], vec!["extracted_text", "headers", "attachments"]),
            (10, mb, 10, 3, vec!["text", "html", "extracted_text"], vec!["headers", "attachments"]),
            (10, 10, mb, 3, vec!["text", "html", "extracted_text", "headers"], vec!["attachments"]),
            (10, 10, 10, 6000, vec!["text", "html", "extracted_text", "headers"], vec!["attachments"]),
        ] {
            let bytes = fit(event(html, extracted, header, attachments));
            assert!(bytes.len() <= limits::EVENT_BODY_BYTES && !bytes.is_empty());
            let body: Value = serde_json::from_slice(&bytes).unwrap();
            for name in gone {
                assert!(body["message"].get(name).is_none(), "{name} of {html} {extracted} {header}");
            }
            for name in kept {
                assert!(body["message"].get(name).is_some(), "{name} of {html} {extracted} {header}");
            }
            assert_eq!(body["message"]["subject"], "s");
            assert_eq!(body["thread"]["message_count"], 1);
        }
    }
}
