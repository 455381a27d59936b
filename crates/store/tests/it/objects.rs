//! Which objects are referred to.

use podmail_domain::OrganizationId;
use podmail_domain::label::Restricted;
use podmail_domain::thread::{Attachment, Direction};
use podmail_domain::{AttachmentId, MessageId};
use podmail_store::{DraftFile, NewDelivery, NewMessage, StoredBytes};

use crate::messages::{inbox, mail, put};
use crate::plans::lists::plain_draft;
use crate::worlds;

#[tokio::test]
async fn messages_deliveries_and_drafts_refer_to_objects_of_their_organization() {
    for world in worlds().await {
        let (own, other) = (inbox(&world, "own").await, inbox(&world, "other").await);
        let of = |name: &str, id: &str| {
            let bytes = StoredBytes::Object(name.to_owned());
            NewMessage { bytes, ..mail(&world, &own, id, 0, &[], &[]) }
        };
        put(&world, of("of a message", "a")).await;
        put(&world, of("of nothing more", "b")).await;
        let delivery = NewDelivery {
            recipient: "a@x.test".to_owned(),
            destination: "x.test".to_owned(),
            expires_at: world.now(),
        };
        let sent =
            NewMessage { direction: Direction::Sent, deliveries: vec![delivery], ..of("of a delivery", "c") };
        put(&world, sent).await;
        for id in ["<b@x>", "<c@x>"] {
            let id = MessageId::new(id);
            let left = world.store.delete_message(&own, &id, Restricted::ALL).await.expect("run");
            assert!(left.is_some(), "{id}");
        }
        let mut draft = plain_draft(&world, &own);
        let attachment = Attachment {
            attachment_id: AttachmentId::new(&*world.ids, world.now()),
            part: 0,
            size: 5,
            filename: None,
            content_type: None,
            content_disposition: None,
            content_id: None,
        };
        draft.files = vec![DraftFile { attachment, bytes: StoredBytes::Object("of a draft".to_owned()) }];
        world.store.create_draft(draft).await.expect("made");
        let names = ["of a message", "of nothing more", "of a delivery", "of a draft", "unknown"];
        let asked = || names.map(str::to_owned).to_vec();
        let all = world.store.unreferenced_objects(own.organization(), asked()).await.expect("read");
        assert_eq!(all, ["of nothing more", "unknown"]);
        // Whose they are is in their names, so that nobody asks for another's.
        let all = world.store.unreferenced_objects(other.organization(), asked()).await.expect("read");
        assert_eq!(all.len(), 5);
        let stranger = OrganizationId::parse("0192f3c1-7e5a-7c3d-9b0e-4a1f6d2c8b71").expect("an id");
        let all = world.store.unreferenced_objects(stranger, asked()).await.expect("read");
        assert_eq!(
            all,
            Vec::<String>::new(),
            "of an organization that is not known, nothing is known to be free"
        );
        let many: Vec<String> = (0..600).map(|n| format!("n{n}")).chain(asked()).collect();
        let all = world.store.unreferenced_objects(own.organization(), many).await.expect("read");
        assert_eq!(all.len(), 602);
    }
}

#[tokio::test]
async fn every_column_that_names_objects_is_asked() {
    for world in worlds().await {
        let Some(path) = world.url().strip_prefix("sqlite:") else { continue };
        let connection = rusqlite::Connection::open(path).expect("the database");
        let mut columns = connection
            .prepare(
                "SELECT t.name || '.' || c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c \
                 WHERE t.type = 'table' AND c.name LIKE '%object%' ORDER BY 1",
            )
            .expect("the schema");
        let columns: Vec<String> = columns
            .query_map([], |row| row.get(0))
            .expect("read")
            .map(|name| name.expect("a name"))
            .collect();
        assert_eq!(
            columns,
            ["deliveries.object", "draft_attachments.object", "messages.object"],
            "a new column belongs into `unreferenced_objects`"
        );
    }
}
