//! Reads a tree into a type.

use std::str::FromStr;

use serde::de::value::{MapAccessDeserializer, StrDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess};
use serde::de::{Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::error::{Index, InputError};
use super::tree::Node;

/// What a null is to a field of type `Option`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Nulls {
    /// `None`.
    Accepted,
    /// Refused in the fields of the value that is read.
    RefusedInFields,
    /// Refused.
    Refused,
}

/// Reads one value of the tree.
#[derive(Clone, Copy)]
pub(super) struct Reader<'t> {
    node: &'t Node,
    nulls: Nulls,
}

impl<'t> Reader<'t> {
    pub(super) fn new(node: &'t Node) -> Self {
        Self::with(node, Nulls::Accepted)
    }

    pub(super) fn with(node: &'t Node, nulls: Nulls) -> Self {
        Self { node, nulls }
    }

    /// A parameter of a query is a text; its type says what it has to be.
    fn parsed<T: FromStr>(self, expected: &str) -> Result<Option<T>, InputError> {
        let Node::Text(text) = self.node else {
            return Ok(None);
        };
        let value = text.parse();
        let wrong = |_| InputError::invalid_type(Unexpected::Str(text), &expected);
        value.map(Some).map_err(wrong)
    }
}

/// Numbers and booleans, which a query writes as text.
macro_rules! parsed {
    ($($method:ident $visit:ident $type:ident $expected:literal,)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
            match self.parsed::<$type>($expected)? {
                Some(value) => visitor.$visit(value),
                None => self.deserialize_any(visitor),
            }
        })+
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = InputError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        match self.node {
            Node::Null => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), ..) => visitor.visit_u64(value),
                (_, Some(value), _) => visitor.visit_i64(value),
                (.., value) => visitor.visit_f64(value.unwrap_or_default()),
            },
            Node::String(value) | Node::Text(value) => visitor.visit_str(value),
            Node::Array(items) => visitor.visit_seq(Items { items, at: 0 }),
            Node::Object(fields) => visitor.visit_map(Fields::of(fields, self.nulls)),
        }
    }

    /// An array is not an object, though serde's derived types would take one.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InputError> {
        match self.node {
            Node::Object(fields) => visitor.visit_map(Fields::of(fields, self.nulls)),
            _ => Err(InputError::custom("must be an object")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        match (self.node, self.nulls) {
            (Node::Null, Nulls::Refused) => Err(InputError::custom(
                "must not be null; leave the field out to keep its value",
            )),
            (Node::Null, _) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, InputError> {
        visitor.visit_newtype_struct(Self::new(self.node))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InputError> {
        match self.node {
            Node::String(name) | Node::Text(name) => visitor.visit_enum(StrDeserializer::new(name)),
            Node::Object(fields) if fields.len() == 1 => {
                visitor.visit_enum(MapAccessDeserializer::new(Fields::of(fields, Nulls::Accepted)))
            }
            _ => Err(InputError::custom("must be one of the documented values")),
        }
    }

    parsed! {
        deserialize_bool visit_bool bool "a boolean",
        deserialize_u8 visit_u8 u8 "u8",
        deserialize_u16 visit_u16 u16 "u16",
        deserialize_u32 visit_u32 u32 "u32",
        deserialize_u64 visit_u64 u64 "u64",
        deserialize_i8 visit_i8 i8 "i8",
        deserialize_i16 visit_i16 i16 "i16",
        deserialize_i32 visit_i32 i32 "i32",
        deserialize_i64 visit_i64 i64 "i64",
        deserialize_f32 visit_f32 f32 "f32",
        deserialize_f64 visit_f64 f64 "f64",
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Items<'t> {
    items: &'t [Node],
    at: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = InputError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, InputError> {
        let Some(node) = self.items.get(self.at) else {
            return Ok(None);
        };
        let place = Index(self.at);
        self.at += 1;
        let item = seed.deserialize(Reader::new(node));
        item.map(Some).map_err(|error| error.within(&place.to_string()))
    }
}

struct Fields<'t> {
    fields: std::slice::Iter<'t, (String, Node)>,
    value: Option<&'t (String, Node)>,
    nulls: Nulls,
}

impl<'t> Fields<'t> {
    fn of(fields: &'t [(String, Node)], nulls: Nulls) -> Self {
        Self {
            fields: fields.iter(),
            value: None,
            nulls: match nulls {
                Nulls::RefusedInFields => Nulls::Refused,
                Nulls::Accepted | Nulls::Refused => Nulls::Accepted,
            },
        }
    }
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = InputError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, InputError> {
        self.value = self.fields.next();
        let Some((name, _)) = self.value else {
            return Ok(None);
        };
        let name: StringDeserializer<InputError> = name.clone().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, InputError> {
        let Some((name, node)) = self.value else {
            return Err(InputError::custom("a value without a name"));
        };
        let value = seed.deserialize(Reader::with(node, self.nulls));
        value.map_err(|error| error.within(name))
    }
}
