//! From a JSON value to a type, by the names of its members alone. A type with members is an object: the list of their
//! values by position, which serde takes as well, would get round what is said of unknown ones. What was expected
//! instead is told in JSON's words.

use serde::{
    de::{
        Deserializer, Error as _, IntoDeserializer, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Error, Value};
use std::ops::RangeInclusive;

/// A value to be read so.
pub(super) struct Members(pub(super) Value);

impl Members {
    fn whole_number<'de, V: Visitor<'de>>(self, range: RangeInclusive<i128>, visitor: V) -> Result<V::Value, Error> {
        let number = self.0.as_i64().map(i128::from).or_else(|| self.0.as_u64().map(i128::from));
        if number.is_some_and(|number| range.contains(&number)) {
            return self.0.deserialize_any(visitor);
        }
        let (least, most) = range.into_inner();
        Err(self.is_not(&format!("a whole number from {least} to {most}")))
    }

    fn is_not(&self, wanted: &str) -> Error {
        let kind = match self.0 {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(ref number) => return Error::custom(format!("must be {wanted}, not {number}")),
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        Error::custom(format!("must be {wanted}, not {kind}"))
    }
}

impl<'de> Deserializer<'de> for Members {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => SeqDeserializer::new(items.into_iter().map(Self)).deserialize_any(visitor),
            Value::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name, Self(value)));
                MapDeserializer::new(members).deserialize_any(visitor)
            }
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _members: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.0.is_object() { self.deserialize_any(visitor) } else { Err(self.is_not("an object")) }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.whole_number(i16::MIN.into()..=i16::MAX.into(), visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.whole_number(i32::MIN.into()..=i32::MAX.into(), visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.whole_number(i64::MIN.into()..=i64::MAX.into(), visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.whole_number(0..=u32::MAX.into(), visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.whole_number(0..=u64::MAX.into(), visitor)
    }

    forward_to_deserialize_any! {
        bool i8 u8 u16 i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        identifier ignored_any
    }
}

impl IntoDeserializer<'_, Error> for Members {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
