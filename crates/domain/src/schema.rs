//! How the types that the API shows as text are described in its OpenAPI document. The shapes stand here by hand because
//! their serialisation is by hand too (those of plain ids stand with their macros in `id`); everything made of them derives its description.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{DomainName, InboxId, MessageId, Timestamp};

macro_rules! described {
    ($($name:ident: $schema:tt;)*) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool { true }
            fn schema_name() -> Cow<'static, str> { stringify!($name).into() }
            fn json_schema(_: &mut SchemaGenerator) -> Schema { json_schema!($schema) }
        }
    )*};
}

described! {
    InboxId: { "type": "string", "examples": ["support@example.com"] };
    MessageId: { "type": "string", "examples": ["<0192f3c1-7e5a-7c3d-9b0e-4a1f6d2c8b71@example.com>"] };
    DomainName: { "type": "string", "examples": ["example.com"] };
    Timestamp: { "type": "string", "format": "date-time", "examples": ["2026-03-01T09:30:00.000Z"] };
}
