//! Rows of the embedded engine as records: structs by the names of their members, tuples by place.

use rusqlite::Row;
use rusqlite::types::ValueRef;
use serde::de::value::Error;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// Reads the rows of one query. Where each member stands is looked up for the first row only.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    places: Vec<usize>,
}

impl Columns {
    pub(crate) fn read<'de, T: Deserialize<'de>>(&mut self, row: &'de Row<'_>) -> crate::Result<T> {
        T::deserialize(Record { row, places: &mut self.places })
            .map_err(|error| crate::Error::Record(error.to_string()))
    }
}

struct Record<'de, 's, 'c> {
    row: &'de Row<'s>,
    places: &'c mut Vec<usize>,
}

impl<'de> Deserializer<'de> for Record<'de, '_, '_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.places.is_empty() {
            for field in fields {
                self.places.push(self.row.as_ref().column_index(field).map_err(Error::custom)?);
            }
        }
        visitor.visit_seq(Cells { row: self.row, places: self.places.iter() })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        if self.places.is_empty() {
            self.places.extend(0..len);
        }
        visitor.visit_seq(Cells { row: self.row, places: self.places.iter() })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("a record is a struct or a tuple"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple_struct map enum identifier ignored_any
    }
}

struct Cells<'de, 's, 'c> {
    row: &'de Row<'s>,
    places: std::slice::Iter<'c, usize>,
}

impl<'de> SeqAccess<'de> for Cells<'de, '_, '_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(place) = self.places.next() else { return Ok(None) };
        let value = self.row.get_ref(*place).map_err(Error::custom)?;
        seed.deserialize(Cell(value)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.places.len())
    }
}

struct Cell<'de>(ValueRef<'de>);

impl<'de> Deserializer<'de> for Cell<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            ValueRef::Null => visitor.visit_unit(),
            ValueRef::Integer(n) => visitor.visit_i64(n),
            ValueRef::Real(n) => visitor.visit_f64(n),
            ValueRef::Text(text) => visitor.visit_str(std::str::from_utf8(text).map_err(Error::custom)?),
            ValueRef::Blob(bytes) => visitor.visit_bytes(bytes),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            ValueRef::Null => visitor.visit_none(),
            ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) => {
                visitor.visit_some(self)
            }
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
